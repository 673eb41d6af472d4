"""`track.promote`: a run makes its version the champion, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import SpecError
from declarative_ml.spec.load import load_spec
from declarative_ml.trackers import TRACKERS

SPEC = """
name: flowers
data: {source: {type: sample, name: iris}}
target: species
model: linear
explain: false
track: {register: flowers, promote: true}
"""


def run(spec: Path, *overrides: str, fresh: tuple[str, ...] = ()) -> dict[str, Any]:
    loaded = load_spec(spec, data=True, overrides=overrides)
    return run_spec(loaded, RunOptions(listener=lambda event: None, fresh=fresh)).result


@pytest.mark.slow
def test_a_run_promotes_once(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    spec, workspace = tmp_path / "spec.yaml", tmp_path / ".dml"
    spec.write_text(SPEC)
    tracker = TRACKERS.parse({"type": "mlflow"})

    def champion() -> int | None:
        found = tracker.registered(workspace, "flowers", "champion")
        return None if found is None else found.version

    first = {"name": "flowers", "version": 1, "promoted": True}
    assert run(spec)["registered"] == first
    assert champion() == 1
    run(spec, "seed=7")
    assert champion() == 2
    assert [move.who for move in tracker.history(workspace, "flowers")] == ["dml run", "dml run"]
    tracker.rollback(workspace, "flowers")
    again = run(spec, "seed=7", fresh=("track",))
    assert champion() == 1  # somebody had a reason
    assert again["registered"] == {"name": "flowers", "version": 2}
    gate = 'evaluate={"gates": {"impossible": {"metric": "log_loss", "max": 0.000001}}}'
    assert run(spec, "seed=8", gate)["status"] == "gate_failed"
    assert champion() == 1


@pytest.mark.slow
def test_a_run_that_meets_its_own_model_as_champion_makes_no_version(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    spec, workspace = tmp_path / "spec.yaml", tmp_path / ".dml"
    spec.write_text(SPEC)
    tracker = TRACKERS.parse({"type": "mlflow"})
    gate = 'evaluate={"gates": {"not-worse": {"metric": "log_loss", "beats": "champion", "by": -0.01}}}'
    for _ in range(3):
        assert run(spec, gate)["registered"]["version"] == 1
    assert [item.version for item in tracker.versions(workspace, "flowers")] == [1]
    assert len(tracker.history(workspace, "flowers")) == 1


def test_promoting_nothing(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("register: flowers, ", ""))
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert "'promote' needs 'register'" in caught.value.problems[0].message
