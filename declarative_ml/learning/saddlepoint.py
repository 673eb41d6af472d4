"""The chance of a high mean: how likely some values drawn at random have a mean as high as one that was seen.

Chernoff's bound exp(-n I(mean)) with the rate function I of the values at hand holds for draws with and
without replacement (Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 1963,
section 6); the saddlepoint approximation divides it by t s sqrt(2 pi n), with the tilt t that attains I and
the deviation s of the tilted values (Daniels, "Saddlepoint Approximations in Statistics", Annals of
Mathematical Statistics 1954). Neither needs the values to be normal, so few draws of
skewed values do not deceive them.
"""

from __future__ import annotations

import math

import numpy as np

_TILTS = 200
_LARGEST_TILT = 20.0


class Draws:
    """Means of values drawn at random from `values` [N], which are to be bounded and not all equal."""

    def __init__(self, values: np.ndarray) -> None:
        self.mean, self.spread = float(values.mean()), float(values.std())
        self._standard = (values - self.mean) / self.spread
        self._tilts = np.linspace(0, _LARGEST_TILT / max(float(self._standard.max()), 1.0), _TILTS)
        self._cumulants = np.array([_log_mean_exp(tilt * self._standard) for tilt in self._tilts])

    def chance(self, count: int, mean: float) -> float:
        """About the chance that `count` draws have a mean of at least `mean`; 1 below the mean of all."""
        exponents = self._tilts * (mean - self.mean) / self.spread - self._cumulants
        best = int(exponents.argmax())
        if best == 0:
            return 1.0
        bound = math.exp(-count * float(exponents[best]))
        if best == len(self._tilts) - 1:  # beyond the grid
            return bound
        tilt = float(self._tilts[best])
        weight = np.exp(tilt * self._standard - self._cumulants[best]) / len(self._standard)
        centre = float(weight @ self._standard)
        deviation = math.sqrt(max(float(weight @ self._standard**2) - centre**2, 0.0))
        return bound * min(1.0, 1.0 / max(tilt * deviation * math.sqrt(2 * math.pi * count), 1e-12))


def _log_mean_exp(values: np.ndarray) -> float:
    largest = float(values.max())
    return largest + math.log(float(np.exp(values - largest).mean()))
