"""The time of a run, shared between the fits of its candidates.

A fit gets the part of what is left that its `effort` is of the efforts still to come; a fit that needs
less leaves the rest to those after it. What follows training gets its time from how long the steps
before training took, on this machine and this table, so no number of seconds is a guess about the machine.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from declarative_ml.graph.plan import Step
from declarative_ml.steps.context import SHORT

_AFTER = 2.5
"""Seconds for what follows training always: the graph, its scores, a try of the bundle, the report."""
_ALSO_AFTER = {"explain": 1.5, "track": 1.5, "convert": 6.0}
"""Seconds for these kinds of steps, where the plan has them. A converter has a process of its own, which
first imports it."""
_AFTER_VALUES = 2.0
"""Seconds for what follows the values of an explanation: plots, the bundle, a try of it, the report."""
_AFTER_PER_BEFORE = 1.2
"""Seconds for what follows training, for each second that the steps before training took."""
_START = 0.5
"""Seconds from the start of a command to its first step, on the machine that the fixed seconds are for."""
_SLOWEST = 3.0
_BEFORE_TRAINING = frozenset({"acquire", "sql", "split", "profile", "prepare"})
_MOST_AFTER = 0.5
"""Of the whole time."""
_FIT = 0.7
"""A fit of one candidate with a fold held out, in times of what preparing the rows took. That is next to
nothing for tables of numbers, and says how long texts take."""
_FOLD = re.compile(r"train\.(.+)\.fold(\d+)")


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

    def spares(self, step: Step) -> str | None:
        """Why a step that would begin now is better not done; None: it is."""


class Clock:
    """Deadlines for the steps of one run, in seconds of `time.monotonic`. Safe to use from many threads."""

    def __init__(self, steps: Iterable[Step], budget: Budget, *, jobs: int, sparing: bool = True) -> None:
        self.deadline = budget.started + budget.seconds - budget.spent
        self._seconds = budget.seconds
        started = time.monotonic() - budget.started
        self._slowness = min(_SLOWEST, max(1.0, started / _START))
        """How many times the fixed seconds this machine takes just now: reading a spec is the same work
        everywhere."""
        self._jobs = jobs
        self._lock = threading.Lock()
        self._before = 0.0
        self._preparing: float | None = None
        self._folds: int | None = None
        steps = list(steps)
        # Intervals want rows that were held out. Long reading, by models of texts, says nothing of the fits.
        self._spares = sparing and not any(
            step.kind == "interval" or (step.kind == "prepare" and step.long) for step in steps
        )
        self._candidates = {found[1] for step in steps if (found := _FOLD.fullmatch(step.id))}
        self._efforts = {step.id: step.effort for step in steps if step.effort}
        converting = _ALSO_AFTER["convert"] * sum(step.kind == "convert" for step in steps) / jobs
        kinds = {step.kind for step in steps} - {"convert"}
        self._after_values = _AFTER_VALUES + _ALSO_AFTER["track"] * ("track" in kinds)
        self._after = _AFTER + converting + sum(_ALSO_AFTER.get(kind, 0.0) for kind in kinds)

    @property
    def training_ends(self) -> float:
        """When the last fit should be done."""
        fixed = self._after * self._slowness
        after = min(_MOST_AFTER * self._seconds, fixed + _AFTER_PER_BEFORE * self._before)
        return self.deadline - after

    def begin(self, step: Step) -> Callable[[], float]:
        """The deadline of a step that begins now; it moves as other steps give back what they do not need."""
        begun = time.monotonic()

        def deadline() -> float:
            if step.kind == "explain":
                return self.deadline - self._after_values * self._slowness
            if not step.effort:
                return self.deadline
            with self._lock:
                own, everything = self._efforts.get(step.id, step.effort), sum(self._efforts.values())
                # Steps side by side share the wall clock, so together they have it several times.
                share = self._jobs * own / max(own, everything)
                if step.kind == "trial":
                    # One search has the time of its trials together, once: what follows waits for it.
                    share = sum(self._efforts[name] for name in self._group(step.id)) / max(own, everything)
                return begun + max(0.0, self.training_ends - begun) * min(1.0, share)

        return deadline

    def end(self, step: Step, seconds: float, *, skipped: bool = False) -> None:
        """A step is over (or was cached), and took so long. One that had nothing to do leaves its time to
        the other fits of its candidate."""
        with self._lock:
            self._leave(step.id, to_others=skipped)
            if step.kind in _BEFORE_TRAINING:
                self._before += seconds
            if step.kind == "prepare":
                self._preparing = seconds

    def spares(self, step: Step) -> str | None:
        """See Timer.spares. Where every fold of every candidate is more than the time is enough for, whole
        fits of few folds say more than the first rounds of many."""
        found = _FOLD.fullmatch(step.id)
        if found is None or self._preparing is None or not self._spares:
            return None
        with self._lock:
            if self._folds is None:
                self._folds = self._folds_in_time(self._preparing)
                for name in list(self._efforts):
                    fold = _FOLD.fullmatch(name)
                    if fold and int(fold[2]) >= self._folds:
                        self._leave(name, to_others=True)
            folds = self._folds
        if int(found[2]) < folds:
            return None
        return f"{SHORT}: {folds} fold{'s' if folds > 1 else ''} held out"

    def _folds_in_time(self, preparing: float) -> int:
        """How many folds there is time for, when the first fit begins; the refits are as half a fold."""
        room = self._jobs * (self.training_ends - time.monotonic())
        return max(1, int(room / max(_FIT * preparing * len(self._candidates), 1e-9) - 0.5))

    def _leave(self, name: str, *, to_others: bool) -> None:
        """A step needs no more time."""
        effort = self._efforts.pop(name, 0.0)
        others = self._group(name) if to_others else []
        self._efforts |= {other: self._efforts[other] + effort / len(others) for other in others}

    def _group(self, step: str) -> list[str]:
        """The steps of the same candidate, or of the same search, that are not over."""
        group = step.rpartition(".")[0]
        return [name for name in self._efforts if name.rpartition(".")[0] == group]
