"""Plan a spec, and say of each step whether it is cached or will run, and why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from declarative_ml.api.workspace import Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.digest import digest_json
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.local import find_action
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.models import MODELS
from declarative_ml.planner.build import build_plan, memory_of
from declarative_ml.planner.estimate import Facts, estimates, look, student_rows, too_little, tree_rows
from declarative_ml.planner.keys import differences, key_document, step_key
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.spec.memory_fault import too_little_memory
from declarative_ml.spec.portfolio import DISTILLED
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import KEY_TAG, Tracker

_READ_AT_ONCE = 256 << 20
"""Larger files are not read to see whether something is cached: a plan is there at once."""
CHECK, LAST_ROWS = "check", "rows.json"
"""The kind of the steps of the data contract, and what they keep of the rows (steps.last_rows)."""


@dataclass(frozen=True)
class StepState:
    """What would happen to one step if the plan ran now."""

    step: Step
    state: Literal["cached", "skipped", "run", "unknown"]
    """`unknown`: it depends on what a step before it makes."""
    why: str
    key: str = ""
    digest: str = ""
    seconds: float = 0.0
    """What it took last time, where that is known."""


def make_plan(loaded: LoadedSpec, workspace: Workspace | None = None, facts: Facts | None = None) -> Plan:
    """The Plan of a loaded spec. With a workspace, its checks know the rows of the last good run there. Under
    `resources.memory`, a sample of the data (`facts`; absent: it is looked at) tells how many rows models of
    trees may learn from."""
    ceiling = memory_of(loaded.spec)
    most: dict[str, int] = {}
    if ceiling is not None and (facts := facts or look(loaded.spec)) is not None:
        found = {name: tree_rows(facts, name, ceiling) for name in MODELS}
        most = {name: rows for name, rows in found.items() if rows is not None}
        most[DISTILLED] = student_rows(facts, ceiling)
    folder = loaded.path.resolve().parent
    plan = build_plan(loaded.spec, spec_digest=loaded.digest, folder=folder, most_rows=most)
    contract = loaded.spec.data.checks
    if workspace is None or contract is None or not any(part.compares for part in contract.parts().values()):
        return plan
    run = workspace.latest(loaded.path, loaded.spec.name)
    digests = {} if run is None else run.record["digests"]
    return plan.model_copy(
        update={"steps": tuple(_comparing(each, digests, workspace) for each in plan.steps)}
    )


def require_memory(loaded: LoadedSpec, plan: Plan) -> None:
    """Raise SpecError where a step needs more than `resources.memory`, by what a sample tells."""
    facts = None if plan.memory is None else look(loaded.spec)
    if plan.memory is None or facts is None:
        return
    short = too_little(estimates(plan, facts, plan.memory), plan.memory)
    if short is not None:
        step, needed = short
        given = str(loaded.spec.resources.memory)
        raise too_little_memory(str(loaded.path), given, facts.rows, step, needed)


def _comparing(step: Step, digests: Mapping[str, str], workspace: Workspace) -> Step:
    """A check that compares with the rows of the last good run, by what they were like, not by which run had
    them. `digests` are those of that run's artifacts; other steps, and checks that it had not, stay."""
    if step.kind != CHECK or step.id not in digests:
        return step
    try:
        last: dict[str, Any] = read_json(workspace.store.path(digests[step.id]) / LAST_ROWS)
    except (OSError, ValueError):
        return step  # it asked for no comparison, or the store was swept
    params = {**step.params, "last": digest_json(last)}
    return step.model_copy(update={"params": params, "outside": {**step.outside, "last": last}})


def inspect_spec(loaded: LoadedSpec, store: str | None = None) -> tuple[Plan, list[StepState]]:
    """The Plan of a loaded spec, and what would happen to each step if it ran now in its workspace."""
    return inspect_made(make_plan(loaded, Workspace.beside(loaded.path, store)), loaded, store)


def inspect_made(plan: Plan, loaded: LoadedSpec, store: str | None = None) -> tuple[Plan, list[StepState]]:
    """The same of a plan that is made already. Large files that no run has read yet are not read for it."""
    workspace = Workspace.beside(loaded.path, store)
    digests = workspace.digests(source_files(plan), most=_READ_AT_ONCE)
    last = workspace.last_documents(loaded.path)
    return plan, inspect_plan(plan, workspace, digests, last, budget_of(plan))


def budget_of(plan: Plan, started: float | None = None) -> Budget | None:
    """The time that a run of the plan may take, from `started` (`time.monotonic`; absent: now) on."""
    if plan.seconds is None:
        return None
    return Budget(plan.seconds, time.monotonic() if started is None else started)


def inspect_plan(
    plan: Plan,
    workspace: Workspace,
    digests: Mapping[str, str],
    last: Mapping[str, Any],
    budget: Budget | None = None,
    *,
    settled: bool = False,
) -> list[StepState]:
    """The state of each step, in order. `last` is the key documents of the run before, `budget` the time
    that the run would have; `settled` as in Job."""
    states: dict[str, StepState] = {}
    for step in plan.ordered():
        states[step.id] = _inspect(
            step, states, workspace, digests, plan.threads, last.get(step.id), budget, settled=settled
        )
    return list(states.values())


def _inspect(
    step: Step,
    states: Mapping[str, StepState],
    workspace: Workspace,
    digests: Mapping[str, str],
    threads: int,
    last: Mapping[str, Any] | None,
    budget: Budget | None,
    *,
    settled: bool,
) -> StepState:
    waiting = [needed for needed in step.inputs.values() if not states[needed].digest]
    if waiting:
        return StepState(step, "unknown", f"known after {_listed(list(dict.fromkeys(waiting)))}")
    if any(name not in digests for name in step.files):
        return StepState(step, "unknown", "known when its files have been read")
    inputs = {role: states[needed].digest for role, needed in step.inputs.items()}
    document = key_document(step, inputs, digests, threads)
    key = step_key(document)
    if step.always and not settled:
        asked = "the clock" if step.kind == CHECK else "its source"
        return StepState(step, "run", f"{asked} is asked in every run", key)
    action = find_action(workspace.store, step, key, budget, settled=settled)
    if action is not None and (not step.effect or _is_done(step, workspace, key, action.digest)):
        state: Literal["cached", "skipped"] = "skipped" if action.status == "skipped" else "cached"
        why = action.detail or "nothing that it depends on has changed"
        return StepState(step, state, why, key, action.digest, action.seconds)
    return StepState(step, "run", _why(last, document), key)


_NAMED = 4
"""Steps that are named; of more, their number is enough."""


def _listed(steps: list[str]) -> str:
    more = len(steps) - _NAMED
    return ", ".join(steps) if more <= 1 else f"{', '.join(steps[:_NAMED])} and {more} more"


def tracker_of(step: Step) -> Tracker:
    """The tracker that a track step writes to."""
    return TRACKERS.parse({"type": "mlflow", "uri": step.outside["uri"]})


def _is_done(step: Step, workspace: Workspace, key: str, digest: str) -> bool:
    """Whether the world outside still has what an effect step made; `digest` is of its artifact."""
    tracker = tracker_of(step)
    if tracker.find(workspace.root, key) is None:
        return False
    registered = read_json(workspace.store.path(digest) / "tracking.json")["registered"]
    if registered is None:
        return True
    versions = tracker.versions(workspace.root, registered["name"])
    return any(version.tags.get(KEY_TAG) == key for version in versions)


def _why(last: Mapping[str, Any] | None, document: Mapping[str, Any]) -> str:
    if last is None:
        return "first run"
    changes = differences(last, document)
    return "; ".join(changes) if changes else "its result is not in the store"


def source_files(plan: Plan) -> list[str]:
    """Every outside file that the plan reads."""
    return sorted({name for step in plan.steps for name in step.files})
