"""Run a spec: plan it, do what is not cached, and leave a run folder with bundle and report."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from declarative_ml.api.card import PAGE as CARD_PAGE
from declarative_ml.api.card import write_cards
from declarative_ml.api.lock import lock_of
from declarative_ml.api.planning import StepState, budget_of, inspect_plan, make_plan, source_files
from declarative_ml.api.workspace import RUN_FILE, Run, Workspace, append_line
from declarative_ml.core.atomic import read_json, write_json, write_text
from declarative_ml.core.errors import DmlError, GateFailed, MissingDependency, StepFailed, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.engines.events import Event, Listener, silent
from declarative_ml.engines.local import LocalEngine, RunResult
from declarative_ml.formats.conversion import RESULT, Conversion, require_format
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.spec.run_lock import BUNDLE_LOCK, RUN_LOCK, RunLock, lock_to_json, lock_to_yaml
from declarative_ml.steps.behave import OUTCOMES
from declarative_ml.steps.context import skip_reason
from declarative_ml.steps.segments import FILE as SEGMENTS
from declarative_ml.steps.verdict import JUDGES, read_verdict
from declarative_ml.store.bundle import add_file
from declarative_ml.text.pipelines import find_pipeline


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what."""

    store: str | None = None
    until: str | None = None
    fresh: Sequence[str] | None = None
    """None: use the cache; empty: nothing is taken from it; ids or kinds: these steps run again."""
    jobs: int | None = None
    listener: Listener = silent
    on_plan: Callable[[Plan, list[StepState]], None] | None = None
    started: float | None = None
    """When the command began, in seconds of `time.monotonic`; resources.time counts from there."""


@dataclass(frozen=True)
class RunReport:
    """The outcome: the object that `dml run --format json` prints, and the error if there was one."""

    result: dict[str, Any]
    folder: Path
    error: DmlError | None = None
    unchanged: bool = False
    """Nothing had to be done: this is the earlier run."""
    states: list[StepState] = field(default_factory=list)


def run_spec(loaded: LoadedSpec, options: RunOptions = RunOptions()) -> RunReport:
    """Run a spec to its bundle and report. An earlier run with the same result is returned as it is.

    Errors of steps are in the report's `error`; finished steps stay in the store.
    """
    started = time.perf_counter()
    workspace = Workspace.beside(loaded.path, options.store)
    plan = make_plan(loaded)
    threads = loaded.spec.resources.cpu or os.cpu_count() or 1
    digests = workspace.digests(source_files(plan), fresh=options.fresh is not None)
    last = workspace.last_documents(loaded.path)
    budget = budget_of(loaded.spec, options.started)
    states = inspect_plan(plan, workspace, digests, threads, last, budget)
    only = _until(plan, options.until)
    fresh = _fresh(plan, options.fresh)
    earlier = None if only is not None or fresh else _unchanged(loaded, workspace, states)
    if earlier is not None:
        result = {**earlier.record["result"], "seconds": round(time.perf_counter() - started, 3)}
        for name in ("bundle", "report", "card", "tensorboard"):  # the folder may have moved since
            if result.get(name):
                result[name] = str(earlier.folder / Path(result[name]).name)
        result["steps"] = [{"id": state.step.id, "status": state.state, "seconds": 0.0} for state in states]
        return RunReport(result, earlier.folder, _not_converted(result), unchanged=True, states=states)
    for wanted in loaded.spec.convert:
        require_format(wanted)
    require_libraries(
        [state.step for state in states if not state.digest and (only is None or state.step.id in only)]
    )
    if options.on_plan is not None:
        options.on_plan(plan, states)
    run_id, folder = workspace.new_run()
    write_text(folder / "spec.yaml", spec_to_yaml(loaded.spec))
    write_json(folder / "plan.json", plan.model_dump(mode="json"))
    engine = LocalEngine(
        workspace.store,
        workspace.root,
        jobs=options.jobs or min(threads, 4),
        threads=threads,
        file_digests=digests,
        listener=_recorded(folder, options.listener),
        budget=budget,
    )
    with workspace.store.in_use():
        outcome = engine.run(plan, only=only, fresh=fresh)
        lock = lock_of(loaded, plan, outcome, workspace.store, digests, threads)
        write_text(folder / RUN_LOCK, lock_to_json(lock))
        result = _finish(run_id, folder, plan, outcome, workspace, lock, partial=only is not None)
    result["seconds"] = round(time.perf_counter() - started, 3)
    record = {
        "name": loaded.spec.name,
        "spec_path": workspace.place(loaded.path),
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
        "digests": {step: action.digest for step, action in outcome.actions.items()},
        "documents": outcome.documents,
        "kept_under": sorted(action.key for action in outcome.actions.values()),
        "result": result,
    }
    write_json(folder / RUN_FILE, record)
    if result["card"]:
        write_cards(folder)
    return RunReport(
        result, folder, outcome.error or _rejected(result) or _not_converted(result), states=states
    )


def _rejected(result: dict[str, Any]) -> GateFailed | None:
    """The error for a model that did not pass; its bundle and report are there to look at."""
    if result["status"] != "gate_failed":
        return None
    return GateFailed(
        "; ".join(result["faults"]),
        hint="the report shows the numbers; nothing was converted, registered or promoted",
    )


def _not_converted(result: dict[str, Any]) -> StepFailed | None:
    """The error for formats that were asked for and are not in the bundle; the model itself is there."""
    conversions = [Conversion.model_validate(item) for item in result.get("conversions", [])]
    absent = [item for item in conversions if not item.ships]
    if not absent:
        return None
    return StepFailed(
        "; ".join(f"{item.name}: {item.reason}" for item in absent),
        hint="the model and its bundle are there; change or take out the format, or choose another model",
    )


def _recorded(folder: Path, listener: Listener) -> Listener:
    """Write every event to the run's log, then pass it on; called from many threads."""
    lock = threading.Lock()

    def record(event: Event) -> None:
        with lock:
            if event.kind != "progress":
                append_line(folder / "events.jsonl", {"time": round(time.time(), 3), **event.as_dict()})
            listener(event)

    return record


_EXTRAS = {
    "torch": "torch",
    "mlflow": "mlflow",
    "optuna": "tune",
    "scikit-learn": "sklearn",
    "xgboost-cpu": "xgboost",
    "tensorboardX": "tensorboard",
}


def require_libraries(steps: Sequence[Step]) -> None:
    """Raise MissingDependency before any work is done, not when the step is reached."""
    for step in steps:
        if step.optional:
            continue
        for name in ("mlflow",) if step.kind == "track" else step.libraries:
            if name in _EXTRAS and not installed(name):
                raise MissingDependency(name, _EXTRAS[name])
        for name, base in step.outside.get("pipelines", {}).items():
            find_pipeline(name, [Path(base)])


def _until(plan: Plan, wanted: str | None) -> set[str] | None:
    if wanted is None:
        return None
    return {step for name in matching_steps(plan, wanted) for step in plan.upstream(name)}


def _fresh(plan: Plan, wanted: Sequence[str] | None) -> set[str]:
    if wanted is None:
        return set()
    if not wanted:
        return {step.id for step in plan.steps}
    return {step for name in wanted for step in matching_steps(plan, name)}


def matching_steps(plan: Plan, wanted: str) -> list[str]:
    """Steps by id, by kind, or by the start of an id (`train.lightgbm`). Raises UsageError for none."""
    found = [
        step.id for step in plan.steps if wanted in (step.id, step.kind) or step.id.startswith(f"{wanted}.")
    ]
    if not found:
        raise UsageError(
            f"the plan has no step '{wanted}'", hint="its steps: " + ", ".join(step.id for step in plan.steps)
        )
    return found


def _unchanged(loaded: LoadedSpec, workspace: Workspace, states: list[StepState]) -> Run | None:
    """The latest run, when running again would make nothing new."""
    if any(not state.digest for state in states):
        return None
    run = workspace.latest(loaded.path, loaded.spec.name)
    if run is None or not run.bundle.is_dir():
        return None
    same = {state.step.id: state.digest for state in states} == run.record["digests"]
    return run if same else None


_SHOWN = ("segment", "rows", "metrics", "loss", "excess", "p")
"""What the result says of each segment; the report says more."""


def _finish(
    run_id: str,
    folder: Path,
    plan: Plan,
    outcome: RunResult,
    workspace: Workspace,
    lock: RunLock,
    *,
    partial: bool,
) -> dict[str, Any]:
    """Copy what ships into the run folder and describe the run."""
    result: dict[str, Any] = {
        "run": run_id,
        "status": "failed" if outcome.error else ("partial" if partial else "ok"),
        "bundle": None,
        "report": None,
        "card": None,
        "model_digest": None,
        "mlflow_run_id": None,
        "metrics": {},
    }
    artifacts = {step: workspace.store.path(action.digest) for step, action in outcome.actions.items()}
    if "evaluate" in artifacts:
        evaluated = read_json(artifacts["evaluate"] / "metrics.json")
        kept = ("metrics", "primary", "baselines", "intervals", "interval")
        result |= {name: evaluated[name] for name in kept}
    if "segments" in artifacts:
        found = read_json(artifacts["segments"] / SEGMENTS)["segments"]
        result["segments"] = [{name: item[name] for name in _SHOWN} for item in found]
    conversions = [
        read_json(folder / RESULT)
        for step, folder in artifacts.items()
        if step.startswith("convert.") and skip_reason(folder) is None
    ]
    if conversions:
        result["conversions"] = conversions
    if "behave" in artifacts:
        result["tests"] = [
            {name: value for name, value in outcome.items() if name != "cases"}
            for outcome in read_json(artifacts["behave"] / OUTCOMES)
        ]
    if "gate" in artifacts:
        result["gates"] = read_json(artifacts["gate"] / "gates.json")["gates"]
    faults = [fault for judge in JUDGES if judge in artifacts for fault in read_verdict(artifacts[judge])]
    if faults and result["status"] == "ok":
        result |= {"status": "gate_failed", "faults": faults}
    if "package" in artifacts:
        bundle = folder / "bundle"
        _copy(artifacts["package"], bundle, lock)
        result |= {"bundle": str(bundle), "card": str(folder / CARD_PAGE)}
        result["model_digest"] = lock.model_digest
    if "report" in artifacts:
        shutil.copyfile(artifacts["report"] / "report.html", folder / "report.html")
        result["report"] = str(folder / "report.html")
    if "tensorboard" in artifacts:
        _copy(artifacts["tensorboard"], folder / "tensorboard")
        result["tensorboard"] = str(folder / "tensorboard")
    if "track" in artifacts:
        tracking = read_json(artifacts["track"] / "tracking.json")
        result["mlflow_run_id"] = tracking["run_id"]
        if tracking["registered"] is not None:
            result["registered"] = tracking["registered"]
    result["steps"] = [
        {
            "id": step.id,
            "status": outcome.status[step.id],
            "seconds": round(outcome.actions[step.id].seconds, 3)
            if outcome.status[step.id] == "run"
            else 0.0,
        }
        for step in plan.steps
        if step.id in outcome.status
    ]
    return result


def _copy(source: Path, target: Path, lock: RunLock | None = None) -> None:
    """A copy of an artifact that is writable and appears whole; of a bundle with the run's lock."""
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    if lock is not None:
        add_file(temporary, BUNDLE_LOCK, lock_to_yaml(lock).encode())
    temporary.rename(target)
