"""The data profile: one card a column."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from declarative_ml.report.content import ReportContent
from declarative_ml.report.svg import spark_bars
from declarative_ml.report.wording import count, percent, shortened, trimmed

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import ColumnProfile

MAX_CARDS = 200
OPEN_CARDS = 24
"""The others are folded away."""
MAX_LEVELS = 5
_EPOCH = datetime.date(1970, 1, 1)


def column_cards(content: ReportContent) -> tuple[list[dict[str, Any]], int]:
    """The cards, target first and then by importance, and how many columns have none for lack of room.

    Without importance by how they go with the target.
    """
    related = () if content.relations is None else content.relations.target
    weight = dict(content.importance) or {item.column: abs(item.value or 0.0) for item in related}
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
    missing = column.missing / column.rows if column.rows else 0.0
    spark, ends = _histogram(column)
    return {
        "name": column.name,
        "kind": kind or column.dtype,
        "dropped": dropped,
        "target": kind == "target",
        "spark": spark,
        "ends": ends,
        "levels": _levels(column) if spark is None else [],
        "missing": percent(missing) if missing else None,
        "missing_bar": round(100 * missing, 1),
        "facts": _facts(column),
    }


def _histogram(column: ColumnProfile) -> tuple[str | None, tuple[str, str] | None]:
    """The picture of more than two numbers, dates or lengths of texts, and what is at its two ends."""
    if column.distinct <= 2:
        return None, None
    if column.lengths is not None:
        low, high = (
            f"{edge:.0f}" for edge in (column.lengths.edges[0] + 0.5, column.lengths.edges[-1] - 0.5)
        )
        alt = f"Lengths of {column.name} from {low} to {high} characters"
        return spark_bars(column.lengths.counts, alt), (f"{low} characters", high)
    if not any(column.counts) or column.dtype == "string":
        return None, None
    edges = column.edges[0], column.edges[-1]
    if column.min is not None and column.max is not None:  # bins of single values reach half beyond them
        edges = max(edges[0], column.min), min(edges[1], column.max)
    low, high = place(column, edges[0]), place(column, edges[1])
    return spark_bars(column.counts, f"Histogram of {column.name} from {low} to {high}"), (low, high)


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
    facts = []
    if column.min is not None and column.max is not None and _goes_beyond(column):
        facts.append(f"all from {place(column, column.min)} to {place(column, column.max)}")
    if column.quantiles and column.dtype != "bool" and column.distinct > 2:
        facts.append(f"median {place(column, column.quantiles[10])}")
    if column.mean is not None and column.dtype in ("int64", "float64") and column.distinct > 2:
        facts.append(f"mean {trimmed(column.mean)} ± {trimmed(column.std)}")
    if column.lengths is not None:
        facts.append(f"median {count(column.lengths.quantiles[10])} characters")
    elif column.dtype == "string" and column.mean_length is not None and column.mean_length > 20:
        facts.append(f"{column.mean_length:.0f} characters on average")
    if column.unique and column.present > 1:
        facts.append("every value different")
    elif column.dtype != "bool":
        about = "" if column.distinct_exact else "about "
        facts.append(f"{about}{count(column.distinct)} value{'' if column.distinct == 1 else 's'}")
    return facts


def _goes_beyond(column: ColumnProfile) -> bool:
    """Whether some values lie outside the picture, in its outermost bars."""
    assert column.min is not None and column.max is not None
    return bool(column.edges) and (column.min < column.edges[0] or column.max > column.edges[-1])


def place(column: ColumnProfile, value: float) -> str:
    """A value of the column as text; dates are days since 1970-01-01."""
    if column.dtype in ("date", "timestamp"):
        try:
            return (_EPOCH + datetime.timedelta(days=int(value // 1))).isoformat()
        except OverflowError:
            return trimmed(value)
    return trimmed(value)
