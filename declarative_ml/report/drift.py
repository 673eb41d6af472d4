"""The training rows against the champion's: which columns moved, and by how much."""

from __future__ import annotations

from typing import Any

from declarative_ml.learning.drift import ALERT, ColumnDrift, Drift
from declarative_ml.report.svg import outlined_bars
from declarative_ml.report.wording import count, number, percent, shortened

_LEVELS = 8
_NAMED = 5
_ALT = "Shares of {} in bins that held about equal shares of the champion's training rows"


def drift_table(drift: Drift | None) -> dict[str, Any] | None:
    """The sentence, a row for each column, and a picture of each that moved."""
    if drift is None or not (drift.columns or drift.added or drift.gone):
        return None
    return {
        "sentence": _sentence(drift),
        "rows": [_row(column) for column in drift.columns],
        "moved": [picture(column, _ALT.format(column.column)) for column in drift.moved],
    }


def _sentence(drift: Drift) -> str:
    moved, all_ = len(drift.moved), len(drift.columns)
    parts = []
    if all_:
        before, now = drift.columns[0].rows
        verb = "column has" if moved == 1 else "columns have"
        parts.append(
            f"{count(moved)} of {count(all_)} {verb} moved: {count(now)} training rows against the "
            f"champion's {count(before)}. A column counts as moved from a population stability index of "
            f"{ALERT:g} on, if samples of this size differ so much by chance in less than one comparison of "
            "all columns in 100."
        )
    if drift.added:
        parts.append(f"The champion does not have {_listed(drift.added)}, or has another type of it.")
    if drift.gone:
        parts.append(f"Only the champion has {_listed(drift.gone)}.")
    return " ".join(parts)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _row(column: ColumnDrift) -> dict[str, Any]:
    before, now = column.missing
    levels = ", ".join(shortened(level, 16) for level in column.unseen_levels[:3])
    more = " …" if len(column.unseen_levels) > 3 else ""
    return {
        "name": column.column,
        "psi": number(column.distance.psi, 3),
        "noise": number(column.distance.noise, 2),
        "js": number(column.distance.js, 2),
        "missing": f"{percent(before)} → {percent(now)}" if before or now else "–",
        "unseen": f"{percent(column.unseen)} ({levels}{more})" if column.unseen_levels else "–",
        "moved": column.moved,
    }


def picture(column: ColumnDrift, alt: str) -> dict[str, Any]:
    """The shares of the cells, now beside before; `alt` says what a picture of bins shows."""
    before, now = column.shares
    if column.kind == "category":
        order = sorted(range(len(before)), key=lambda place: -max(before[place], now[place]))[:_LEVELS]
        kept = [place for place in order if before[place] or now[place]]
        largest = max(max(before[place], now[place]) for place in kept)
        levels = [
            {
                "name": shortened(column.cells[place], 24),
                "bars": [round(100 * share[place] / largest, 1) for share in (now, before)],
                "shares": [percent(share[place]) for share in (now, before)],
            }
            for place in kept
        ]
        return {"name": column.column, "svg": None, "levels": levels}
    svg = outlined_bars(now, before, alt)
    return {"name": column.column, "svg": svg, "levels": [], "low": "low", "high": "high · missing"}
