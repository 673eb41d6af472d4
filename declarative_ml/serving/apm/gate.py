"""Which requests reach the agent: a share of all, and those that failed or were slow.

The agent's own sampling begins a transaction for each request and throws most away at the end, which costs
more than a prediction. Here the choice is made when the answer is out: what is left out costs nothing, and
what went wrong is never left out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from declarative_ml.serving.apm.trace_context import Parent

EXTRAS = 100
"""So many slow or refused requests a second are sent beside the share. In an overload all are slow: to tell
of each would make it worse."""


class Gate:
    """Decides for one process."""

    def __init__(
        self,
        sample: float,
        slow_seconds: float,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sample, self._slow = sample, slow_seconds
        self._draw, self._clock = draw, clock
        self._left, self._at = float(EXTRAS), clock()

    def rate(self, parent: Parent | None, status: int, seconds: float, *, fault: bool) -> float | None:
        """The share of requests like this one that is sent, from which Kibana reckons how many there were;
        None: this one is not. A trace that the caller records is recorded here too, so that it is whole;
        one that he does not is not. `fault`: an exception ended it."""
        if fault or ((status >= 500 or seconds >= self._slow) and self._has_room()):
            return 1.0
        if parent is not None:
            return parent.rate if parent.recorded else None
        return self._sample if self._draw() < self._sample else None

    def _has_room(self) -> bool:
        """A token bucket (as in ITU-T I.371): it fills by EXTRAS a second, and holds as many."""
        now = self._clock()
        self._left = min(float(EXTRAS), self._left + (now - self._at) * EXTRAS)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
