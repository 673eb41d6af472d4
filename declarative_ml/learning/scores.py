"""Metrics of rows in memory or on disk: however many there are, a bounded part of them is in memory.

Few rows are scored as `metrics.score` does. Of more, sums and counts are added up part by part, and what
follows from the order of the rows is read off their values, brought into order on disk: the same number but
for the rounding of sums (no estimate).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.metrics import (
    COUNTED,
    ECE_BINS,
    ROW_MEANS,
    Counts,
    checked,
    count_rows,
    ece_gaps,
    score,
)
from declarative_ml.learning.task import Task
from declarative_ml.learning.value_groups import ValueGroups

Rows = np.ndarray | DiskRows
"""An array [N, …] in memory, or on disk."""

AT_ONCE = 1 << 20
"""Of so many predicted numbers (rows x classes) at most, all rows are in memory."""
_PART = 1 << 19
"""Predicted numbers that are read at a time of more."""
_FILES = 8
"""Classes whose rows are brought into order in one pass."""
_RANKED = ("roc_auc", "average_precision")


def scores(
    names: Sequence[str],
    task: Task,
    truth: Rows,
    prediction: Rows,
    *,
    threshold: float = 0.5,
    scratch: Path | None = None,
) -> dict[str, float]:
    """Metric -> value, nan where these rows do not define it; arguments as for `metrics.score`.

    `scratch`: a folder for files that are gone at the end; None: the system's. Raises DataError as
    `metrics.score` does.
    """
    if in_memory(prediction):
        known, guess = np.asarray(truth), np.asarray(prediction)
        return {name: score(name, task, known, guess, threshold=threshold) for name in names}
    with TemporaryDirectory(dir=scratch) as folder:
        return _Streamed(task, truth, prediction, threshold, Path(folder)).scores(names)


def in_memory(prediction: Rows) -> bool:
    """Whether there are few enough rows to have all of them in memory."""
    return prediction.size <= AT_ONCE


def parts(rows: Rows) -> Iterator[slice]:
    """Stretches of rows of which one is in memory at a time."""
    width = max(1, rows.size // max(len(rows), 1))
    step = max(1, _PART // width)
    return (slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step))


class _Tally(Protocol):
    """What is kept of the rows seen so far to know the metrics `names` of all of them."""

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Take further rows into account."""

    def values(self) -> dict[str, float]:
        """The metrics of all rows added, of which there is one at least."""


class _Streamed:
    """The scores of many rows, in as few passes as their kinds need."""

    def __init__(self, task: Task, truth: Rows, prediction: Rows, threshold: float, folder: Path) -> None:
        self.task, self.truth, self.prediction = task, truth, prediction
        self.threshold, self.folder = threshold, folder

    def scores(self, names: Sequence[str]) -> dict[str, float]:
        """Metric -> value."""
        counted = [name for name in names if name in COUNTED]
        found: dict[str, float] = {}
        with ExitStack() as stack:
            tallies: list[_Tally] = [_Mean(name, self.threshold) for name in names if name in ROW_MEANS]
            tallies += [_Counted(counted, self.threshold)] if counted else []
            tallies += [_Ece()] if "ece" in names else []
            tallies += [_Determination()] if "r2" in names else []
            if "median_absolute_error" in names:
                errors = ValueGroups(self.folder / "errors", self._count())
                tallies.append(_Median(stack.enter_context(errors)))
            found |= self._passed(names, tallies)
        if any(name in _RANKED for name in names):
            found |= self._ranked()
        return {name: found[name] for name in names}

    def _count(self) -> int:
        return sum(1 for _ in parts(self.prediction))

    def _passed(self, names: Sequence[str], tallies: Sequence[_Tally]) -> dict[str, float]:
        for name in names[1:]:
            checked(name, self.task, self.truth[:0], self.prediction[:0])
        for part in parts(self.prediction):
            rows = self.truth[part], self.prediction[part]
            _, truth, prediction = checked(names[0], self.task, *rows, part.start)
            for tally in tallies:
                tally.add(truth, prediction)
        return {name: value for tally in tallies for name, value in tally.values().items()}

    def _ranked(self) -> dict[str, float]:
        """The means over the classes of one against the rest; of two classes, of the positive one."""
        classes = range(1, 2) if len(self.task.classes) == 2 else range(len(self.task.classes))
        areas: list[tuple[float, float]] = []
        count = self._count()
        for start in range(0, len(classes), _FILES):
            some = classes[start : start + _FILES]
            with ExitStack() as stack:
                files = [
                    stack.enter_context(ValueGroups(self.folder / f"class{number}", count)) for number in some
                ]
                for part in parts(self.prediction):
                    truth, prediction = self.truth[part], self.prediction[part]
                    for number, file in zip(some, files, strict=True):
                        file.add(-prediction[:, number], truth == number)
                areas += [_areas(file) for file in files]
        return {name: float(np.mean(found)) for name, found in zip(_RANKED, zip(*areas, strict=True))}


class _Mean:
    """A metric that is the mean of a value of each row."""

    def __init__(self, name: str, threshold: float) -> None:
        self.name, self.threshold = name, threshold
        self.sums: list[float] = []
        self.rows = 0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self.sums.append(float(ROW_MEANS[self.name](truth, prediction, self.threshold).sum(dtype=np.float64)))
        self.rows += len(truth)

    def values(self) -> dict[str, float]:
        mean = math.fsum(self.sums) / self.rows
        return {self.name: math.sqrt(mean) if self.name == "rmse" else mean}


class _Counted:
    """Metrics of predicted classes."""

    def __init__(self, names: Sequence[str], threshold: float) -> None:
        self.names, self.threshold = names, threshold
        self.counts: Counts | None = None

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        found = count_rows(truth, prediction, np.ones((1, len(truth))), self.threshold)
        self.counts = found if self.counts is None else self.counts + found

    def values(self) -> dict[str, float]:
        assert self.counts is not None
        return {name: float(COUNTED[name](self.counts)[0]) for name in self.names}


class _Ece:
    """The calibration error."""

    def __init__(self) -> None:
        self.gaps, self.rows = np.zeros((1, ECE_BINS)), 0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self.gaps += ece_gaps(truth, prediction, np.ones((1, len(truth))))
        self.rows += len(truth)

    def values(self) -> dict[str, float]:
        return {"ece": float(np.abs(self.gaps).sum() / self.rows)}


class _Determination:
    """r2: squares around the mean, merged (Chan, Golub & LeVeque, The American Statistician 1983)."""

    def __init__(self) -> None:
        self.rows, self.mean, self.squares, self.errors = 0, 0.0, 0.0, 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        mean, before = float(truth.mean()), self.rows
        self.rows += len(truth)
        step = mean - self.mean
        self.squares += float(np.square(truth - mean).sum()) + step**2 * before * len(truth) / self.rows
        self.mean += step * len(truth) / self.rows
        self.errors += float(np.square(truth - prediction).sum())
        self.least, self.most = min(self.least, float(truth.min())), max(self.most, float(truth.max()))

    def values(self) -> dict[str, float]:
        if self.least == self.most or not self.squares > 0:
            return {"r2": 1.0 if self.errors == 0 else 0.0}
        return {"r2": 1.0 - self.errors / self.squares}


class _Median:
    """The median absolute error."""

    def __init__(self, errors: ValueGroups) -> None:
        self.groups, self.rows = errors, 0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        self.groups.add(np.abs(truth - prediction), np.ones(len(truth), dtype=bool))
        self.rows += len(truth)

    def values(self) -> dict[str, float]:
        below, middle = 0, [(self.rows - 1) // 2, self.rows // 2]
        found: list[float] = []
        for values, counts, _ in self.groups.ascending():
            reached = below + np.cumsum(counts)
            while len(found) < len(middle) and middle[len(found)] < reached[-1]:
                found.append(float(values[np.searchsorted(reached, middle[len(found)], side="right")]))
            below = int(reached[-1])
        return {"median_absolute_error": 0.5 * (found[0] + found[1])}


def _areas(rows: ValueGroups) -> tuple[float, float]:
    """The area under the ROC curve and the average precision of rows whose values are negated scores; nan
    where a class that is needed has no row. Counts are whole numbers: the first is exact for 2^31 rows."""
    hits, misses, corners = 0, 0, 0
    precisions: list[float] = []
    for _, positive, negative in rows.ascending():
        yes, no = hits + np.cumsum(positive), misses + np.cumsum(negative)
        corners += int((negative * (2 * yes - positive)).sum())
        precisions.append(float((positive * (yes / (yes + no))).sum()))
        hits, misses = int(yes[-1]), int(no[-1])
    area = 0.5 * corners / (hits * misses) if hits and misses else math.nan
    return area, math.fsum(precisions) / hits if hits else math.nan
