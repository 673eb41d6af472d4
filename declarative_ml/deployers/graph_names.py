"""The steps of a plan under the names that workflow engines allow."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Release
from declarative_ml.deployers.manifests.names import fit
from declarative_ml.graph.plan import Plan

RUN = "run"
"""The task behind all steps: it finds their results in the store, and makes the run and its bundle."""


@dataclass(frozen=True)
class Task:
    """A step as a task."""

    name: str
    """Letters, digits and one separator; unique among the tasks."""
    step: str
    """The step's id in the plan; empty for the task that makes the run."""
    needs: tuple[str, ...]
    """Names of the tasks before it."""


def tasks(plan: Plan, *, separator: str = "-", longest: int = 63) -> list[Task]:
    """The steps in order, and the task `run` behind those that nothing else waits for."""
    names: dict[str, str] = {}
    for step in plan.ordered():
        bare = re.sub(r"[^a-z0-9]+", separator, step.id.lower()).strip(separator)
        name = fit(bare, longest).replace("-", separator)
        taken = {RUN, *names.values()}
        names[step.id] = name if name not in taken else f"{name[: longest - 4]}{separator}{len(taken)}"
    needs = plan.needs()
    found = [
        Task(names[step.id], step.id, tuple(names[other] for other in sorted(needs[step.id])))
        for step in plan.ordered()
    ]
    waited = {name for task in found for name in task.needs}
    return [*found, Task(RUN, "", tuple(task.name for task in found if task.name not in waited))]


def by_steps(release: Release) -> Release:
    """The same release with a pod for each step, whatever the spec says of it."""
    if release.train is None:
        return release
    return replace(release, train=release.train.model_copy(update={"parallel": "steps"}))


def plan_of(release: Release) -> Plan:
    """The plan, whose graph becomes the graph of the engine. Raises UsageError for a release without one."""
    if release.plan is None:
        raise UsageError(
            "there is no plan to deploy", hint="deploy from the spec: dml deploy spec.yaml --train"
        )
    return release.plan
