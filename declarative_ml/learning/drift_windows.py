"""Verdicts on windows of rows: which columns moved away from the training rows, and why it is no chance.

A column moved when one of these holds, each beyond what chance reaches in one window of a hundred, whatever
the number of columns (Bonferroni):

* its population stability index is at least the alert level (see `learning.drift`);
* the share of a level, of missing values, or of values outside the training range at least doubled or
  halved, by five points or more. The index of such a change may be small: that a tenth of the rows became
  a fifth gives 0.08.

Below `least` rows there is no verdict: the theory behind both needs some rows in each cell.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from declarative_ml.learning.drift import ALERT, FALSE_ALARMS, MISSING, OTHER, ColumnDrift, column_drift
from declarative_ml.learning.drift_counts import WindowCounts

if TYPE_CHECKING:
    import numpy as np

LEAST_CHANGE = 0.05
"""Of a share that doubled or halved."""
OUTSIDE = "(outside the training range)"


@dataclass(frozen=True)
class Watched:
    """One column, or one part of the answers, of a window."""

    drift: ColumnDrift
    unseen: float
    """Share of the rows with a level that the reference does not keep."""
    unseen_before: float
    """That of the training rows."""
    outside: float
    """Share of the rows beyond the range of the training rows."""
    reasons: tuple[str, ...]
    """Why it counts as moved; none: it did not."""
    is_answer: bool = False

    @property
    def column(self) -> str:
        """Its name."""
        return self.drift.column

    @property
    def moved(self) -> bool:
        """Whether it is away from the reference by more than chance, and by enough to be told."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """As JSON; `noise` is what the three measures stay below by chance."""
        distance, (before, now) = self.drift.distance, self.drift.missing
        ks = None if distance.ks is None else round(distance.ks, 6)
        return {
            "column": self.column,
            "kind": self.drift.kind,
            "rows": self.drift.rows[1],
            "psi": round(distance.psi, 6),
            "js": round(distance.js, 6),
            "ks": ks,
            "noise": {
                "psi": round(distance.noise, 6),
                "js": round(distance.js_noise, 6),
                "ks": None if ks is None else round(distance.ks_noise, 6),
            },
            "missing": {"reference": round(before, 6), "now": round(now, 6)},
            "unseen": {"reference": round(self.unseen_before, 6), "now": round(self.unseen, 6)},
            "unseen_levels": list(self.drift.unseen_levels[:5]),
            "outside": round(self.outside, 6),
            "moved": self.moved,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Verdict:
    """A window against the reference."""

    rows: int
    needed: int
    """Rows below which there is no verdict."""
    watched: tuple[Watched, ...]
    """All columns, then the answers; the measures are there whatever the number of rows."""

    @property
    def is_reached(self) -> bool:
        """Whether there are rows enough to tell."""
        return self.rows >= self.needed

    @property
    def moved(self) -> tuple[Watched, ...]:
        """What moved, the farthest first; nothing where there is no verdict."""
        found = [item for item in self.watched if item.moved and self.is_reached]
        return tuple(sorted(found, key=lambda item: -item.drift.distance.psi))

    @property
    def word(self) -> str:
        """`drift`, `no drift` or `too few rows`."""
        return ("drift" if self.moved else "no drift") if self.is_reached else "too few rows"

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        parts: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        for item in self.watched:
            shown = item.as_dict()
            if not self.is_reached:
                shown |= {"moved": None, "reasons": []}
            parts[item.is_answer].append(shown)
        return {
            "rows": self.rows,
            "rows_needed": self.needed,
            "verdict": self.word,
            "moved": [item.column for item in self.moved],
            "columns": parts[False],
            "predictions": parts[True],
        }


def judge(
    reference: Mapping[str, Any], counted: Mapping[str, Any], *, least: int, alert: float = ALERT
) -> Verdict:
    """Compare a window, as `WindowCounts.as_dict` gives it, with a bundle's reference."""
    pairs = [
        (name, reference[part][name], entry, part == "predictions")
        for part in ("columns", "predictions")
        for name, entry in counted[part].items()
    ]
    watched = [
        _watched(name, before, now, 2 * len(pairs), alert, answer) for name, before, now, answer in pairs
    ]
    return Verdict(counted["rows"], least, tuple(watched))


def _watched(
    name: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    comparisons: int,
    alert: float,
    is_answer: bool,
) -> Watched:
    found = column_drift(name, before, now, comparisons, alert=alert)
    rows = max(found.rows[1], 1)
    unseen = found.unseen + now.get("other", 0) / rows
    unseen_before = before.get("other", 0) / max(found.rows[0], 1)
    outside = now.get("outside", 0) / rows
    reasons = [f"psi {found.distance.psi:.2f}"] if found.moved else []
    reasons += _jumps(found, unseen_before, unseen, outside, comparisons)
    return Watched(found, unseen, unseen_before, outside, tuple(reasons), is_answer)


def _jumps(
    found: ColumnDrift, unseen_before: float, unseen: float, outside: float, comparisons: int
) -> list[str]:
    """The shares that doubled or halved, in words, those that changed most first."""
    shares = list(zip(found.cells, *found.shares, strict=True))
    if found.kind == "category":
        apart = {OTHER, *found.unseen_levels}
        shares = [item for item in shares if item[0] not in apart]
        shares.append(("levels that were not kept", unseen_before, unseen))
    else:
        shares = [item for item in shares if item[0] == MISSING]
        if found.kind == "number":
            # Of m training rows, two are the ends of the range: this share of others lies beyond.
            shares.append((OUTSIDE, 2 / (found.rows[0] + 1), outside))
    chance = FALSE_ALARMS / (comparisons * len(shares))
    reach = NormalDist().inv_cdf(1 - chance / 2)
    clear = [item for item in shares if _has_jumped(item[1], item[2], found.rows, reach)]
    clear.sort(key=lambda item: -abs(item[2] - item[1]))
    return [f"{name} {before:.1%} → {now:.1%}" for name, before, now in clear[:3]]


def _has_jumped(before: float, now: float, rows: tuple[int, int], reach: float) -> bool:
    change = abs(now - before)
    if change < LEAST_CHANGE or max(before, now) < 2 * min(before, now):
        return False
    sizes = max(rows[0], 1), max(rows[1], 1)
    together = (before * sizes[0] + now * sizes[1]) / sum(sizes)
    return change > reach * math.sqrt(together * (1 - together) * (1 / sizes[0] + 1 / sizes[1]))


@dataclass
class Window:
    """Rows from a time on."""

    counts: WindowCounts
    began: float = field(default_factory=time.time)
    ended: float | None = None
    """Both in seconds since 1970."""


class Windows:
    """Two windows that follow each other: the one that fills, and the last full one."""

    def __init__(
        self,
        reference: Mapping[str, Any],
        *,
        rows: int,
        least: int,
        seconds: float | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        """A window is full with `rows` rows, or `seconds` after its first row if it has `least` rows then."""
        self.reference = reference
        self._rows, self._least, self._seconds, self._columns = rows, least, seconds, columns
        self.current = self._fresh()
        self.last: Window | None = None

    def _fresh(self) -> Window:
        return Window(WindowCounts(self.reference, self._columns))

    def update(
        self, columns: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], now: float | None = None
    ) -> None:
        """Count rows that came until `now`; see WindowCounts.update."""
        now = time.time() if now is None else now
        if not self.current.counts.rows:
            self.current.began = now
        self.current.counts.update(columns, answers)
        self.turn(now)

    def turn(self, now: float) -> None:
        """Begin a new window where the current one is full."""
        rows, age = self.current.counts.rows, now - self.current.began
        late = self._seconds is not None and age >= self._seconds and rows >= self._least
        if rows >= self._rows or late:
            self.current.ended = now
            self.last, self.current = self.current, self._fresh()

    def state(self) -> dict[str, Any]:
        """Both windows as JSON, `{"current", "last"}`, the last one `null` until one was full; what
        `drift_report` reads, of one process or of several."""
        return {"current": _as_state(self.current), "last": _as_state(self.last) if self.last else None}


def _as_state(window: Window) -> dict[str, Any]:
    return {"began": window.began, "ended": window.ended, **window.counts.as_dict()}


def merged(reference: Mapping[str, Any], windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Windows of several processes as one: their counts added, from the first beginning to the last end."""
    if len(windows) == 1:
        return dict(windows[0])
    names = [name for name in reference.get("columns", {}) if name in windows[0]["columns"]]
    total = WindowCounts(reference, names)
    for window in windows:
        total.add(window)
    ends = [window["ended"] for window in windows if window["ended"] is not None]
    began = min(window["began"] for window in windows)
    return {"began": began, "ended": max(ends, default=None), **total.as_dict()}


def judge_windows(
    reference: Mapping[str, Any], states: Sequence[Mapping[str, Any]], *, least: int, alert: float = ALERT
) -> dict[str, tuple[dict[str, Any], Verdict]]:
    """The windows `current` and, where a process has filled one, `last`, each with its verdict; `states` are
    those of one process or of several (`Windows.state`), counted against the same reference."""
    found = {}
    for name in ("current", "last"):
        present = [state[name] for state in states if state[name] is not None]
        if present:
            window = merged(reference, present)
            found[name] = window, judge(reference, window, least=least, alert=alert)
    return found
