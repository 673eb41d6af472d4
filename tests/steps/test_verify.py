"""The packaged bundle, started as it is served and asked before it is blessed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.graph.plan import Plan
from declarative_ml.steps import verify
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.verdict import read_verdict
from declarative_ml.store.bundle import MODEL, REFERENCE, Bundle, write_bundle

Make = Callable[..., Any]


def context_of(report: Any, folder: Path) -> StepContext:
    """The world of the step `verify` of a run, with a package of its own to spoil."""
    plan = Plan.model_validate_json((report.folder / "plan.json").read_text())
    digests = json.loads((report.folder / "run.json").read_text())["digests"]
    store = report.folder.parents[1] / "store" / "artifacts"
    step = plan["verify"]
    inputs = {role: store / digests[name][:2] / digests[name] for role, name in step.inputs.items()}
    inputs["package"] = Path(shutil.copytree(inputs["package"], folder / "package"))
    for name in ("out", "scratch"):
        (folder / name).mkdir()
    return StepContext(
        step=step, inputs=inputs, out=folder / "out", scratch=folder / "scratch", workspace=folder, key="key",
        threads=1, finished={}, progress=lambda fraction, message: None,
    )  # fmt: skip


@pytest.fixture
def context(flowers: Make, run: Make, tmp_path: Path) -> StepContext:
    (tmp_path / "verify").mkdir()
    return context_of(run(flowers()), tmp_path / "verify")


def found(context: StepContext) -> tuple[dict[str, Any], list[str]]:
    verify.run(context)
    return json.loads((context.out / verify.RESULT).read_text()), read_verdict(context.out)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"target": "length", "evaluate": {"interval": 0.8}},
        {"target": "wild", "data": {"source": "flowers.csv", "split": {"test": 0.0, "validation": 0.2}}},
    ],
    ids=["classes", "numbers with intervals", "yes and no, without test rows"],
)
def test_a_sound_bundle_answers_as_the_run_measured(
    sections: dict[str, Any], flowers: Make, run: Make, tmp_path: Path
) -> None:
    report = run(flowers(**sections))
    assert report.error is None, report.error
    (tmp_path / "verify").mkdir()
    result, faults = found(context_of(report, tmp_path / "verify"))
    assert faults == []
    assert result["rows"] >= 18
    assert result["max_difference"] <= result["tolerance"]
    assert 0 < result["one_row_seconds"] < result["start_seconds"] < 60
    assert result["peak_bytes"] is None or 20e6 < result["peak_bytes"] < 500e6
    told = {item["request"]: item["message"] for item in result["requests"]}
    assert "lacks the column(s)" in told["a missing column"]
    assert "no number" in told["a word for a number"]
    assert told["no rows"] == "there are no rows"
    assert result["asked"] == "over HTTP, as JSON and Arrow"
    assert all(told.values())
    assert f"{result['rows']} rows asked" in Path(report.result["report"]).read_text()


def test_a_damaged_file_is_found(context: StepContext) -> None:
    path = context.inputs["package"] / "metrics.json"
    path.chmod(0o644)
    path.write_text(path.read_text() + " ")
    result, (fault,) = found(context)
    assert result == {}
    assert fault.startswith("the bundle does not start: ")
    assert "the bundle is damaged: metrics.json does not match its digest" in fault


def test_another_model_in_the_bundle_is_found(
    context: StepContext, flowers: Make, run: Make, tmp_path: Path
) -> None:
    """Sound in itself, and not what was measured."""
    other = Bundle.open(run(flowers("b", seed=7, imbalance="weights")).result["bundle"])
    manifest = other.manifest.model_dump(exclude={"format", "model_digest", "files"})
    package = tmp_path / "other"
    write_bundle(package, manifest, {name: other.read(name) for name in (MODEL, REFERENCE)})
    result, (fault,) = found(replace(context, inputs={**context.inputs, "package": package}))
    assert result["max_difference"] > result["tolerance"]
    assert fault.startswith("the served bundle answers otherwise than the run measured: by up to ")


def test_a_process_that_is_killed_says_nothing_of_the_model(context: StepContext) -> None:
    def progress(fraction: float, message: str) -> None:
        if message == "asking it":
            kill_child()

    with pytest.raises(StepFailed, match="the process that serves the bundle ended with signal 9"):
        verify.run(replace(context, progress=progress))
    assert not (context.out / "verdict.json").exists()


def test_an_interrupt_ends_the_process(context: StepContext) -> None:
    class Interrupted(BaseException):
        pass

    def progress(fraction: float, message: str) -> None:
        if message == "asking it":
            raise Interrupted

    with pytest.raises(Interrupted):
        verify.run(replace(context, progress=progress))
    assert children() == []


def children() -> list[int]:
    """The processes of this one that serve a bundle."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(") ")[2].split()[1])
            serves = b"declarative_ml.serving.trial" in (place / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and serves:
            found.append(int(place.name))
    return found


def kill_child() -> None:
    (child,) = children()
    os.kill(child, signal.SIGKILL)


def test_without_the_service_pipes_do_and_the_result_says_so(
    context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "NEEDED", ("a_library_that_is_not_there",))
    result, faults = found(context)
    assert faults == []
    assert result["asked"] == "not over HTTP but through pipes: the extra 'serve' is not installed"
    assert result["max_difference"] <= result["tolerance"]


def test_rounding_of_a_number_near_zero_is_no_difference() -> None:
    task = Task(target="bicycles", type="number")
    measured = np.array([0.5, 180.0, 420.0])
    unit = verify._unit(task, measured)
    for away, faults in ((1e-4, 0), (1e-1, 1)):
        answered = {"predictions": [{"prediction": value + away} for value in measured]}
        found: list[str] = []
        verify._difference(task, answered, measured, unit, found)
        assert len(found) == faults
