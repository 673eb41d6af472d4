"""The data profile: one card a column."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from declarative_ml.report.content import ReportContent
from declarative_ml.report.svg import spark_bars
from declarative_ml.report.wording import count, percent, shortened, trimmed

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import ColumnProfile

MAX_CARDS = 60
MAX_LEVELS = 5
_EPOCH = datetime.date(1970, 1, 1)


def column_cards(content: ReportContent) -> tuple[list[dict[str, Any]], int]:
    """The cards, target first and then by importance, and how many columns have none for lack of room."""
    weight = dict(content.importance)
    order = sorted(
        content.profile,
        key=lambda column: (
            column.name != content.task.target,
            column.name in content.dropped,
            -weight.get(column.name, 0.0),
        ),
    )
    return [_card(column, content) for column in order[:MAX_CARDS]], max(len(order) - MAX_CARDS, 0)


def _card(column: ColumnProfile, content: ReportContent) -> dict[str, Any]:
    dropped = content.dropped.get(column.name)
    kind = content.features.get(column.name, "")
    if column.name == content.task.target:
        kind = "target"
    elif dropped is not None:
        kind = "dropped"
    is_text = column.dtype == "string"
    return {
        "name": column.name,
        "kind": kind or column.dtype,
        "dropped": dropped,
        "target": kind == "target",
        "spark": None if is_text else _histogram(column),
        "levels": _levels(column) if is_text or not column.edges else [],
        "missing": percent(column.missing / column.rows) if column.missing and column.rows else None,
        "facts": _facts(column),
    }


def _histogram(column: ColumnProfile) -> str | None:
    if not any(column.counts):
        return None
    low, high = place(column, column.edges[0]), place(column, column.edges[-1])
    return spark_bars(column.counts, f"Histogram of {column.name} from {low} to {high}")


def _levels(column: ColumnProfile) -> list[dict[str, Any]]:
    if column.unique or not column.top or not column.present:
        return []
    largest = column.top[0][1]
    shown = [
        {
            "name": shortened(value, 22) if value else "(empty)",
            "share": percent(rows / column.present),
            "bar": round(100 * rows / largest, 1),
        }
        for value, rows in column.top[:MAX_LEVELS]
    ]
    rest = column.distinct - len(shown)
    if rest > 0:
        others = column.present - sum(rows for _, rows in column.top[:MAX_LEVELS])
        name = f"{count(rest)} other{'s' if rest > 1 else ''}"
        shown.append({"name": name, "share": percent(others / column.present), "bar": None})
    return shown


def _facts(column: ColumnProfile) -> list[str]:
    about = "" if column.distinct_exact else ("over " if column.dtype == "string" else "about ")
    facts = []
    if column.min is not None and column.max is not None:
        facts.append(f"{place(column, column.min)} to {place(column, column.max)}")
    if column.mean is not None and column.dtype in ("int64", "float64"):
        facts.append(f"mean {trimmed(column.mean)} ± {trimmed(column.std)}")
    if column.unique and column.present > 1:
        facts.append("every value different")
    elif column.dtype != "bool":
        facts.append(f"{about}{count(column.distinct)} values")
    if column.dtype == "string" and column.mean_length is not None and column.mean_length > 20:
        facts.append(f"{column.mean_length:.0f} characters on average")
    return facts


def place(column: ColumnProfile, value: float) -> str:
    """A value of the column as text; dates are days since 1970-01-01."""
    if column.dtype in ("date", "timestamp"):
        try:
            return (_EPOCH + datetime.timedelta(days=int(value // 1))).isoformat()
        except OverflowError:
            return trimmed(value)
    return trimmed(value)
