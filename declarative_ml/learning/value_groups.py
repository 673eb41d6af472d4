"""Values of any number of rows in ascending order, equal ones as one group: runs sorted in memory and merged
from the disk (Knuth, "The Art of Computer Programming", volume 3, section 5.4).

Memory holds one run while they are written, and a stretch of each while they are merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from declarative_ml.learning.buckets import Buckets

Groups = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Distinct ascending values [g], and how many rows of each are marked and not marked, int64 [g]."""

_STRETCH = 1 << 12
"""Groups of a run that are read at a time."""


class ValueGroups:
    """Rows with a value and a mark, put in part by part, and read once as groups; to be used in a `with`."""

    def __init__(self, path: Path, parts: int) -> None:
        """`path`: a file to write, gone at the end. `parts`: how many will be put in at most."""
        self._buckets = Buckets(path, parts, ("<f8", "<i8", "<i8"))
        self._added = 0

    def __enter__(self) -> Self:
        self._buckets.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buckets.__exit__(kind, error, trace)

    def add(self, values: np.ndarray, marked: np.ndarray) -> None:
        """Put in rows: numbers [n] (no NaN) and bool [n]."""
        if not len(values):
            return
        run = _joined(values.astype(np.float64), marked.astype(np.int64), (~marked).astype(np.int64))
        for start in range(0, len(run[0]), _STRETCH):
            self._buckets.add(self._added, [array[start : start + _STRETCH] for array in run])
        self._added += 1

    def ascending(self) -> Iterator[Groups]:
        """The groups, some at a time."""
        runs = [self._buckets.stretches(number) for number in range(self._added)]
        held = [(next(run), run) for run in runs]
        while held:
            # Of each run, what is unread lies above its last value: up to the least of these all is known.
            reach = min(stretch[0][-1] for stretch, _ in held)
            taken, left = [], []
            for stretch, run in held:
                cut = int(np.searchsorted(stretch[0], reach, side="right"))
                taken.append([array[:cut] for array in stretch])
                rest = [array[cut:] for array in stretch] if cut < len(stretch[0]) else next(run, None)
                if rest is not None:
                    left.append((rest, run))
            held = left
            yield _joined(*(np.concatenate(arrays) for arrays in zip(*taken, strict=True)))


def _joined(values: np.ndarray, marked: np.ndarray, others: np.ndarray) -> Groups:
    """Ascending, with the counts of equal values added; at least one value."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return (
        ordered[starts],
        np.add.reduceat(marked[order], starts),
        np.add.reduceat(others[order], starts),
    )
