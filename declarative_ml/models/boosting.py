"""Boosting round by round: the loss on held-out rows, early stopping, and the clock.

Where the deadline leaves a fit fewer rounds than its steps need, the steps become larger: many careful trees
are better than few bold ones, but few bold ones are far better than the first part of many careful ones.
"""

from __future__ import annotations

import math
import statistics
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from declarative_ml.learning.task import TaskType
    from declarative_ml.models.base import FitContext, Work

_ENOUGH: dict[TaskType, float] = {"binary": 1e-4, "multiclass": 1e-4, "number": 2e-5}
"""A round is better when it lowers the validation loss by this share of the first round's loss. Squared error
falls much further below its start than log loss does, which creeps on long after it matters."""
_TRAIN_LOSS_EVERY = 25
"""The training loss is for the curve only: measuring it after every round costs a tenth of the fit."""
LOOK = 10
"""Rounds after which a fit looks how many more its deadline leaves."""
_WAY: dict[TaskType, float] = {"binary": 12.0, "multiclass": 12.0, "number": 25.0}
"""Rounds times the learning rate that the steps of a hurried fit are for."""
_LEAST_PATIENCE = 15
LARGEST_RATE = 0.3
_UNITS = 10_000
"""Of a learning rate in a `Work`, which holds whole numbers."""


class Boosting(ABC):
    """A fit at work: rounds, losses and the best round so far."""

    def __init__(self, kind: TaskType, learning_rate: float) -> None:
        self._kind = kind
        self.learning_rate = learning_rate
        self.best = 0
        self.stopped_after: int | None = None
        self.hurried: float | None = None
        """The learning rate after LOOK rounds, where the deadline asked for a larger one."""
        self.curve: list[dict[str, float]] = []

    @abstractmethod
    def _update(self, done: int) -> bool:
        """Do round number `done`. Returns whether no further one can change anything."""

    @abstractmethod
    def _losses(self, *, train: bool) -> dict[str, float]:
        """The loss on the rows that are watched, as "validation", and if asked for that of "train"."""

    @abstractmethod
    def _step_by(self, learning_rate: float) -> None:
        """Use this learning rate from the next round on."""

    def run(self, rounds: int, context: FitContext, patience: int | None = None, *, own_steps: bool) -> None:
        """Boost for `rounds`, or until `patience` rounds brought no lower validation loss.

        With `own_steps` the learning rate is the fit's own choice: it grows where the deadline leaves few
        rounds (`context.hurries`).
        """
        lowest, enough, begun, waits = math.inf, 0.0, 0.0, patience
        for done in range(1, rounds + 1):
            finished = self._update(done)
            losses = self._losses(train=done % _TRAIN_LOSS_EVERY == 1)
            if losses:
                self.curve.append({"step": float(done), **losses})
            if patience is None:
                self.best = done
            elif losses["validation"] < lowest - enough:
                lowest, self.best = losses["validation"], done
            if done == 1:
                begun = time.monotonic()
                enough = 0.0 if patience is None else _ENOUGH[self._kind] * lowest
            context.progress(done / rounds, self._message(done, rounds))
            if finished or (waits is not None and done - self.best >= waits):
                break
            if done < rounds and context.ends_after(done):
                self.stopped_after = done
                break
            if done == LOOK and own_steps:
                seconds = (time.monotonic() - begun) / (LOOK - 1)
                rate = self._new_rate(context, rounds - done, seconds)
                if rate is not None:
                    self._step_by(rate)
                    waits = None if patience is None else _shorter(patience, self.learning_rate / rate)

    def _new_rate(self, context: FitContext, rounds: int, seconds: float) -> float | None:
        """The learning rate for so many rounds more, if it is another one: for a refit that of the folds."""
        if context.work is not None:
            return context.work["rate"] / _UNITS if "rate" in context.work else None
        self.hurried = self._rate_for(context, rounds, seconds)
        return self.hurried

    def _rate_for(self, context: FitContext, rounds: int, seconds: float) -> float | None:
        """The learning rate for what the deadline leaves of so many rounds, at so many seconds each; None:
        the fit's own. A repetition looks at no clock."""
        if context.repeats or context.deadline is None or not context.hurries:
            return context.hurried
        possible = max(1.0, (context.deadline() - time.monotonic()) / max(seconds, 1e-9))
        if possible >= rounds:
            return None
        way = min(_WAY[self._kind], rounds * self.learning_rate)
        wanted = round(min(LARGEST_RATE, way / possible) * _UNITS) / _UNITS
        return wanted if wanted > self.learning_rate else None

    def _message(self, done: int, rounds: int) -> str:
        last = self.curve[-1]
        return f"round {done}/{rounds} · loss {last.get('validation', last.get('train', 0.0)):.4f}"

    def work(self) -> Work:
        """What a refit has to know."""
        if self.hurried is None:
            return {"rounds": self.best}
        return {"rounds": self.best, "rate": round(self.hurried * _UNITS)}


def _shorter(patience: int, share: float) -> int:
    """Larger steps show sooner whether they lead on."""
    return max(min(patience, _LEAST_PATIENCE), round(patience * share))


def boosted_refit(works: list[Work]) -> Work:
    """The rounds of the folds in the middle; where the clock hurried most of them, as many of a middling
    learning rate as come as far."""
    hurried = [work for work in works if "rate" in work]
    if 2 * len(hurried) <= len(works):
        return {"rounds": round(statistics.median(each["rounds"] for each in works if "rate" not in each))}
    rounds = round(statistics.median(work["rounds"] for work in hurried))
    if rounds <= LOOK:
        return {"rounds": rounds}
    rate = round(statistics.median(work["rate"] for work in hurried))
    way = statistics.median(max(0, work["rounds"] - LOOK) * work["rate"] for work in hurried)
    return {"rounds": LOOK + round(way / rate), "rate": rate}
