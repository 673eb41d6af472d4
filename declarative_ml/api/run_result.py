"""What a finished run leaves in its folder, and the object that describes it (`dml run --format json`)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declarative_ml.api.card import PAGE as CARD_PAGE
from declarative_ml.core.atomic import read_json
from declarative_ml.engines.base import RunResult
from declarative_ml.formats.conversion import RESULT
from declarative_ml.graph.plan import Plan
from declarative_ml.spec.run_lock import BUNDLE_LOCK, RunLock, lock_to_yaml
from declarative_ml.steps.behave import OUTCOMES
from declarative_ml.steps.check import CHECKS, is_check
from declarative_ml.steps.context import skip_reason
from declarative_ml.steps.segments import FILE as SEGMENTS
from declarative_ml.steps.verdict import JUDGES, read_verdict
from declarative_ml.store.bundle import add_file
from declarative_ml.store.store import Store

BUNDLE, REPORT, EVENTS = "bundle", "report.html", "tensorboard"
"""Names in the run's folder."""
_MEASURED = ("metrics", "primary", "baselines", "intervals", "interval")
_SHOWN = ("segment", "rows", "metrics", "loss", "excess", "p")
"""What the result says of each segment; the report says more."""

Artifacts = Mapping[str, Path]


def ship(folder: Path, outcome: RunResult, store: Store, lock: RunLock) -> None:
    """Copy what people and machines take away into the run's folder: bundle, report, event files."""
    artifacts = _artifacts(outcome, store)
    if "package" in artifacts:
        _copy(artifacts["package"], folder / BUNDLE, lock)
    if "report" in artifacts:
        shutil.copyfile(artifacts["report"] / REPORT, folder / REPORT)
    if "tensorboard" in artifacts:
        _copy(artifacts["tensorboard"], folder / EVENTS)


def result_of(
    run_id: str, folder: Path, plan: Plan, outcome: RunResult, store: Store, lock: RunLock, *, partial: bool
) -> dict[str, Any]:
    """The object of SPEC.md, but for the seconds of the whole; `partial`: not all steps were asked for."""
    artifacts = _artifacts(outcome, store)
    faults = [fault for judge in JUDGES if judge in artifacts for fault in read_verdict(artifacts[judge])]
    status = "failed" if outcome.error else ("partial" if partial else "ok")
    refused = bool(faults) and status == "ok"
    return {
        "run": run_id,
        "status": "gate_failed" if refused else status,
        **_places(folder, artifacts),
        "model_digest": lock.model_digest if "package" in artifacts else None,
        **_tracked(artifacts),
        **_measured(artifacts),
        **_converted(artifacts),
        **_judged(artifacts),
        **({"faults": faults} if refused else {}),
        "steps": _steps(plan, outcome),
    }


def _artifacts(outcome: RunResult, store: Store) -> Artifacts:
    return {step: store.path(action.digest) for step, action in outcome.actions.items()}


def _places(folder: Path, artifacts: Artifacts) -> dict[str, str | None]:
    packaged = "package" in artifacts
    return {
        "bundle": str(folder / BUNDLE) if packaged else None,
        "report": str(folder / REPORT) if "report" in artifacts else None,
        "card": str(folder / CARD_PAGE) if packaged else None,
        **({"tensorboard": str(folder / EVENTS)} if "tensorboard" in artifacts else {}),
    }


def _tracked(artifacts: Artifacts) -> dict[str, Any]:
    if "track" not in artifacts:
        return {"mlflow_run_id": None}
    tracking = read_json(artifacts["track"] / "tracking.json")
    registered = tracking["registered"]
    return {
        "mlflow_run_id": tracking["run_id"],
        **({} if registered is None else {"registered": registered}),
    }


def _measured(artifacts: Artifacts) -> dict[str, Any]:
    found: dict[str, Any] = {"metrics": {}}
    if "evaluate" in artifacts:
        evaluated = read_json(artifacts["evaluate"] / "metrics.json")
        found |= {name: evaluated[name] for name in _MEASURED}
    if "segments" in artifacts:
        segments = read_json(artifacts["segments"] / SEGMENTS)["segments"]
        found["segments"] = [{name: item[name] for name in _SHOWN} for item in segments]
    return found


def _converted(artifacts: Artifacts) -> dict[str, Any]:
    conversions = [
        read_json(folder / RESULT)
        for step, folder in artifacts.items()
        if step.startswith("convert.") and skip_reason(folder) is None
    ]
    return {"conversions": conversions} if conversions else {}


def _judged(artifacts: Artifacts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "profile" in artifacts and (
        suspicions := read_json(artifacts["profile"] / "relations.json")["suspicions"]
    ):
        found["suspicions"] = suspicions
    if checks := [folder for step, folder in artifacts.items() if is_check(step)]:
        found["checks"] = [item for folder in checks for item in read_json(folder / CHECKS)["checks"]]
    if "behave" in artifacts:
        outcomes = read_json(artifacts["behave"] / OUTCOMES)
        found["tests"] = [{name: item[name] for name in item if name != "cases"} for item in outcomes]
    if "gate" in artifacts:
        found["gates"] = read_json(artifacts["gate"] / "gates.json")["gates"]
    return found


def _steps(plan: Plan, outcome: RunResult) -> list[dict[str, Any]]:
    found = []
    for step in plan.steps:
        status = outcome.status.get(step.id)
        if status is not None:
            seconds = round(outcome.actions[step.id].seconds, 3) if status == "run" else 0.0
            peak = outcome.actions[step.id].peak_bytes if step.id in outcome.actions else 0
            measured = {"peak_bytes": peak} if peak and status == "run" else {}
            found.append({"id": step.id, "status": status, "seconds": seconds, **measured})
    return found


def _copy(source: Path, target: Path, lock: RunLock | None = None) -> None:
    """A copy of an artifact that is writable and appears whole; of a bundle with the run's lock."""
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    if lock is not None:
        add_file(temporary, BUNDLE_LOCK, lock_to_yaml(lock).encode())
    temporary.rename(target)
