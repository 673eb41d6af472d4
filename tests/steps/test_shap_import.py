"""The part of shap that draws, loaded alone."""

from __future__ import annotations

import builtins
import subprocess
import sys

import numpy as np
import pytest
from shap_reference import make_pool, three_outputs

from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.optional import installed
from declarative_ml.scoring.shap_sampler import explain_rows
from declarative_ml.steps import shap_import, shap_plots
from declarative_ml.steps.shap_import import import_plots, import_shap, whole_shap

pytestmark = pytest.mark.skipif(not installed("shap"), reason="needs the extra shap")


@pytest.fixture
def drawn(monkeypatch):
    """Draw one explanation; numbers, missing numbers and texts among its columns."""
    monkeypatch.setattr(shap_plots, "_DPI", 20)
    pool = make_pool(40, 5)
    found = explain_rows(three_outputs, pool, np.arange(20), np.arange(20, 40))
    values = {name: column[:20] for name, column in pool.items()}
    return lambda: shap_plots.shap_plots(found, values, ["a", "b", "c"])


def test_the_part_draws_the_same_pictures_as_the_whole(drawn, monkeypatch):
    monkeypatch.setattr(shap_plots, "whole_shap", None)
    alone = drawn()
    monkeypatch.setattr(shap_plots, "import_plots", whole_shap)
    assert drawn() == alone


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_the_whole_library_draws_where_the_part_cannot_be_had(drawn, monkeypatch, error):
    def built_differently():
        raise error("no such module")

    monkeypatch.setattr(shap_plots, "import_plots", built_differently)
    assert list(drawn()) == ["bar", "beeswarm", "waterfall", "scatter_1"]


def test_nothing_is_loaded_that_does_not_draw():
    program = """
import sys
from declarative_ml.steps.shap_import import import_plots
import_plots()
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"shap", "sklearn", "pandas", "numba"}, loaded
assert "scipy.stats" not in sys.modules
import shap
assert shap.Explanation is not import_plots().Explanation
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=True, env={"NUMBA_DISABLE_JIT": "1"}
    )


def test_an_import_that_fails_leaves_nothing_behind(monkeypatch):
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(shap_import.PRIVATE)}
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(shap_import, "_STAND_INS", {"numpy": shap_import._StandIn("numpy")})
    before = list(sys.meta_path)
    with pytest.raises((ImportError, AttributeError)):
        import_plots.__wrapped__()
    assert not [name for name in sys.modules if name.startswith(shap_import.PRIVATE)]
    assert sys.meta_path == before


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(shap_import, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="shap"):
        import_plots.__wrapped__()


def test_a_stand_in_has_no_instances_and_no_use():
    frame = shap_import._STAND_INS["pandas"].DataFrame
    assert not isinstance(np.zeros(3), frame)
    with pytest.raises(ImportError, match=r"pandas\.DataFrame is not loaded"):
        frame([1])
    with pytest.raises(ImportError, match=r"sklearn\.tree\.DecisionTreeRegressor is not loaded"):
        _ = shap_import._STAND_INS["sklearn"].tree.DecisionTreeRegressor


def test_the_import_statement_elsewhere_is_the_usual_one():
    usual = builtins.__import__
    import_plots()
    assert builtins.__import__ is usual


def test_compiling_is_switched_off_only_while_shap_is_imported():
    import_shap()
    assert sys.modules["numba"].config.DISABLE_JIT == 0
