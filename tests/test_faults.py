"""Kills at any moment lose nothing: the same command resumes, and ends in the same model.

The quick test kills one run again and again, each time a stretch further on. The slow tests kill a run of
its own at every named point, and at random moments.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.digest import digest_folder
from declarative_ml.store.store import Store
from declarative_ml.trackers.mlflow import MLflowTracker

MODELS = {
    "linear": {"type": "linear"},
    "lightgbm": {"type": "lightgbm", "rounds": 5},
    "mlp": {"type": "mlp", "layers": [8], "epochs": 4},
}
STEPS = [
    "acquire.source",
    "split",
    "profile",
    "prepare",
    "train.{model}.fold0",
    "baseline.train",
    "train.{model}.final",
    "baseline.assemble",
    "assemble",
    "evaluate",
    "explain",
    "package",
    "report",
    "track",
]
QUICK = [
    "acquire.source:middle",
    "train.lightgbm.fold0:middle",
    "train.lightgbm.final:publish",
    "assemble:middle",
    "evaluate:start",
    "package:publish",
    "track:metrics",
    "track:alias",
    "track:publish",
]
RANDOM_KILLS = 30


def _spec(folder: Path, model: str, write_flowers: Callable[..., Path]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_flowers(folder / "flowers.csv")
    spec = {
        "name": "flowers",
        "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2, "test": 0.2}},
        "target": "kind",
        "model": MODELS[model],
        "explain": {"rows": 4, "background": 4},
        "track": {"register": "flowers"},
        "resources": {"cpu": 1},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def _finish(spawn: Any, spec: Path) -> dict[str, Any]:
    process = spawn("run", spec, "--format", "json", "-q")
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    result: dict[str, Any] = json.loads(out)
    return result


def _kill_at(spawn: Any, spec: Path, point: str) -> None:
    process = spawn("run", spec, "-q", DML_FAULT=point)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == -signal.SIGKILL, f"{point} was never reached: {error}"


def _finished_runs(database: Path) -> list[tuple[str, int]]:
    """(key, finished runs with it) of the live runs of a tracking database, however they ended."""
    query = """
        SELECT tags.value, SUM(runs.status = 'FINISHED') FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
        WHERE tags.key = 'dml.key' AND runs.lifecycle_stage = 'active' GROUP BY tags.value
    """
    with sqlite3.connect(database) as connection:
        found = connection.execute(query).fetchall()
        live = connection.execute("SELECT COUNT(*) FROM runs WHERE lifecycle_stage = 'active'").fetchone()[0]
    connection.close()
    assert live == sum(count for _, count in found), "a run that never finished is left"
    return found


def _everything_is_whole(spec: Path, dml: Any) -> None:
    workspace = spec.parent / ".dml"
    assert dml("gc", "--store", workspace).code == 0
    assert not list((workspace / "store" / "building").glob("*"))
    assert not list((workspace / "store" / "work").glob("*"))
    assert not list((workspace / "store" / "actions").glob("*/.*"))
    store = Store(workspace / "store")
    records = list((workspace / "store" / "actions").glob("*/*.json"))
    actions = list(store.actions())
    assert len(actions) == len(records) > 10
    for action in actions:
        assert digest_folder(store.path(action.digest)) == action.digest, action.step
    assert [count for _, count in _finished_runs(workspace / "mlflow.db")] == [1]
    [version] = MLflowTracker().versions(workspace, "flowers")
    assert version.aliases == ("challenger",)
    for run in (workspace / "runs").iterdir():
        for name in ("run.json", "plan.json"):
            if (run / name).exists():
                json.loads((run / name).read_text())


@pytest.fixture
def undisturbed(tmp_path: Path, spawn: Any, write_flowers: Any) -> Callable[[str], str]:
    """Model -> the digest of a run that nothing disturbed."""

    def digest(model: str) -> str:
        return str(_finish(spawn, _spec(tmp_path / f"calm-{model}", model, write_flowers))["model_digest"])

    return digest


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again(
    tmp_path: Path, spawn: Any, dml: Any, write_flowers: Any, undisturbed: Any
) -> None:
    wanted = undisturbed("lightgbm")
    spec = _spec(tmp_path / "killed", "lightgbm", write_flowers)
    for point in QUICK:
        _kill_at(spawn, spec, point)
    result = _finish(spawn, spec)
    assert result["model_digest"] == wanted
    assert {step["status"] for step in result["steps"]} == {"cached", "run"}
    assert [step["id"] for step in result["steps"] if step["status"] == "run"] == ["track"]
    _everything_is_whole(spec, dml)


def _every_point(model: str) -> list[str]:
    points = []
    for step in STEPS:
        if model == "linear" and step.startswith("baseline"):
            continue
        name = step.format(model=model)
        points += [f"{name}:start", f"{name}:middle"]
        if model == "mlp" and step.endswith("fold0"):
            points.append("torch:epoch:3")
        if step == "track":
            points[-1:] = ["track:metrics", "track:finish", "track:middle", "track:register", "track:alias"]
        points.append(f"{name}:publish")
    return points


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_is_killed_at_every_named_point(
    model: str, tmp_path: Path, spawn: Any, dml: Any, write_flowers: Any, undisturbed: Any
) -> None:
    wanted = undisturbed(model)
    spec = _spec(tmp_path / "killed", model, write_flowers)
    store = Store(spec.parent / ".dml" / "store")
    for point in _every_point(model):
        for action in list(store.actions()):  # independent steps may have run before their turn
            if point == f"{action.step}:start":
                store.forget(action.key)
        _kill_at(spawn, spec, point)
    assert _finish(spawn, spec)["model_digest"] == wanted
    _everything_is_whole(spec, dml)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lightgbm", "mlp"])
def test_kills_at_random_moments(
    model: str, tmp_path: Path, spawn: Any, dml: Any, write_flowers: Any, undisturbed: Any
) -> None:
    started = time.monotonic()
    wanted = undisturbed(model)
    whole = time.monotonic() - started
    moments = random.Random(0)
    for number in range(RANDOM_KILLS // 2):
        spec = _spec(tmp_path / f"{number}", model, write_flowers)
        process = spawn("run", spec, "-q")
        time.sleep(moments.uniform(0.0, whole))
        process.kill()
        process.communicate()
        assert _finish(spawn, spec)["model_digest"] == wanted, number
        _everything_is_whole(spec, dml)
