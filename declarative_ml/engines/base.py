"""What every engine knows: from a job, which is a plan and what is there for it, to the run's result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from declarative_ml.core.component import Component
from declarative_ml.core.errors import DmlError
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.events import Listener, silent
from declarative_ml.graph.plan import Plan
from declarative_ml.store.store import Action, Store


@dataclass(frozen=True)
class Job:
    """A plan that is to be run, whatever runs it."""

    plan: Plan
    store: Store
    workspace: Path
    threads: int
    """Of a training step: it decides the result, so it is the same wherever the step runs."""
    file_digests: Mapping[str, str]
    """Path of a file that the plan reads -> SHA-256."""
    jobs: int | None = None
    """Steps at a time; None: as many as the engine has room for."""
    listener: Listener = silent
    budget: Budget | None = None
    pinned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Step id -> what its action in the run that is to be repeated has as `pinned`."""
    settled: bool = False
    """Steps that read what may change are taken as they were done last, where a run leaves them to others."""
    memory: int | None = None
    """The ceiling of the run in bytes: steps then run one at a time, each in a process."""


@dataclass
class RunResult:
    """What a run did: the action of every finished step, its key document, and its status."""

    actions: dict[str, Action] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    """Step id -> `run`, `cached`, `skipped` or `failed`."""
    error: DmlError | None = None


class Engine(Component):
    """Where the steps of a plan run. Its fields are its own options.

    Subclasses declare `type: Literal["name"] = "name"`.
    """

    type: str

    def require(self) -> None:
        """Raise MissingDependency for a library that is not installed, before there is a run."""
        return

    @abstractmethod
    def run(self, job: Job, *, only: Set[str] | None = None, fresh: Set[str] = frozenset()) -> RunResult:
        """Run the plan, or of it the steps in `only`; those in `fresh` run although cached.

        The error of a step is in the result; finished steps stay in the store whatever happens. Raises
        UsageError and MissingDependency where nothing can run at all.
        """
