"""One step of a plan file, as a pod runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from declarative_ml.api.planning import StepState, budget_of, inspect_plan, source_files
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import UsageError
from declarative_ml.engines.base import Job
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.events import Listener
from declarative_ml.engines.local import Local
from declarative_ml.graph.plan import Plan


def read_plan(path: Path) -> Plan:
    """Read what `dml plan -o` wrote. Raises UsageError for anything else."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(
            f"{path} is not a plan", hint="write one: dml plan spec.yaml -o plan.json"
        ) from error


def run_step(
    path: Path,
    step_id: str,
    *,
    store: str | None,
    listener: Listener,
    wait: float = 0.0,
    poll: float = 2.0,
) -> str:
    """Run one step whose inputs are in the store, or are there within `wait` seconds. Returns its status.

    Of steps that read what may change (a database, the champion) this one asks anew, and those before it
    count as they were done last: by the tasks before it, where an orchestrator keeps the order. The plan's
    memory is this process's; of its time the steps before it have had theirs.
    Raises UsageError naming the steps that must run first.
    """
    plan = read_plan(path)
    known = [step.id for step in plan.steps]
    if step_id not in known:
        raise UsageError(f"the plan has no step '{step_id}'", hint=f"its steps: {', '.join(known)}")
    workspace = Workspace.beside(path, store)
    digests = workspace.digests(source_files(plan))
    before, until = plan.upstream(step_id) - {step_id}, time.monotonic() + wait
    while waiting := _without_result(states := _states(plan, workspace, digests), before):
        if time.monotonic() >= until:
            raise UsageError(f"{step_id} needs steps that have not run: {', '.join(waiting)}")
        time.sleep(poll)
    job = Job(
        plan,
        workspace.store,
        workspace.root,
        jobs=1,
        threads=plan.threads,
        file_digests=digests,
        listener=listener,
        budget=_budget(plan, states, before),
        settled=True,
        memory=plan.memory,
    )
    # One that was left out is tried again: whoever asks for it does not want to hear that it failed before.
    again = plan[step_id].always or states[step_id].state == "skipped"
    with workspace.store.in_use():
        result = Local().run(job, only=plan.upstream(step_id), fresh={step_id} if again else set())
    if result.error is not None:
        raise result.error
    return result.status[step_id]


def _states(plan: Plan, workspace: Workspace, digests: Mapping[str, str]) -> dict[str, StepState]:
    found = inspect_plan(plan, workspace, digests, {}, budget_of(plan), settled=True)
    return {state.step.id: state for state in found}


def _without_result(states: Mapping[str, StepState], before: set[str]) -> list[str]:
    return sorted(name for name in before if not states[name].digest)


def _budget(plan: Plan, states: Mapping[str, StepState], before: set[str]) -> Budget | None:
    """The time of the run, as if this step came next. Others may have been at work side by side, so that half
    of it is left whatever they took."""
    budget = budget_of(plan)
    if budget is None:
        return None
    return replace(budget, spent=min(budget.seconds / 2, sum(states[name].seconds for name in before)))
