"""`track: {tensorboard: true}`: what TensorBoard itself reads back from a run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.planner.build import build_plan
from declarative_ml.spec.load import load_spec

MODEL = {"type": "lightgbm", "rounds": 5}


def test_tensorboard_alone_needs_no_tracking_server_and_off_is_off(flowers: Any) -> None:
    def kinds(**track: Any) -> set[str]:
        return {step.kind for step in build_plan(load_spec(flowers(track=track)).spec).steps}

    assert "tensorboard" in kinds(tensorboard=True)
    assert "tensorboard" not in kinds()
    assert kinds(tensorboard=True, enabled=False) & {"tensorboard", "track"} == set()


def test_without_the_library(flowers: Any, dml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    found = optional.find_spec
    monkeypatch.setattr(optional, "find_spec", lambda name: None if name == "tensorboardX" else found(name))
    outcome = dml("run", flowers(track={"tensorboard": True}), "-q")
    assert outcome.code == 7
    assert "tensorboardX is not installed" in outcome.err
    assert "pip install 'declarative-ml[tensorboard]'" in outcome.err


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def _options(folder: Path) -> dict[str, Any]:
    """The hyperparameters as TensorBoard's HParams page reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    hparams = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    events = accumulator.EventAccumulator(str(folder)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = hparams.HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in sorted(started.hparams.items())}


@pytest.mark.slow
def test_tensorboard_reads_curves_metrics_and_options(flowers: Any, dml: Any) -> None:
    pytest.importorskip("tensorboardX")
    sections = {"model": MODEL, "tune": {"trials": 2, "space": {"num_leaves": {"choices": [4, 8]}}}}
    spec = flowers(track={"tensorboard": True}, **sections)
    outcome = dml("run", spec, "--format", "json", "-q")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    folder = Path(result["tensorboard"])
    assert folder == Path(result["bundle"]).with_name("tensorboard")
    scalars = _scalars(folder)
    for name, value in result["metrics"]["test"].items():
        assert scalars[f"test.{name}"] == [(0, pytest.approx(value))]
    curves = {name: points for name, points in scalars.items() if name.endswith("_loss") and "/" in name}
    assert any(name.endswith("/validation_loss") for name in curves)
    assert max(len(points) for points in curves.values()) >= 2
    assert all([step for step, _ in points] == list(range(1, len(points) + 1)) for points in curves.values())
    options = _options(folder)
    assert (options["model.type"], options["model.rounds"], options["refit"]) == ("lightgbm", 5.0, True)
    trials = sorted((folder / "trials").iterdir())
    assert len(trials) == 2
    tried = [_options(trial).get("num_leaves") for trial in trials]
    assert {4.0, 8.0} & set(tried), tried
    assert all(list(_scalars(trial)) for trial in trials)
    again = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert again["tensorboard"] == result["tensorboard"]
