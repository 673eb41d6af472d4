"""What the track step registers, and what it only logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.planning import make_plan
from declarative_ml.api.workspace import Workspace
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.track import run as track
from declarative_ml.steps.verdict import write_verdict
from declarative_ml.trackers.mlflow import MLflowTracker
from declarative_ml.trackers.mlflow_store import connect, locate

pytest.importorskip("mlflow")


def _judged(root: Path, gate: Sequence[str] | None) -> dict[str, Path]:
    """The artifact of a gate with these faults, as an input; None: the spec has no gates."""
    if gate is None:
        return {}
    folder = root / f"gate{len(gate)}"
    folder.mkdir()
    write_verdict(folder, gate)
    (folder / "gates.json").write_text('{"gates": []}')
    return {"gate": folder}


@pytest.mark.slow
def test_a_model_with_a_fault_is_logged_and_not_registered(flowers: Any, run: Any, tmp_path: Path) -> None:
    spec = flowers(track={"register": "flowers"}, description="Which kind")
    report = run(spec, until="report")
    workspace = Workspace.beside(spec)
    step = make_plan(load_spec(spec))["track"]
    digests = json.loads((report.folder / "run.json").read_text())["digests"]
    inputs = {role: workspace.store.path(digests[needed]) for role, needed in step.inputs.items()}
    client = connect(locate(workspace.root, None))
    faults = ["good-enough: roc_auc 0.71 is below 0.80"]
    found = []
    for number, gate in enumerate((None, [], faults)):
        out = tmp_path / f"out{number}"
        out.mkdir()
        judged = {**inputs, **_judged(tmp_path, gate)}
        track(
            StepContext(
                step=step,
                inputs=judged,
                out=out,
                scratch=tmp_path,
                workspace=workspace.root,
                key=f"key-{number}",
                threads=1,
                finished={},
                progress=lambda fraction, message: None,
            )
        )
        told = json.loads((out / "tracking.json").read_text())
        tags = client.get_run(told["run_id"]).data.tags
        found.append((told["registered"], tags["dml.gates"]))
    assert found == [
        ({"name": "flowers", "version": 1}, "none"),
        ({"name": "flowers", "version": 2}, "passed"),
        (None, "failed"),
    ]
    newest, first = MLflowTracker().versions(workspace.root, "flowers")
    assert (newest.version, newest.gates, newest.tags["dml.key"]) == (2, "passed", "key-1")
    assert (first.aliases, newest.aliases) == ((), ("challenger",))
    assert newest.tags["dml.metric"] == "test.log_loss"
    assert newest.score == report.result["metrics"]["test"]["log_loss"]
    artifacts = {item.path for item in client.list_artifacts(newest.run_id, "bundle")}
    assert {"bundle/bundle.json", "bundle/reference.json", "bundle/metrics.json"} <= artifacts
    assert "bundle/model.onnx" not in artifacts, "it lies with the logged model"
