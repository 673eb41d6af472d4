from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from declarative_ml.core.errors import MissingDependency
from declarative_ml.models import xgboost_import
from declarative_ml.models.lone_import import _Absent


def test_the_import_is_light_and_leaves_the_full_library_to_others() -> None:
    program = """
import sys
from declarative_ml.models.xgboost_import import import_xgboost
assert not {"xgboost", "numpy"} & sys.modules.keys()
library = import_xgboost()
assert library is import_xgboost()
assert not {"sklearn", "pandas", "xgboost"} & sys.modules.keys()
import xgboost
assert xgboost is not library
xgboost.XGBClassifier(n_estimators=1)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_other_threads_find_what_is_hidden() -> None:
    from concurrent.futures import ThreadPoolExecutor

    absent = _Absent(xgboost_import._UNUSED, "XGBoost")
    with pytest.raises(ModuleNotFoundError, match=r"sklearn\.base is not needed by XGBoost here"):
        absent.find_spec("sklearn.base")
    assert absent.find_spec("scipy") is None
    with ThreadPoolExecutor(1) as other:
        assert other.submit(absent.find_spec, "sklearn").result() is None


def test_without_xgboost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgboost_import.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="xgboost is not installed") as caught:
        xgboost_import._import_alone.__wrapped__()
    assert caught.value.exit_code == 7
    assert caught.value.hint == "pip install 'declarative-ml[xgboost]'"
