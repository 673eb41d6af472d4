"""A model that is asked aside: it gets a copy of the traffic, and nobody waits for it or sees its answers.

What is measured is how far its answers are from those that were given. Requests wait for it in a queue with
an end: what does not fit in is counted, and dropped.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from declarative_ml.core.errors import DmlError
from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.model import ServedModel

log = logging.getLogger("declarative_ml.serving")

MOST_WAITING_ROWS = 20_000
"""Rows that may wait to be compared; a request that alone has more is taken when nothing else waits."""

Columns = Mapping[str, np.ndarray]


@dataclass
class Comparison:
    """What was seen so far. Written by the shadow's thread; `dropped` by whoever hands over."""

    requests: int = 0
    rows: int = 0
    different: int = 0
    """Rows with another label; 0 for numbers, which nearly always differ."""
    difference: float = 0.0
    """Sum over the rows of the largest absolute difference of a probability, or of the number."""
    largest: float = 0.0
    dropped: int = 0
    """Requests that found the queue full."""
    failed: int = 0
    """Requests that the model could not answer."""
    seconds: float = 0.0
    """That the model took, all requests together."""
    served_seconds: float = 0.0
    """That the same requests waited for the answers they got."""

    def snapshot(self) -> dict[str, Any]:
        """See board.Tally."""
        return asdict(self)

    def absorb(self, snapshot: Mapping[str, Any]) -> None:
        """See board.Tally."""
        largest = max(self.largest, snapshot["largest"])
        for name, value in snapshot.items():
            setattr(self, name, getattr(self, name) + value)
        self.largest = largest

    def empty(self) -> Comparison:
        """See board.Tally."""
        return Comparison()

    def about(self, *, labels: bool) -> dict[str, Any]:
        """Shares and means, as GET /models shows them."""
        rows, requests = max(self.rows, 1), max(self.requests, 1)
        found: dict[str, Any] = asdict(self)
        for name in ("different", "difference", "largest", "seconds", "served_seconds"):
            del found[name]
        if labels:
            found["different_labels"] = self.different / rows
        found |= {"mean_difference": self.difference / rows, "max_difference": self.largest}
        found["mean_seconds"] = {
            "shadow": self.seconds / requests,
            "served": self.served_seconds / requests,
        }
        return found


@dataclass(slots=True)
class _Copy:
    columns: Columns
    scored: Predictions
    seconds: float


class Shadow:
    """One model that is asked aside, in a thread of its own."""

    def __init__(self, model: ServedModel, share: float = 1.0, draw: random.Random | None = None) -> None:
        self.model, self.share = model, share
        self.comparison = Comparison()
        self._draw = draw or random.Random()
        self._waiting: deque[_Copy] = deque()
        self._rows = 0
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="dml-shadow", daemon=True)
        self._thread.start()

    def offer(self, columns: Columns, scored: Predictions, seconds: float) -> None:
        """Hand over a request and its answer, which took so many seconds. Returns at once."""
        if self.share < 1.0 and self._draw.random() >= self.share:
            return
        with self._changed:
            if self._ended:
                return
            if self._waiting and self._rows + len(scored) > MOST_WAITING_ROWS:
                self.comparison.dropped += 1
                return
            self._rows += len(scored)
            self._waiting.append(_Copy(columns, scored, seconds))
            self._changed.notify()

    def is_idle(self) -> bool:
        """Whether everything that was handed over is compared."""
        with self._changed:
            return self._rows == 0

    def close(self) -> None:
        """End the thread after the request that it is at; what waits is let go."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(5)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                copy = self._waiting.popleft()
            self._compare(copy)
            with self._changed:
                self._rows -= len(copy.scored)

    def _compare(self, copy: _Copy) -> None:
        began, seen = time.perf_counter(), self.comparison
        try:
            found = self.model.scorer.predict_raw(copy.columns)
        except Exception as error:  # noqa: BLE001
            # Another model's trouble is not the service's: it is counted, and told once.
            seen.failed += 1
            if seen.failed == 1:
                told = error.message if isinstance(error, DmlError) else repr(error)
                log.warning("the shadow %s failed: %s", self.model.version, told)
            return
        seen.seconds += time.perf_counter() - began
        seen.served_seconds += copy.seconds
        away = difference(copy.scored, found)
        if found.probabilities is not None:
            seen.different += int((copy.scored.prediction != found.prediction).sum())
        seen.requests += 1
        seen.rows += len(found)
        seen.difference += float(away.sum())
        seen.largest = max(seen.largest, float(away.max(initial=0.0)))


def difference(left: Predictions, right: Predictions) -> np.ndarray:
    """[N] float64: of each row, the largest absolute difference of a probability, or that of the number."""
    if left.probabilities is None or right.probabilities is None:
        return np.abs(left.prediction.astype(np.float64) - right.prediction.astype(np.float64))
    wide = left.probabilities.astype(np.float64) - right.probabilities.astype(np.float64)
    away: np.ndarray = np.abs(wide).max(axis=1, initial=0.0)
    return away
