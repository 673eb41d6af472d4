"""One step of a plan file, as a pod runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from declarative_ml.api.planning import inspect_plan, source_files
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import UsageError
from declarative_ml.engines.base import Job
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
    count as they were done last: by the tasks before it, where an orchestrator keeps the order.
    Raises UsageError naming the steps that must run first.
    """
    plan = read_plan(path)
    known = [step.id for step in plan.steps]
    if step_id not in known:
        raise UsageError(f"the plan has no step '{step_id}'", hint=f"its steps: {', '.join(known)}")
    workspace = Workspace.beside(path, store)
    digests = workspace.digests(source_files(plan))
    before, until = plan.upstream(step_id) - {step_id}, time.monotonic() + wait
    while waiting := _waiting(plan, workspace, digests, before):
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
        settled=True,
    )
    asking = {step_id} if plan[step_id].always else set()
    with workspace.store.in_use():
        result = Local().run(job, only=plan.upstream(step_id), fresh=asking)
    if result.error is not None:
        raise result.error
    return result.status[step_id]


def _waiting(plan: Plan, workspace: Workspace, digests: Mapping[str, str], before: set[str]) -> list[str]:
    """The steps among `before` whose results are not in the store."""
    states = {state.step.id: state for state in inspect_plan(plan, workspace, digests, {}, settled=True)}
    return sorted(name for name in before if not states[name].digest)
