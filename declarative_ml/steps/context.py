"""What a step is given: parameters, input artifacts, a folder to fill, and a way to report progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import read_json
from declarative_ml.core.optional import installed
from declarative_ml.graph.plan import Step

SHORTEST = 0.3
"""A fit with less time than this is not begun, in seconds."""
SKIPPED = "skipped.json"
"""A step whose guard finds nothing to do leaves this file, {"reason": …}, as its artifact."""
SHORT = "the time is short"
"""How the reason begins why a fold is spared: one of all candidates."""


@dataclass(frozen=True)
class Finished:
    """How a step of the run ended."""

    status: str
    """`run`, `cached` or `skipped`."""
    seconds: float
    """What it took when it ran, be it in an earlier run."""
    peak_bytes: int = 0
    """The most memory of the run meanwhile; 0: not measured."""


@dataclass(frozen=True)
class StepContext:
    """The world of one running step. `run(context)` fills `out` and returns nothing."""

    step: Step
    inputs: Mapping[str, Path]
    """Role -> folder of the artifact."""
    out: Path
    scratch: Path
    """Survives a kill; empty when nothing was interrupted."""
    workspace: Path
    key: str
    """The step's cache key: effects outside the store carry it as their tag."""
    threads: int
    finished: Mapping[str, Finished]
    """The finished steps of this run (for the report; never enters a model)."""
    progress: Callable[[float, str], None]
    memory: int | None = None
    """Bytes that a step may use for speed alone, beside what it needs; never changes a result. None: any."""
    deadline: Callable[[], float] | None = None
    """When to be done, in seconds of `time.monotonic`, as it looks now; None: take as long as it takes."""
    cut_short: Callable[[], None] = lambda: None
    """Call when the deadline changed the result: it then counts for runs with as much time only."""
    pin: Callable[[Mapping[str, Any]], None] = lambda pinned: None
    """Call with what a run without a clock has to be told to get the same result (JSON). The run's lock
    keeps it. A step that is left out as a whole needs none: its reason says it."""
    pinned: Mapping[str, Any] = field(default_factory=dict)
    """What `pin` was called with in the run that this one repeats; empty in any other run."""

    @property
    def is_late(self) -> bool:
        """Whether so little time is left that nothing should be begun."""
        return self.deadline is not None and self.deadline() - time.monotonic() < SHORTEST

    def absent_library(self, needed: Sequence[str]) -> str | None:
        """Why an optional step is left out: a library that it needs is not installed."""
        absent = [name for name in needed if self.step.optional and not installed(name)]
        return f"{absent[0]} is not installed" if absent else None

    @property
    def params(self) -> dict[str, Any]:
        """The step's canonical parameters."""
        return self.step.params

    def read(self, role: str, name: str) -> Any:
        """Read the JSON file `name` of the input artifact `role`."""
        return read_json(self.inputs[role] / name)

    def roles(self, prefix: str) -> list[str]:
        """The input roles `prefix0`, `prefix1`, … whose steps were not skipped, in order."""
        named = [role for role in self.inputs if role.startswith(prefix) and role[len(prefix) :].isdigit()]
        present = [role for role in named if skip_reason(self.inputs[role]) is None]
        return sorted(present, key=lambda role: int(role[len(prefix) :]))


def skip_reason(artifact: Path) -> str | None:
    """Why the step that made this artifact did nothing, or None when it did its work."""
    path = artifact / SKIPPED
    return str(read_json(path)["reason"]) if path.exists() else None
