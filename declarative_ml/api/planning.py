"""Plan a spec, and say of each step whether it is cached or will run, and why."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from declarative_ml.api.workspace import Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.local import find_action
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.planner.build import build_plan
from declarative_ml.planner.keys import differences, key_document, step_key
from declarative_ml.spec.document import Spec
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import KEY_TAG


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


def make_plan(loaded: LoadedSpec) -> Plan:
    """The Plan of a loaded spec."""
    return build_plan(loaded.spec, spec_digest=loaded.digest, folder=loaded.path.resolve().parent)


def inspect_spec(loaded: LoadedSpec, store: str | None = None) -> tuple[Plan, list[StepState]]:
    """The Plan of a loaded spec, and what would happen to each step if it ran now in its workspace."""
    plan, workspace = make_plan(loaded), Workspace.beside(loaded.path, store)
    threads = loaded.spec.resources.cpu or os.cpu_count() or 1
    digests, last = workspace.digests(source_files(plan)), workspace.last_documents(loaded.path)
    return plan, inspect_plan(plan, workspace, digests, threads, last, budget_of(loaded.spec))


def budget_of(spec: Spec, started: float | None = None) -> Budget | None:
    """The time that a run of the spec may take, from `started` (`time.monotonic`; absent: now) on."""
    if spec.resources.time is None:
        return None
    return Budget(seconds_of(spec.resources.time), time.monotonic() if started is None else started)


def inspect_plan(
    plan: Plan,
    workspace: Workspace,
    digests: Mapping[str, str],
    threads: int,
    last: Mapping[str, Any],
    budget: Budget | None = None,
) -> list[StepState]:
    """The state of each step, in order. `last` is the key documents of the run before, `budget` the time
    that the run would have."""
    states: dict[str, StepState] = {}
    for step in plan.ordered():
        states[step.id] = _inspect(step, states, workspace, digests, threads, last.get(step.id), budget)
    return list(states.values())


def _inspect(
    step: Step,
    states: Mapping[str, StepState],
    workspace: Workspace,
    digests: Mapping[str, str],
    threads: int,
    last: Mapping[str, Any] | None,
    budget: Budget | None,
) -> StepState:
    waiting = [needed for needed in step.inputs.values() if not states[needed].digest]
    if waiting:
        return StepState(step, "unknown", f"known after {_listed(list(dict.fromkeys(waiting)))}")
    inputs = {role: states[needed].digest for role, needed in step.inputs.items()}
    document = key_document(step, inputs, digests, threads)
    key = step_key(document)
    if step.always:
        return StepState(step, "run", "its source is asked in every run", key)
    action = find_action(workspace.store, step, key, budget)
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


def _is_done(step: Step, workspace: Workspace, key: str, digest: str) -> bool:
    """Whether the world outside still has what an effect step made; `digest` is of its artifact."""
    tracker = TRACKERS.parse({"type": "mlflow", "uri": step.outside["uri"]})
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
