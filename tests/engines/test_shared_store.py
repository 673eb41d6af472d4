"""Several runs at once on one store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.digest import digest_folder
from declarative_ml.store.store import Store

MODEL = {"type": "lightgbm", "rounds": 5}


def _results(processes: list[Any]) -> list[dict[str, Any]]:
    results = []
    for process in processes:
        out, error = process.communicate(timeout=180)
        assert process.returncode == 0, error
        results.append(json.loads(out))
    return results


def _whole(store: Store) -> None:
    for action in store.actions():
        assert digest_folder(store.path(action.digest)) == action.digest, action.step
    assert not list((store.root / "building").glob("*"))


def test_two_runs_of_one_spec(flowers: Any, spawn: Any) -> None:
    path = flowers(model=MODEL)
    one, two = _results([spawn("run", path, "--format", "json", "-q") for _ in range(2)])
    assert one["model_digest"] == two["model_digest"]
    assert Path(one["bundle"]).is_dir()
    assert Path(two["bundle"]).is_dir()
    for step in one["steps"]:
        other = next(item for item in two["steps"] if item["id"] == step["id"])
        assert (step["status"], other["status"]) != ("run", "run") or step["id"] == "report", step["id"]
    _whole(Store(path.parent / ".dml" / "store"))


@pytest.mark.slow
def test_runs_of_different_specs(flowers: Any, spawn: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    models = {"one": MODEL, "two": "linear"}
    paths = [flowers(name, model=model) for name, model in models.items()]
    together = _results([spawn("run", path, "--store", shared, "--format", "json", "-q") for path in paths])
    _whole(Store(shared / "store"))
    for path, result in zip(paths, together, strict=True):
        (alone,) = _results([spawn("run", path, "--format", "json", "-q")])
        assert alone["model_digest"] == result["model_digest"]
