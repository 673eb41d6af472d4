"""The pictures that shap draws."""

from __future__ import annotations

import numpy as np
import pytest
from shap_reference import make_pool, one_output, three_outputs

from declarative_ml.core.optional import installed
from declarative_ml.scoring.shap_sampler import Explanation, explain_rows
from declarative_ml.steps.shap_plots import shap_plots

pytestmark = pytest.mark.skipif(not installed("shap"), reason="needs the extra shap")

NAMES = ["bar", "beeswarm", "waterfall", "scatter_1"]


@pytest.fixture(autouse=True)
def _coarse_pictures(monkeypatch):
    monkeypatch.setattr("declarative_ml.steps.shap_plots._DPI", 20)


@pytest.fixture(autouse=True)
def _no_second_try(monkeypatch):
    monkeypatch.setattr("declarative_ml.steps.shap_plots.whole_shap", None)


def explanation_of(names: list[str], values: np.ndarray, base: list[float]) -> Explanation:
    predictions = np.array(base) + values.sum(axis=1)
    return Explanation(tuple(names), np.array(base), values, predictions, "exact", 0, 1)


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and len(content) > 500


@pytest.mark.parametrize(("predict", "outputs"), [(one_output, ["yes"]), (three_outputs, ["a", "b", "$c_"])])
def test_plots_are_pictures_and_repeat_byte_by_byte(predict, outputs):
    pool = make_pool(60, 5)
    found = explain_rows(predict, pool, np.arange(30), np.arange(30, 60))
    values = {name: column[:30] for name, column in pool.items()}
    plots = shap_plots(found, values, outputs)
    assert list(plots) == NAMES
    assert all(is_png(content) for content in plots.values())
    if outputs == ["yes"]:
        assert shap_plots(found, values, outputs) == plots


def test_plots_leave_no_figure_and_no_setting_behind():
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.rcParams["font.size"] = 17
    own = plt.figure()
    before = (matplotlib.get_backend(), plt.isinteractive(), plt.get_fignums())
    pool = make_pool(20, 2)
    found = explain_rows(one_output, pool, np.arange(10), np.arange(10, 20))
    shap_plots(found, {name: column[:10] for name, column in pool.items()}, ["yes"])
    assert (matplotlib.get_backend(), plt.isinteractive(), plt.get_fignums()) == before
    assert matplotlib.rcParams["font.size"] == 17
    plt.close(own)
    matplotlib.rcdefaults()


ODD_COLUMNS = {
    "all missing": np.full((12, 1), np.nan, np.float32),
    "constant": np.full((12, 1), 3.0, np.float32),
    "some missing": np.where(np.arange(12) % 2, np.nan, 1.0).astype(np.float32),
    "infinite": np.where(np.arange(12) % 2, np.inf, 1.0).astype(np.float32),
    "long texts": np.array([f"{'word ' * 50}{number}" for number in range(12)], dtype=object),
    "no texts": np.array([""] * 12, dtype=object),
    "costs $a_": np.array(["$x_$", "$", "ü", "中文"] * 3, dtype=object),
    "numbers as text": np.array(["1", "2", "", "10"] * 3, dtype=object),
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_odd_columns_can_be_drawn(name):
    shap_values = np.random.default_rng(0).normal(size=(12, 1, 1))
    plots = shap_plots(explanation_of([name], shap_values, [0.2]), {name: ODD_COLUMNS[name]}, ["yes"])
    assert list(plots) == NAMES
    assert all(is_png(content) for content in plots.values())


def test_a_model_that_uses_nothing_can_be_drawn():
    found = explanation_of(list(ODD_COLUMNS), np.zeros((12, len(ODD_COLUMNS), 1)), [0.2])
    assert all(is_png(content) for content in shap_plots(found, ODD_COLUMNS, ["yes"]).values())


def test_one_row_and_many_classes_can_be_drawn():
    names = [f"column {number}" for number in range(17)]
    shap_values = np.random.default_rng(0).normal(size=(1, 17, 8))
    values = {name: np.ones((1, 1), np.float32) for name in names}
    plots = shap_plots(
        explanation_of(names, shap_values, [0.0] * 8), values, [f"class {number}" for number in range(8)]
    )
    assert all(is_png(content) for content in plots.values())


def test_many_levels_are_gathered_under_one_name():
    from declarative_ml.steps.shap_plots import _for_display

    texts = np.array([f"level {min(number, 30)}" for number in range(60)], dtype=object)
    shown = _for_display(texts)
    assert len(set(shown)) == 20
    assert (shown == "(other)").sum() == 12
