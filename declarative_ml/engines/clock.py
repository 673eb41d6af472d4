"""The time of a run, shared between the fits of its candidates.

A fit gets the part of what is left that its `effort` is of the efforts still to come; a fit that needs
less leaves the rest to those after it. What follows training gets its time from how long the steps
before training took, on this machine and this table, so no number of seconds is a guess about the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from declarative_ml.graph.plan import Step

_AFTER = 5.0
_AFTER_PER_BEFORE = 1.2
"""Seconds for what follows training: fixed, and for each second that the steps before training took."""
_PLOTS_AND_TRACKING = 5.0
"""Seconds for what follows the values of an explanation: plots, the bundle, a try of it, report, tracking."""
_CONVERSION = 6.0
"""Seconds to convert to a format, in a process that first has to import the converter."""
_START = 0.5
"""Seconds from the start of a command to its first step, on the machine that the fixed seconds are for."""
_SLOWEST = 3.0
_BEFORE_TRAINING = frozenset({"acquire", "sql", "split", "profile", "prepare"})
_MOST_AFTER = 0.5
"""Of the whole time."""


@dataclass(frozen=True)
class Budget:
    """The time that a run may take as a whole."""

    seconds: float
    started: float
    """When the run began, in seconds of `time.monotonic`."""
    spent: float = 0.0
    """Seconds of it that were over by then: those of steps that other processes did."""


class Timer(Protocol):
    """Hands out the time of a run to its steps."""

    def begin(self, step: Step) -> Callable[[], float]:
        """The deadline of a step that begins now, in seconds of `time.monotonic`; it may move."""

    def end(self, step: Step, seconds: float, *, skipped: bool = False) -> None:
        """A step is over (or was cached), and took so long."""


class Clock:
    """Deadlines for the steps of one run, in seconds of `time.monotonic`. Safe to use from many threads."""

    def __init__(self, steps: Iterable[Step], budget: Budget, *, jobs: int) -> None:
        self.deadline = budget.started + budget.seconds - budget.spent
        self._seconds = budget.seconds
        started = time.monotonic() - budget.started
        self._slowness = min(_SLOWEST, max(1.0, started / _START))
        """How many times the fixed seconds this machine takes just now: reading a spec is the same work
        everywhere."""
        self._jobs = jobs
        self._lock = threading.Lock()
        self._before = 0.0
        steps = list(steps)
        self._efforts = {step.id: step.effort for step in steps if step.effort}
        self._converting = _CONVERSION * sum(step.kind == "convert" for step in steps) / jobs

    @property
    def training_ends(self) -> float:
        """When the last fit should be done."""
        fixed = (_AFTER + self._converting) * self._slowness
        after = min(_MOST_AFTER * self._seconds, fixed + _AFTER_PER_BEFORE * self._before)
        return self.deadline - after

    def begin(self, step: Step) -> Callable[[], float]:
        """The deadline of a step that begins now; it moves as other steps give back what they do not need."""
        begun = time.monotonic()

        def deadline() -> float:
            if step.kind == "explain":
                return self.deadline - _PLOTS_AND_TRACKING * self._slowness
            if not step.effort:
                return self.deadline
            with self._lock:
                own, everything = self._efforts.get(step.id, step.effort), sum(self._efforts.values())
                # Steps side by side share the wall clock, so together they have it several times.
                share = self._jobs * own / max(own, everything)
                if step.kind == "trial":
                    # One search has the time of its trials together, once: what follows waits for it.
                    share = sum(self._efforts[name] for name in self._group(step)) / max(own, everything)
                return begun + max(0.0, self.training_ends - begun) * min(1.0, share)

        return deadline

    def end(self, step: Step, seconds: float, *, skipped: bool = False) -> None:
        """A step is over (or was cached), and took so long. One that had nothing to do leaves its time to
        the other fits of its candidate."""
        with self._lock:
            effort = self._efforts.pop(step.id, 0.0)
            others = self._group(step)
            if skipped:
                self._efforts |= {name: self._efforts[name] + effort / len(others) for name in others}
            if step.kind in _BEFORE_TRAINING:
                self._before += seconds

    def _group(self, step: Step) -> list[str]:
        """The steps of the same candidate, or of the same search, that are not over."""
        group = step.id.rpartition(".")[0]
        return [name for name in self._efforts if name.rpartition(".")[0] == group]
