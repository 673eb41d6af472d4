"""The tables of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from declarative_ml.report.comparison import Comparison, Side
from declarative_ml.report.content import ConversionResult, MemberResult
from declarative_ml.report.disagreement import agreement
from declarative_ml.report.tables import MAX_FEATURES, SMALL_SLICE
from declarative_ml.report.wording import (
    count,
    is_greater_better,
    latency,
    metric_title,
    metric_value,
    number,
    percent,
    seconds,
    shortened,
    size,
    trimmed,
)

NOTHING = "–"


def signed(name: str, value: float) -> str:
    """A difference of a metric with its sign, a true minus."""
    if not math.isfinite(value):
        return NOTHING
    text = metric_value(name, abs(value))
    return text if not value else f"{'+' if value > 0 else '−'}{text}"


def judged(name: str, low: float, high: float) -> str:
    """`better` or `worse` where the whole interval of the difference is on one side of nothing."""
    if not (math.isfinite(low) and math.isfinite(high)) or low <= 0.0 <= high:
        return ""
    return "better" if (low > 0) == is_greater_better(name) else "worse"


def metric_rows(found: Comparison) -> list[dict[str, Any]]:
    """One row a metric of the test rows, or of the validation rows where there are no test rows."""
    old, new = found.first.content, found.second.content
    part = compared_part(found)
    if part is None:
        return []
    names = dict.fromkeys([new.primary, *new.metrics[part], *old.metrics[part]])
    rows = []
    for name in names:
        before, after = old.metrics[part].get(name), new.metrics[part].get(name)
        difference, low, high = found.differences.get(name, (math.nan, math.nan, math.nan))
        if name not in found.differences and before is not None and after is not None:
            difference = after - before
        known = math.isfinite(low) and math.isfinite(high)
        rows.append(
            {
                "title": metric_title(name),
                "better": ("↑", "higher is better") if is_greater_better(name) else ("↓", "lower is better"),
                "primary": name == new.primary,
                "first": metric_value(name, before),
                "second": metric_value(name, after),
                "difference": signed(name, difference),
                "interval": f"{signed(name, low)} … {signed(name, high)}" if known else NOTHING,
                "judged": judged(name, low, high),
            }
        )
    return rows


def compared_part(found: Comparison) -> str | None:
    """The part of the data that both have numbers of."""
    old, new = found.first.content.metrics, found.second.content.metrics
    return next((part for part in ("test", "validation") if part in old and part in new), None)


def slice_rows(found: Comparison) -> list[dict[str, Any]]:
    """The primary metric on each slice that either has, with the rows and intervals of both."""
    name = found.second.content.primary
    sides = [{item.slice: item for item in side.content.slices} for side in (found.first, found.second)]
    rows = []
    for title in dict.fromkeys([*sides[1], *sides[0]]):
        row: dict[str, Any] = {"name": title, "small": False}
        for place, items in zip(("first", "second"), sides):
            item = items.get(title)
            row[place] = NOTHING if item is None else metric_value(name, item.metrics.get(name))
            row[f"{place}_rows"] = NOTHING if item is None else count(item.rows)
            row[f"{place}_interval"] = (
                "–".join(metric_value(name, bound) for bound in item.interval)
                if item and item.interval
                else ""
            )
            row["small"] |= item is not None and item.rows < SMALL_SLICE
        rows.append(row)
    return rows


def importance_rows(found: Comparison) -> list[dict[str, Any]]:
    """Shares of the mean absolute SHAP values in both, the most important for either first."""
    shares = [_shares(side.content.importance) for side in (found.first, found.second)]
    names = dict.fromkeys([*shares[1], *shares[0]])
    ranked = sorted(names, key=lambda name: -max(share.get(name, 0.0) for share in shares))
    largest = max((value for share in shares for value in share.values()), default=0.0) or 1.0
    return [
        {
            "name": name,
            "shares": [percent(share[name]) if name in share else NOTHING for share in shares],
            "bars": [round(100 * share.get(name, 0.0) / largest, 1) for share in shares],
        }
        for name in ranked[:MAX_FEATURES]
    ]


def _shares(importance: Sequence[tuple[str, float]]) -> dict[str, float]:
    total = sum(value for _, value in importance) or 1.0
    return {name: value / total for name, value in importance}


def column_rows(found: Comparison) -> list[tuple[str, str, str]]:
    """Columns that the two treat differently: as what type, or why not at all."""
    sides = [_treatment(side) for side in (found.first, found.second)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    rows = [(name, sides[0].get(name, NOTHING), sides[1].get(name, NOTHING)) for name in names]
    return [row for row in rows if row[1] != row[2]]


def _treatment(side: Side) -> dict[str, str]:
    dropped = {name: f"left out: {reason}" for name, reason in side.content.dropped.items()}
    return {**side.content.features, **dropped}


def option_rows(options: Mapping[str, Sequence[Any]]) -> list[tuple[str, str, str]]:
    """Options of the spec that differ."""
    return [(name, _option(first), _option(second)) for name, (first, second) in options.items()]


def _option(value: Any) -> str:
    return NOTHING if value is None else shortened(str(value), 120)


def fact_rows(found: Comparison) -> list[tuple[str, str, str]]:
    """Data, time, size and identity of both."""
    facts: list[tuple[str, Callable[[Side], str]]] = [
        ("Made", lambda side: side.created),
        ("Model digest", lambda side: side.model_digest[:16]),
        ("Gates and tests", lambda side: "; ".join(side.faults) or NOTHING),
        ("Data fingerprint", lambda side: side.fingerprint[:16]),
        *(
            (f"{part.capitalize()} rows", lambda side, part=part: _rows(side, part))
            for part in ("train", "validation", "test")
        ),
        ("Threshold", _threshold),
        ("Time of the run, cached steps left out", lambda side: seconds(side.seconds)),
        ("Size of model.onnx", lambda side: size(side.size)),
        ("One row, one thread", lambda side: latency(side.latency)),
    ]
    rows = [(title, tell(found.first), tell(found.second)) for title, tell in facts]
    return [row for row in rows if any(text not in ("", NOTHING) for text in row[1:])]


def _rows(side: Side, part: str) -> str:
    return count(side.content.rows[part]) if side.content.rows.get(part) else NOTHING


def _threshold(side: Side) -> str:
    return trimmed(side.content.threshold) if side.content.task.type == "binary" else ""


def member_rows(found: Comparison) -> list[dict[str, str]]:
    """The candidates of both: weight, score on held-out rows, time."""
    return _side_by_side(found, lambda side: {item.name: _member(item) for item in side.content.members})


def _member(item: MemberResult) -> list[str]:
    return [percent(item.weight), number(item.score), latency(item.latency)]


def conversion_rows(found: Comparison) -> list[dict[str, str]]:
    """The formats of both: result, size, time of one row."""
    return _side_by_side(found, lambda side: {item.name: _format(item) for item in side.content.conversions})


def _format(item: ConversionResult) -> list[str]:
    return [item.status, size(item.size), latency(item.latency)]


def _side_by_side(found: Comparison, tell: Callable[[Side], Mapping[str, list[str]]]) -> list[dict[str, Any]]:
    sides = tell(found.first), tell(found.second)
    return [
        {"name": name, "cells": [cell for side in sides for cell in side.get(name, [NOTHING] * 3)]}
        for name in dict.fromkeys([*sides[1], *sides[0]])
    ]


def agreement_rows(found: Comparison) -> list[tuple[str, str, str]]:
    """How many shared rows both, one or neither gets right."""
    counts = agreement(found)
    if counts is None or found.shared is None:
        return []
    titles = {
        "both_right": "Both right",
        "first_only": "Only the first right",
        "second_only": "Only the second right",
        "both_wrong": "Both wrong",
        "other_label": "Different answers",
    }
    rows = len(found.shared.truth)
    return [(title, count(counts[name]), percent(counts[name] / rows)) for name, title in titles.items()]


def disagreement_table(found: Comparison) -> dict[str, Any] | None:
    """The rows on which the answers lie furthest apart."""
    if not found.disagreements:
        return None
    columns = list(found.disagreements[0].values)
    rows = [
        [count(item.row), item.truth, item.first, item.second]
        + [shortened(item.values[name], 40) for name in columns]
        for item in found.disagreements
    ]
    return {"columns": columns, "rows": rows}
