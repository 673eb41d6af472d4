"""When a measured value passes a gate. Every rule is a comparison of numbers, so that it can be simulated.

The paired comparison fails a model only if the interval of its gain lies wholly on the bad side: a model
that is equal then passes, but for half of one minus the confidence. With `sure` it passes only if the
interval lies wholly on the good side; with a `by` below 0 that is the usual test of non-inferiority
(Wellek, "Testing Statistical Hypotheses of Equivalence and Noninferiority", 2010, chapter 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Bounds = tuple[float, float]

CONFIDENCE = 0.95
ROWS = 30
"""Values and groups with fewer rows are not judged."""
_NOISE = 1e-9
"""Differences below this share of the score are rounding: two equal models must come out equal."""
_TAIL = 25
"""So many resamples lie outside each end of an interval, for its ends to be steady."""
_MOST_RESAMPLES = 5000


@dataclass(frozen=True)
class Demand:
    """The lowest and highest value that pass, and how sure that has to be."""

    low: float | None = None
    high: float | None = None
    sure: bool = False

    def passes(self, observed: float, interval: Bounds | None) -> bool:
        """Whether a value passes; with `sure` its whole interval must, and without one it does not."""
        if not self.sure:
            return self._holds(observed)
        return interval is not None and all(self._holds(end) for end in interval)

    def _holds(self, value: float) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    def nearest(self, observed: float) -> tuple[float, str]:
        """The limit that the value is nearest to failing, or fails by most, and `min` or `max`."""
        if self.high is None or (self.low is not None and observed - self.low <= self.high - observed):
            return float(self.low or 0.0), "min"
        return self.high, "max"

    def margin(self, observed: float) -> float:
        """How far inside the nearest limit the value is; negative outside."""
        limit, bound = self.nearest(observed)
        return observed - limit if bound == "min" else limit - observed


def stands_up(low: float, high: float, by: float, *, sure: bool, scale: float = 1.0) -> bool:
    """Whether a model with a gain on the champion between `low` and `high` passes a gate that asks for `by`.

    Gains above 0 are improvements, whatever the metric's direction; `scale` is the size of the scores.
    """
    noise = _NOISE * max(abs(scale), abs(by))
    return low > by + noise if sure else not high < by - noise


def shared_confidence(confidence: float, slices: int, *, sure: bool) -> float:
    """The confidence of each slice's interval, so that the gate on all of them has the one asked for.

    Where one bad slice fails the model, chance has as many tries as there are slices: Bonferroni's
    correction. `sure` must hold everywhere, which needs none (Berger, Technometrics 1982).
    """
    return confidence if sure else 1.0 - (1.0 - confidence) / max(slices, 1)


def resamples_for(confidence: float) -> int:
    """How many resamples make the ends of an interval steady."""
    return min(max(1000, math.ceil(2 * _TAIL / (1.0 - confidence))), _MOST_RESAMPLES)
