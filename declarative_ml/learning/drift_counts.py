"""Rows of a window, counted in the cells of a bundle's reference: numbers that merge by addition.

A row costs no more than its place among fixed edges or levels, and a column some kilobytes, whatever the
number of rows. Counts of several processes add up to those of all their rows. numpy alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

import numpy as np

MOST_UNSEEN = 50
"""Levels that the reference does not keep are counted by name up to here, the others together."""
_LONGEST = 100
"""Characters of such a name."""
_DAY = 86_400.0
_EPOCH = datetime(1970, 1, 1)

Entry = dict[str, Any]
"""Counts of a column as JSON, in the form of an entry of reference.json."""


class ColumnCounts(Protocol):
    """One column of a window."""

    def update(self, values: np.ndarray) -> None:
        """Add raw values [N]: float32 with NaN, or text with "" for a missing one."""

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add what others have counted against the same reference."""

    def entry(self) -> Entry:
        """What was counted."""


class BinCounts:
    """A column whose reference has bins: a number, the days of a date, or the length of a text."""

    def __init__(self, reference: Mapping[str, Any]) -> None:
        self._kind: str = reference["kind"]
        self._edges = np.asarray(reference["edges"] or [0.0, 0.0], dtype=np.float64)
        self._counts = np.zeros(len(self._edges) - 1, dtype=np.int64)
        # One search tells all: minus infinity, below the range, the bins, above it, and what is no number.
        beyond = np.nextafter(self._edges[-1], np.inf)
        self._limits = np.array([np.finfo(np.float64).min, *self._edges[:-1], beyond, np.inf])
        self._rows = self._missing = self._outside = 0

    def update(self, values: np.ndarray) -> None:
        """See ColumnCounts."""
        numbers = _numbers(self._kind, values)
        places = np.searchsorted(self._limits, numbers, side="right")
        cells = np.bincount(places, minlength=len(self._limits) + 1)
        (lowest, below), (above, highest) = cells[:2].tolist(), cells[-2:].tolist()
        self._counts += cells[2:-2]
        self._counts[0] += below
        self._counts[-1] += above
        self._rows += len(numbers)
        self._missing += lowest + highest
        self._outside += below + above

    def add(self, entry: Mapping[str, Any]) -> None:
        """See ColumnCounts."""
        self._counts += np.asarray(entry["counts"], dtype=np.int64)
        self._rows += entry["rows"]
        self._missing += entry["missing"]
        self._outside += entry["outside"]

    def entry(self) -> Entry:
        """`edges`, `counts`, `missing`, `rows`, and `outside`: rows beyond the reference's range."""
        return {
            "kind": self._kind,
            "edges": self._edges.tolist(),
            "counts": self._counts.tolist(),
            "missing": self._missing,
            "rows": self._rows,
            "outside": self._outside,
        }


class LevelCounts:
    """A column whose reference has levels."""

    def __init__(self, reference: Mapping[str, Any]) -> None:
        self._levels: list[str] = list(reference["levels"])
        self._counts: Counter[str | None] = Counter(dict.fromkeys([*self._levels, "", None], 0))
        """Levels of the reference, what stands for a missing value, then the unseen levels that are named."""
        self._first_unseen = len(self._counts)
        self._rows = self._other = 0

    def update(self, values: np.ndarray) -> None:
        """See ColumnCounts."""
        known = len(self._counts)
        self._counts.update(values.tolist())
        self._rows += len(values)
        if len(self._counts) > known:
            for level in list(islice(self._counts, known, None)):
                self._count_unseen(level or "", self._counts.pop(level))

    def _count_unseen(self, level: str, rows: int) -> None:
        """Count a level by its name, cut short, if it is one of the named ones or there is a place left."""
        name = level[:_LONGEST]
        if name in self._counts or len(self._counts) < self._first_unseen + MOST_UNSEEN:
            self._counts[name] += rows
        else:
            self._other += rows

    def add(self, entry: Mapping[str, Any]) -> None:
        """See ColumnCounts."""
        for level, rows in zip(entry["levels"], entry["counts"], strict=True):
            self._count_unseen(level, rows)
        self._counts[""] += entry["missing"]
        self._rows += entry["rows"]
        self._other += entry["other"]

    def entry(self) -> Entry:
        """`levels` and `counts`: those of the reference, then unseen ones; `other`: more of these."""
        found = islice(self._counts.items(), self._first_unseen, None)
        unseen = sorted(((level or "", rows) for level, rows in found), key=lambda item: (-item[1], item[0]))
        return {
            "kind": "category",
            "levels": [*self._levels, *(level for level, _ in unseen)],
            "counts": [*(self._counts[level] for level in self._levels), *(rows for _, rows in unseen)],
            "other": self._other,
            "missing": self._counts[""] + self._counts[None],
            "rows": self._rows,
        }


class WindowCounts:
    """All columns and answers of a window."""

    def __init__(self, reference: Mapping[str, Any], columns: Sequence[str] = ()) -> None:
        """`reference`: of a bundle; `columns`: the only ones to count, all where there are none."""
        self.rows = 0
        known = reference.get("columns", {})
        wanted = [name for name in known if name in columns] if columns else list(known)
        self.columns = {name: counts_for(known[name]) for name in wanted}
        self.answers = {name: counts_for(item) for name, item in reference.get("predictions", {}).items()}

    def update(self, columns: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray]) -> None:
        """Count rows: raw columns [N] or [N, 1], and what `answer_cells` makes of the answers [N]."""
        for name, counts in self.columns.items():
            counts.update(columns[name].reshape(-1))
        for name, counts in self.answers.items():
            counts.update(answers[name])
        self.rows += len(next(iter(columns.values()), ()))

    def add(self, counted: Mapping[str, Any]) -> None:
        """Add the `as_dict` of another window, counted against the same reference."""
        self.rows += counted["rows"]
        for mine, theirs in ((self.columns, counted["columns"]), (self.answers, counted["predictions"])):
            for name, counts in mine.items():
                counts.add(theirs[name])

    def as_dict(self) -> dict[str, Any]:
        """What was counted, as JSON: `{"rows", "columns": {name: Entry}, "predictions": {name: Entry}}`."""
        return {
            "rows": self.rows,
            "columns": {name: counts.entry() for name, counts in self.columns.items()},
            "predictions": {name: counts.entry() for name, counts in self.answers.items()},
        }


def counts_for(reference: Mapping[str, Any]) -> ColumnCounts:
    """Empty counts in the cells of an entry of reference.json."""
    return LevelCounts(reference) if reference["kind"] == "category" else BinCounts(reference)


def _numbers(kind: str, values: np.ndarray) -> np.ndarray:
    """What is counted of raw values: float64 [N], NaN where one is missing."""
    if kind == "text":
        lengths = np.fromiter((len(text or "") for text in values.tolist()), np.float64, len(values))
        return np.where(lengths > 0, lengths, np.nan)
    if kind == "date":
        return np.fromiter(map(_days, values.tolist()), np.float64, len(values))
    return values.astype(np.float64)


def _days(text: str | None) -> float:
    """Days since 1970-01-01 of an ISO date, with its time as a fraction; NaN for what is none."""
    try:
        return (datetime.fromisoformat(text or "").replace(tzinfo=None) - _EPOCH).total_seconds() / _DAY
    except ValueError:
        return float("nan")
