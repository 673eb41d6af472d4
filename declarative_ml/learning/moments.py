"""Exact mean and standard deviation of a stream: the same bits whatever the order and the blocks.

Every float64 is m * 2^e with a 53-bit m. Sums of m and of m^2 are kept per exponent e in integers,
where addition is exact and associative; the division happens once, in rational arithmetic (the idea
of Kulisch's long accumulator, here split by exponent so that numpy does the work).
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

_CHUNK = 65_536
"""Rows at a time: sums of 28-bit parts stay below 2^53, so that bincount's float64 is exact."""
_SCALES = (27, 53, 27, 54, 80, 106)
"""Binary places of the six parts: m in two parts, m^2 in two, and the rounding error of m^2 in two."""
_FIRST, _SECOND = range(2), range(2, 6)
_DIGITS = Context(prec=60)


class Moments:
    """Sums from which mean and standard deviation follow, exact for up to 2^35 values."""

    def __init__(self) -> None:
        self.count = 0
        self._lowest = 0
        self._sums = np.zeros((len(_SCALES), 0), dtype=np.int64)
        """A row for each part, a column for each exponent from `_lowest` on."""

    def update(self, values: np.ndarray) -> None:
        """Add finite float64 values [N]."""
        for start in range(0, len(values), _CHUNK):
            self._add(values[start : start + _CHUNK])
        self.count += len(values)

    def merge(self, other: Moments) -> None:
        """Add everything that `other` has seen."""
        if not other.count:
            return
        self.count += other.count
        width = other._sums.shape[1]
        self._cover(other._lowest, other._lowest + width - 1)
        start = other._lowest - self._lowest
        self._sums[:, start : start + width] += other._sums

    def _cover(self, low: int, high: int) -> None:
        """Widen the columns to hold these exponents."""
        if not self._sums.shape[1]:
            self._lowest = low
        before = max(self._lowest - low, 0)
        after = max(high - (self._lowest + self._sums.shape[1] - 1), 0)
        if before or after:
            self._sums = np.pad(self._sums, ((0, 0), (before, after)))
            self._lowest -= before

    def _add(self, values: np.ndarray) -> None:
        mantissa, exponent = np.frexp(values)
        self._cover(int(exponent.min()), int(exponent.max()))
        index = exponent - self._lowest
        square = mantissa * mantissa
        parts = (mantissa, square, _square_error(mantissa, square))
        for row, part in zip((0, 2, 4), parts, strict=True):
            scaled = np.ldexp(part, _SCALES[row])
            high = np.trunc(scaled)
            low = np.ldexp(scaled - high, _SCALES[row + 1] - _SCALES[row])
            for offset, weights in ((0, high), (1, low)):
                if not weights.any():  # of whole numbers, and of float32, most parts are nothing
                    continue
                found = np.bincount(index, weights=weights)
                self._sums[row + offset, : len(found)] += found.astype(np.int64)

    def _mean(self, parts: range, power: int) -> Fraction:
        """The mean of the value to this power, from the parts that hold it."""
        total = Fraction(0)
        for part in parts:
            for index in np.flatnonzero(self._sums[part]).tolist():
                places = power * (index + self._lowest) - _SCALES[part]
                total += int(self._sums[part, index]) * Fraction(2) ** places
        return total / self.count

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, correctly rounded; None without values."""
        return float(self._mean(_FIRST, 1)) if self.count else None

    @property
    def std(self) -> float | None:
        """The standard deviation of the values themselves (divisor N); None without values."""
        if not self.count:
            return None
        variance = self._mean(_SECOND, 2) - self._mean(_FIRST, 1) ** 2
        # Decimals, because the square of a float64 may lie outside the range of float64.
        return float(_DIGITS.sqrt(_DIGITS.divide(Decimal(variance.numerator), Decimal(variance.denominator))))


def _square_error(value: np.ndarray, square: np.ndarray) -> np.ndarray:
    """value^2 - square, exactly (Dekker 1971, with Veltkamp's split)."""
    wide = value * 134_217_729.0
    high = wide - (wide - value)
    low = value - high
    error: np.ndarray = ((high * high - square) + 2.0 * high * low) + low * low
    return error
