"""Ways to take a share of rows, or to deal them into folds, by nothing but hashes of what is in them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from declarative_ml.learning.disk_rows import DiskRows

BLOCK_ROWS = 1 << 16
"""Rows that are divided at a time, where a way needs no more."""
_MOST_LABELS = 1 << 16


def order_by_hash(hashes: np.ndarray) -> np.ndarray:
    """The permutation [N] that sorts rows by hash; equal hashes keep their order of occurrence."""
    return np.argsort(hashes, kind="stable")


def _mix(values: np.ndarray) -> np.ndarray:
    """Another 64 random bits of each value (the finaliser of SplitMix64; Steele et al., OOPSLA 2014)."""
    mixed: np.ndarray = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


class Divider(Protocol):
    """A way to divide some rows, given by a mask."""

    def take(self, among: np.ndarray, share: float) -> np.ndarray:
        """Mask [N] of about `share` of the rows of the mask `among` [N]."""

    def deal(self, among: np.ndarray, folds: int) -> np.ndarray:
        """The fold of each row of the mask `among`, int8 [N]; -1 for the others."""


def divider_of(
    hashes: np.ndarray | DiskRows, stratify: np.ndarray | None, groups: np.ndarray | None, stable: bool
) -> Divider:
    """How to divide rows with `hashes` [N]: see splits.assign for the arguments."""
    if stable:
        return ByHash(hashes)
    if groups is not None:
        return _ByGroup(np.asarray(hashes), np.unique(groups, return_inverse=True)[1])
    strata = np.zeros(len(hashes), dtype=np.uint8) if stratify is None else _numbered(stratify)
    return _AtRandom(_by_hash(hashes), strata, int(strata.max()) + 1)


def _numbered(labels: np.ndarray) -> np.ndarray:
    """The labels as whole numbers from 0 on, in their order; some may not occur."""
    if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < _MOST_LABELS:
        return labels
    return np.unique(labels, return_inverse=True)[1]


def _by_hash(hashes: np.ndarray | DiskRows) -> np.ndarray | None:
    """The order of the rows by their hashes; None where they are in it."""
    last = 0
    for start in range(0, len(hashes), BLOCK_ROWS):
        stretch = hashes[start : start + BLOCK_ROWS]
        if int(stretch[0]) < last or (stretch[1:] < stretch[:-1]).any():
            return order_by_hash(np.asarray(hashes))
        last = int(stretch[-1])
    return None


@dataclass(frozen=True)
class _AtRandom:
    """Stretches of the hash order, stratum by stratum."""

    order: np.ndarray | None
    """The rows by their hashes; None: as they are."""
    strata: np.ndarray
    """Whole numbers [N] below `count`."""
    count: int

    def take(self, among: np.ndarray, share: float) -> np.ndarray:
        sizes = self._sizes(among)
        filled = sizes > 0
        counts = np.zeros(self.count, dtype=np.int64)
        counts[filled] = _exact_counts(sizes[filled], share)
        taken = np.zeros(len(among), dtype=bool)
        for rows, strata, places in self._ranked(among):
            taken[rows] = places < counts[strata]
        return taken

    def deal(self, among: np.ndarray, folds: int) -> np.ndarray:
        ends = np.zeros((self.count, folds), dtype=np.int64)
        turn = 0
        for stratum, size in enumerate(self._sizes(among).tolist()):
            # The odd rows of each stratum go to the next folds in turn, so that folds stay even.
            extra = size % folds
            sizes = np.full(folds, size // folds)
            sizes[(turn + np.arange(extra)) % folds] += 1
            turn = (turn + extra) % folds
            ends[stratum] = np.cumsum(sizes)
        fold = np.full(len(among), -1, dtype=np.int8)
        for rows, strata, places in self._ranked(among):
            fold[rows] = (ends[strata] <= places[:, None]).sum(axis=1)
        return fold

    def _sizes(self, among: np.ndarray) -> np.ndarray:
        """The rows of each stratum [count] in the mask `among`."""
        sizes = np.zeros(self.count, dtype=np.int64)
        for rows in self._blocks(among):
            sizes += np.bincount(self.strata[rows], minlength=self.count)
        return sizes

    def _ranked(self, among: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows of the mask `among` by hash, their strata, and the place of each in its stratum."""
        before = np.zeros(self.count, dtype=np.int64)
        for rows in self._blocks(among):
            strata = self.strata[rows]
            order = np.argsort(strata, kind="stable")
            counts = np.bincount(strata, minlength=self.count)
            places = np.empty(len(rows), dtype=np.int64)
            places[order] = np.arange(len(rows)) + np.repeat(before - (np.cumsum(counts) - counts), counts)
            before += counts
            yield rows, strata, places

    def _blocks(self, among: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(among), BLOCK_ROWS):
            if self.order is None:
                yield np.flatnonzero(among[start : start + BLOCK_ROWS]) + start
            else:
                rows = self.order[start : start + BLOCK_ROWS]
                yield rows[among[rows]]


def _exact_counts(sizes: np.ndarray, share: float) -> np.ndarray:
    """How many rows to take of each stratum: the largest remainders get the odd rows.

    The last row of a stratum is never taken. Where strata are large as classes are (20 rows in the mean),
    one of three rows or more gives at least one, so that every class can be judged.
    """
    exact = sizes * share
    counts = np.floor(exact).astype(np.int64)
    odd = round(float(sizes.sum()) * share) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[: max(0, odd)]] += 1
    if share > 0 and sizes.mean() >= 20:
        counts = np.where(sizes >= 3, np.maximum(counts, 1), counts)
    result: np.ndarray = np.minimum(counts, np.maximum(sizes - 1, 0))
    return result


@dataclass(frozen=True)
class _ByGroup:
    """Whole groups, in an order that comes from the hashes of their rows."""

    hashes: np.ndarray
    groups: np.ndarray

    def take(self, among: np.ndarray, share: float) -> np.ndarray:
        rows = np.flatnonzero(among)
        place, sizes, order = self._ordered(rows)
        ends = np.cumsum(sizes[order])
        count = int(np.abs(np.concatenate([[0], ends]) - share * len(rows)).argmin())
        if share > 0 and len(order) > 1:
            count = min(max(count, 1), len(order) - 1)
        chosen = np.zeros(len(sizes), dtype=bool)
        chosen[order[:count]] = True
        taken = np.zeros(len(among), dtype=bool)
        taken[rows] = chosen[place]
        return taken

    def deal(self, among: np.ndarray, folds: int) -> np.ndarray:
        rows = np.flatnonzero(among)
        place, sizes, order = self._ordered(rows)
        order = order[np.argsort(-sizes[order], kind="stable")]
        # Longest first, each to the emptiest fold (Graham's rule) keeps folds even.
        load = [(0, number) for number in range(folds)]
        fold = np.empty(len(sizes), dtype=np.int8)
        for group in order.tolist():
            filled, number = load[0]
            fold[group] = number
            heapq.heapreplace(load, (filled + int(sizes[group]), number))
        dealt = np.full(len(among), -1, dtype=np.int8)
        dealt[rows] = fold[place]
        return dealt

    def _ordered(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each row's group, the groups' sizes, and the order of the groups."""
        _, place, sizes = np.unique(self.groups[rows], return_inverse=True, return_counts=True)
        by_group = np.argsort(place, kind="stable")
        starts = np.cumsum(sizes) - sizes
        # A sum that wraps around does not depend on the order of rows, nor lean to large groups.
        totals = np.add.reduceat(self.hashes[rows][by_group], starts)
        return place, sizes, np.argsort(_mix(totals), kind="stable")


@dataclass(frozen=True)
class ByHash:
    """The hash of each row alone decides: parts are as large as chance makes them."""

    hashes: np.ndarray | DiskRows
    mixed: bool = False
    """Whether other bits of the hashes decide."""

    def take(self, among: np.ndarray, share: float) -> np.ndarray:
        """See Divider."""
        taken = np.zeros(len(among), dtype=bool)
        for stretch, uniform in self._uniform():
            taken[stretch] = among[stretch] & (uniform < share)
        return taken

    def deal(self, among: np.ndarray, folds: int) -> np.ndarray:
        """See Divider."""
        dealt = np.full(len(among), -1, dtype=np.int8)
        for stretch, uniform in self._uniform():
            dealt[stretch] = np.where(among[stretch], (uniform * folds).astype(np.int8), -1)
        return dealt

    def _uniform(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Stretches of the rows, and a number from 0 to below 1 for each."""
        for start in range(0, len(self.hashes), BLOCK_ROWS):
            stretch = slice(start, start + BLOCK_ROWS)
            hashes = _mix(self.hashes[stretch]) if self.mixed else self.hashes[stretch]
            yield stretch, (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
