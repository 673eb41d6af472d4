"""Bounded summaries of a stream that merge exactly: a uniform sample and a count of distinct values."""

from __future__ import annotations

import numpy as np

SAMPLE_SIZE = 100_000
DISTINCT_SIZE = 32_768


class Sample:
    """The values of the `size` rows with the smallest hashes: uniform, and exact up to `size` rows.

    A bottom-k sample (Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). Rows
    with equal hashes are told apart by value, so the result never depends on the order of arrival.
    """

    def __init__(self, size: int = SAMPLE_SIZE) -> None:
        self.size = size
        self._parts = [(np.empty(0, dtype=np.float64), np.empty(0, dtype=np.uint64))]
        self._pending = 0
        self._limit: np.uint64 | None = None
        """No row with a larger hash can be in the sample."""
        self._sorted: np.ndarray | None = None

    def update(self, values: np.ndarray, hashes: np.ndarray) -> None:
        """Offer float64 values [N] with the uint64 hashes [N] of their rows."""
        if self._limit is not None:
            near = hashes <= self._limit
            values, hashes = values[near], hashes[near]
        self._sorted = None
        self._pending += len(values)
        self._parts.append((values, hashes))
        if self._pending > self.size:
            self._join()

    def merge(self, other: Sample) -> None:
        """Offer everything that `other` holds."""
        for values, hashes in other._parts:
            self.update(values, hashes)

    def _join(self) -> None:
        """Make one part of all, cut to `size` rows."""
        values, hashes = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        if len(values) > self.size:
            self._limit = np.partition(hashes, self.size - 1)[self.size - 1]
            inside = hashes < self._limit
            tied = np.sort(values[hashes == self._limit])[: self.size - np.count_nonzero(inside)]
            values = np.concatenate([values[inside], tied])
            hashes = np.concatenate([hashes[inside], np.full(len(tied), self._limit)])
        self._parts = [(values, hashes)]
        self._pending = 0

    @property
    def sorted_values(self) -> np.ndarray:
        """The sampled values in ascending order, float64 (read only)."""
        if self._sorted is None:
            self._join()
            self._sorted = np.sort(self._parts[0][0])
            self._sorted.flags.writeable = False
        return self._sorted


class DistinctCount:
    """How many different values: exact below `size`, else estimated within about 1/sqrt(size).

    Keeps the smallest hashes of values (Bar-Yossef et al., "Counting distinct elements in a data
    stream", RANDOM 2002).
    """

    def __init__(self, size: int = DISTINCT_SIZE) -> None:
        self.size = size
        self._hashes = np.empty(0, dtype=np.uint64)

    def update(self, values: np.ndarray) -> None:
        """Add float64 values [N]; -0.0 and 0.0 are one value."""
        self.update_hashes(_mix((values + 0.0).view(np.uint64)))

    def update_hashes(self, hashes: np.ndarray) -> None:
        """Add values of any kind by uint64 hashes of them [N]."""
        if self.exact:
            self._keep(hashes)
        else:
            self._keep(hashes[hashes < self._hashes[-1]])

    def merge(self, other: DistinctCount) -> None:
        """Add everything that `other` has seen."""
        self._keep(other._hashes)

    def _keep(self, hashes: np.ndarray) -> None:
        if len(hashes):
            self._hashes = _unique(np.concatenate([self._hashes, _unique(hashes)]))[: self.size]

    @property
    def exact(self) -> bool:
        """Whether `count` is the true number."""
        return len(self._hashes) < self.size

    @property
    def count(self) -> int:
        """The number of different values, or its estimate."""
        if self.exact:
            return len(self._hashes)
        return round((self.size - 1) / ((int(self._hashes[-1]) + 1) / 2.0**64))


def _unique(hashes: np.ndarray) -> np.ndarray:
    """np.unique by sorting, which for 64-bit integers is several times faster than its hash table."""
    ordered = np.sort(hashes)
    kept: np.ndarray = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    return kept


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea & Flood, OOPSLA 2014): a bijection that looks random."""
    mixed = bits + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return result
