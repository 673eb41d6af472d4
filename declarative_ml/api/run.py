"""Run a spec: plan it, do what is not cached, and leave a run folder with bundle and report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from declarative_ml.api.card import write_cards
from declarative_ml.api.lock import lock_of
from declarative_ml.api.planning import (
    StepState,
    budget_of,
    inspect_plan,
    make_plan,
    require_memory,
    source_files,
    tracker_of,
)
from declarative_ml.api.run_result import result_of, ship
from declarative_ml.api.workspace import RUN_FILE, Run, Workspace, append_line
from declarative_ml.core.atomic import write_json, write_text
from declarative_ml.core.errors import DmlError, GateFailed, MissingDependency, StepFailed, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.core.reading import parse_reading
from declarative_ml.engines import ENGINES
from declarative_ml.engines.base import Engine, Job, RunResult
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.events import Event, Listener, silent
from declarative_ml.engines.local import Local
from declarative_ml.formats.conversion import Conversion, require_format
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.planner.estimate import estimates, look, with_estimates
from declarative_ml.scoring.readings import find_reader
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.spec.run_lock import RUN_LOCK, lock_to_json


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what."""

    store: str | None = None
    until: str | None = None
    fresh: Sequence[str] | None = None
    """None: use the cache; empty: nothing is taken from it; ids or kinds: these steps run again."""
    collect: bool = False
    """Make the run of what single steps have left in the store: what may change is not asked again."""
    jobs: int | None = None
    engine: Engine = field(default_factory=Local)
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


def engine_of(options: str | Mapping[str, Any]) -> Engine:
    """The engine with this name or these options. Raises UsageError for what it does not know."""
    fields = {"type": options} if isinstance(options, str) else dict(options)
    if fields.get("type") not in ENGINES:
        raise UsageError(f"there is no engine {fields.get('type')!r}", hint=f"engines: {', '.join(ENGINES)}")
    try:
        return ENGINES.parse(fields)
    except ValidationError as error:
        (first, *_) = error.errors()
        name = ".".join(map(str, first["loc"]))
        no_such = first["type"] == "extra_forbidden"
        told = f" has no option '{name}'" if no_such else f": {name}: {first['msg']}"
        raise UsageError(f"the engine {fields['type']}{told}", hint="docs/engines.md") from error


def run_spec(loaded: LoadedSpec, options: RunOptions = RunOptions()) -> RunReport:
    """Run a spec to its bundle and report. An earlier run with the same result is returned as it is.

    Errors of steps are in the report's `error`; finished steps stay in the store.
    """
    started = time.perf_counter()
    work = _prepare(loaded, options)
    earlier = None if work.only is not None or work.fresh else _unchanged(work)
    if earlier is not None:
        result = {**_as_before(earlier, work.states), "seconds": round(time.perf_counter() - started, 3)}
        return RunReport(result, earlier.folder, _not_converted(result), unchanged=True, states=work.states)
    _require(work, options.engine)
    require_memory(loaded, work.plan)
    if options.on_plan is not None:
        options.on_plan(work.plan, work.states)
    return _carried_out(work, options, started)


@dataclass(frozen=True)
class _Work:
    """What is to be run, and what is there of it."""

    loaded: LoadedSpec
    workspace: Workspace
    plan: Plan
    states: list[StepState]
    digests: dict[str, str]
    """Path of a source file -> SHA-256."""
    budget: Budget | None
    only: set[str] | None
    """The steps that were asked for; None: all."""
    fresh: set[str]
    """The steps that run even if their result is there."""


def _prepare(loaded: LoadedSpec, options: RunOptions) -> _Work:
    workspace = Workspace.beside(loaded.path, options.store)
    plan = make_plan(loaded, workspace)
    digests = workspace.digests(source_files(plan), fresh=options.fresh is not None)
    budget = budget_of(plan, options.started)
    last = workspace.last_documents(loaded.path)
    states = inspect_plan(plan, workspace, digests, last, budget, settled=options.collect)
    if any(state.step.kind == "report" and not state.digest for state in states):
        facts = look(loaded.spec)
        if facts is not None:
            plan = with_estimates(plan, estimates(plan, facts, plan.memory))
    only, fresh = _until(plan, options.until), _fresh(plan, options.fresh)
    return _Work(loaded, workspace, plan, states, digests, budget, only, fresh)


def _require(work: _Work, engine: Engine) -> None:
    """Raise for what the engine, the steps, formats and the tracker need, before any of them runs."""
    work.workspace.require_open()
    engine.require()
    for wanted in work.loaded.spec.convert:
        require_format(wanted)
    steps = [
        state.step
        for state in work.states
        if not state.digest and (work.only is None or state.step.id in work.only)
    ]
    require_libraries(steps)
    for step in steps:
        if step.kind == "track":
            tracker_of(step).require(work.workspace.root)


def _carried_out(work: _Work, options: RunOptions, started: float) -> RunReport:
    """Run the plan in a new folder of the workspace."""
    loaded, workspace, plan = work.loaded, work.workspace, work.plan
    run_id, folder = workspace.new_run()
    write_text(folder / "spec.yaml", spec_to_yaml(loaded.spec))
    write_json(folder / "plan.json", plan.model_dump(mode="json"))
    job = Job(
        plan,
        workspace.store,
        workspace.root,
        jobs=options.jobs,
        threads=work.plan.threads,
        file_digests=work.digests,
        listener=_recorded(folder, options.listener),
        budget=work.budget,
        settled=options.collect,
        memory=plan.memory,
    )
    with workspace.store.in_use():
        outcome = options.engine.run(job, only=work.only, fresh=work.fresh)
        lock = lock_of(loaded, plan, outcome, workspace.store, work.digests, work.plan.threads)
        write_text(folder / RUN_LOCK, lock_to_json(lock))
        ship(folder, outcome, workspace.store, lock)
        result = result_of(
            run_id, folder, plan, outcome, workspace.store, lock, partial=work.only is not None
        )
    result["seconds"] = round(time.perf_counter() - started, 3)
    write_json(folder / RUN_FILE, _record(loaded, workspace, outcome, result))
    if result["card"]:
        write_cards(folder)
    error = outcome.error or _rejected(result) or _not_converted(result)
    return RunReport(result, folder, error, states=work.states)


def _as_before(earlier: Run, states: list[StepState]) -> dict[str, Any]:
    """The result of a run that is as good as a new one."""
    result = dict(earlier.record["result"])
    for name in ("bundle", "report", "card", "tensorboard"):  # the folder may have moved since
        if result.get(name):
            result[name] = str(earlier.folder / Path(result[name]).name)
    result["steps"] = [{"id": state.step.id, "status": state.state, "seconds": 0.0} for state in states]
    return result


def _record(
    loaded: LoadedSpec, workspace: Workspace, outcome: RunResult, result: dict[str, Any]
) -> dict[str, Any]:
    """What the workspace keeps of a run."""
    return {
        "name": loaded.spec.name,
        "spec_path": workspace.place(loaded.path),
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
        "digests": {step: action.digest for step, action in outcome.actions.items()},
        "documents": outcome.documents,
        "kept_under": sorted(action.key for action in outcome.actions.values()),
        "result": result,
    }


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
    "tokenizers": "embedding",
}


def require_libraries(steps: Sequence[Step]) -> None:
    """Raise MissingDependency before any work is done, not when the step is reached."""
    for step in steps:
        if step.optional:
            continue
        for name in ("mlflow",) if step.kind == "track" else step.libraries:
            if name in _EXTRAS and not installed(name):
                raise MissingDependency(name, _EXTRAS[name])
        texts = step.outside.get("texts", {})
        for fields in texts.get("readings", ()):
            find_reader(parse_reading(fields), [Path(texts["folder"])])


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


def _unchanged(work: _Work) -> Run | None:
    """The latest run, when running again would make nothing new."""
    if any(not state.digest for state in work.states):
        return None
    run = work.workspace.latest(work.loaded.path, work.loaded.spec.name)
    if run is None or not run.bundle.is_dir():
        return None
    same = {state.step.id: state.digest for state in work.states} == run.record["digests"]
    return run if same else None
