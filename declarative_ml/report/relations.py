"""The part of the page on the data: what is suspicious, what goes with the target, what goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.report.columns import place
from declarative_ml.report.content import ReportContent
from declarative_ml.report.heat import heat_map
from declarative_ml.report.svg import spark_bars, spark_line
from declarative_ml.report.wording import count, number, percent, shortened

if TYPE_CHECKING:
    from declarative_ml.learning.relations import Relations, Stretch, TargetRelation

SHOWN = 12
"""Columns that are listed with what the target does along them."""
MATRIX = 20
_TAGS = {
    "leak": ("leak", "worse"),
    "strong": ("too good?", "worse"),
    "missing": ("missing tells", "worse"),
    "same": ("same", ""),
    "sparse": ("mostly missing", ""),
    "single": ("one value", ""),
}


def suspicion_rows(content: ReportContent) -> list[dict[str, Any]]:
    """What to look at first, the gravest on top."""
    return [
        {
            "tag": _TAGS[item.kind][0],
            "tone": _TAGS[item.kind][1],
            "columns": ", ".join(item.columns),
            "reason": item.reason[:1].upper() + item.reason[1:] if len(item.columns) == 1 else item.reason,
            "grave": item.is_grave,
        }
        for item in content.suspicions
    ]


def target_table(content: ReportContent) -> dict[str, Any] | None:
    """The columns that go with the target, the strongest first; None where nothing is known of any."""
    relations = content.relations
    known = [] if relations is None else [item for item in relations.target if item.value is not None]
    if relations is None or not known:
        return None
    return {
        "lead": _lead(content, relations),
        "along": _subject(content),
        "rows": [_row(item, content) for item in known[:SHOWN]],
        "hidden": _hidden(known[SHOWN:]),
    }


def _lead(content: ReportContent, relations: Relations) -> str:
    rows = (
        f"all {count(relations.of)} training rows"
        if relations.rows == relations.of
        else f"{count(relations.rows)} of {count(relations.of)} training rows, drawn at random"
    )
    what = {"number": "the target", "binary": f"the share of {content.task.positive}"}.get(content.task.type)
    signed = f"; with a minus sign {what} falls when the column rises" if what else ""
    return (
        f"How strongly each column by itself goes with the target, from 0 to 1{signed}. From {rows}. "
        "A model may learn more from columns together."
    )


def _subject(content: ReportContent) -> str:
    """What the pictures along the columns show; "" where there are none."""
    if content.task.type == "number":
        return f"mean {content.task.target}"
    return f"share of {content.task.positive}" if content.task.type == "binary" else ""


def _hidden(rest: list[TargetRelation]) -> str:
    if not rest:
        return ""
    most = abs(rest[0].value or 0.0)
    if len(rest) == 1:
        return f"{rest[0].column} follows with {most:.2f}."
    return f"{len(rest)} more columns follow, with {most:.2f} at most."


def _row(item: TargetRelation, content: ReportContent) -> dict[str, Any]:
    value = item.value or 0.0
    measure: str = item.measure
    if item.auc is not None:
        measure += f" · alone a ROC AUC of {max(item.auc, 1.0 - item.auc):.2f}"
    elif item.pearson is not None:
        measure += f" · linear {item.pearson:+.2f}".replace("-", "−")
    return {
        "name": _name(item),
        "measure": measure,
        "value": f"{value:.2f}".replace("-", "−"),
        "bar": round(100 * abs(value), 1),
        "falls": value < 0,
        "picture": _picture(item, content),
        "range": _range(item, content),
    }


def _name(item: TargetRelation) -> str:
    return f"length of {item.column}" if item.is_length else item.column


def _picture(item: TargetRelation, content: ReportContent) -> str:
    if len(item.along) < 2:
        return ""
    means = [stretch.mean for stretch in item.along]
    alt = f"{_subject(content)} along {item.column}: {_range(item, content)}"
    if item.along[0].level is None:
        return spark_line(means, alt)
    return spark_bars([mean - min(0.0, *means) for mean in means], alt, width=150, height=34)


def _range(item: TargetRelation, content: ReportContent) -> str:
    """From where the target is lowest to where it is highest."""
    if len(item.along) < 2:
        return ""
    ordered = sorted(item.along, key=lambda stretch: stretch.mean)
    low, high = ((_mean(content, one), _where(item, one, content)) for one in (ordered[0], ordered[-1]))
    return f"{low[0]} ({low[1]}) to {high[0]} ({high[1]})"


def _mean(content: ReportContent, stretch: Stretch) -> str:
    return _short(stretch.mean) if content.task.type == "number" else percent(stretch.mean, 0)


def _where(item: TargetRelation, stretch: Stretch, content: ReportContent) -> str:
    if stretch.level is not None:
        return shortened(stretch.level, 24)
    assert stretch.low is not None and stretch.high is not None
    column = next(column for column in content.profile if column.name == item.column)
    if item.is_length or column.dtype not in ("date", "timestamp"):
        low, high = _short(stretch.low), _short(stretch.high)
    else:
        low, high = place(column, stretch.low), place(column, stretch.high)
    return low if low == high else f"{low} … {high}"


def _short(value: float) -> str:
    text = number(value, 3)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def matrix(content: ReportContent) -> dict[str, Any] | None:
    """The heat map of the columns that go with the target most; None for fewer than three columns."""
    relations = content.relations
    if relations is None or len(relations.columns) < 3:
        return None
    lengths = {item.column for item in relations.target if item.is_length}
    order = _chained(relations, min(len(relations.columns), MATRIX))
    names = [
        f"length of {relations.columns[number]}"
        if relations.columns[number] in lengths
        else relations.columns[number]
        for number in order
    ]
    values = [[_value(relations, row, other) for other in order[:at]] for at, row in enumerate(order)]
    known = sum(item.value is not None for item in relations.target)
    return {
        "svg": heat_map(names, values),
        "hidden": known + 1 - len(order),
        "signed": any(value is not None and value < 0 for row in values for value in row),
    }


def _value(relations: Relations, one: int, other: int) -> float | None:
    return relations.values[max(one, other)][min(one, other)]


def _chained(relations: Relations, size: int) -> list[int]:
    """The target, then always the column that goes best with the one before: like stands beside like."""
    order, rest = [0], list(range(1, size))
    while rest:
        last = order[-1]
        best = max(rest, key=lambda number: (abs(_value(relations, number, last) or 0.0), -number))
        order.append(best)
        rest.remove(best)
    return order
