"""The rows of a report's tables: metrics, classes, slices, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from declarative_ml.learning.metrics import confusion_matrix, labels
from declarative_ml.report.content import ReportContent
from declarative_ml.report.wording import (
    NARROW,
    baseline_title,
    is_greater_better,
    metric_title,
    metric_value,
    number,
    ordered_baselines,
    percent,
    reported_part,
    shortened,
)

INTERVAL = f"95{NARROW}% interval"
SMALL_SLICE = 100
"""Below this many rows a slice's figure says little."""
MAX_CLASSES = 20
MAX_FEATURES = 20


def metric_names(content: ReportContent) -> list[str]:
    """Every metric on the page, the primary one first, then in the order of the content."""
    found: dict[str, None] = {content.primary: None} if content.metrics else {}
    for scores in content.metrics.values():
        found.update(dict.fromkeys(scores))
    return list(found)


def metric_table(content: ReportContent) -> dict[str, Any]:
    """Header groups (part and its columns) and one row a metric."""
    groups = [(part, _columns(content, part)) for part in content.metrics]
    places = [(part, column) for part, columns in groups for column in columns]
    rows = [
        {
            "title": metric_title(name),
            "better": ("↑", "higher is better") if is_greater_better(name) else ("↓", "lower is better"),
            "primary": name == content.primary,
            "cells": [_metric_cell(content, *place, name) for place in places],
        }
        for name in metric_names(content)
    ]
    titles = [(part, [_column_title(content, column) for column in columns]) for part, columns in groups]
    return {"groups": titles, "rows": rows}


def _columns(content: ReportContent, part: str) -> list[str]:
    interval = [INTERVAL] if content.intervals.get(part) else []
    return ["model", *interval, *ordered_baselines(content, part)]


def _column_title(content: ReportContent, column: str) -> str:
    return column if column in ("model", INTERVAL) else baseline_title(content.task, column)


def _metric_cell(content: ReportContent, part: str, column: str, name: str) -> dict[str, str]:
    if column == "model":
        return {"value": metric_value(name, content.metrics[part].get(name)), "kind": "model"}
    if column != INTERVAL:
        return {"value": metric_value(name, content.baselines[part][column].get(name)), "kind": "other"}
    interval = content.intervals[part].get(name)
    return {"value": _range(name, interval), "kind": "other"}


def _range(name: str, interval: Sequence[float] | None) -> str:
    return "–".join(metric_value(name, bound) for bound in interval) if interval else ""


@dataclass(frozen=True)
class ScaleMark:
    """A place on the headline scale, in percent of its width."""

    label: str
    value: str
    at: float
    model: bool
    low: float | None = None
    high: float | None = None


def headline_scale(content: ReportContent) -> list[ScaleMark]:
    """The model and its baselines on the primary metric, as places on one line; empty without baselines."""
    part = reported_part(content)
    if part is None:
        return []
    name = content.primary
    entries = [("model", content.metrics[part].get(name, math.nan))]
    entries += [
        (baseline_title(content.task, baseline), scores.get(name, math.nan))
        for baseline, scores in ordered_baselines(content, part).items()
    ]
    entries = [(label, value) for label, value in entries if math.isfinite(value)]
    if len(entries) < 2 or entries[0][0] != "model":
        return []
    interval = content.intervals.get(part, {}).get(name)
    values = [value for _, value in entries] + list(interval or ())
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    marks = []
    for label, value in entries:
        ends = (at(interval[0]), at(interval[1])) if label == "model" and interval else (None, None)
        marks.append(ScaleMark(label, metric_value(name, value), at(value), label == "model", *ends))
    return marks


def confusion_table(content: ReportContent) -> dict[str, Any] | None:
    """Counts of truth against answer, shaded by the share of the true class; the frequent classes first.

    With more than 20 classes those with the most wrong rows are shown.
    """
    if not content.task.is_classification or content.truth is None or content.prediction is None:
        return None
    import numpy as np

    if len(content.truth) == 0:
        return None
    classes = content.task.classes
    predicted = labels(content.prediction, content.threshold)
    matrix = confusion_matrix(content.truth, predicted, len(classes))
    shown = list(range(len(classes)))
    if len(shown) > MAX_CLASSES:
        wrong = matrix.sum(axis=1) - np.diag(matrix)
        shown = sorted(np.argsort(-wrong, kind="stable")[:MAX_CLASSES].tolist())
    totals = matrix.sum(axis=1)
    rows = [
        {
            "name": shortened(classes[actual], 28),
            "cells": [
                {
                    "count": f"{int(matrix[actual, answer]):,}",
                    "share": percent(_share(matrix[actual, answer], totals[actual])),
                    "shade": round(_share(matrix[actual, answer], totals[actual], 0.0), 3),
                    "hit": actual == answer,
                }
                for answer in shown
            ],
            "total": f"{int(totals[actual]):,}",
        }
        for actual in shown
    ]
    return {
        "columns": [shortened(classes[answer], 28) for answer in shown],
        "rows": rows,
        "hidden": len(classes) - len(shown),
        "compact": len(shown) > 6,
    }


def class_table(content: ReportContent) -> list[dict[str, Any]]:
    """Rows, precision, recall and F1 of every class of a multiclass task."""
    if content.task.type != "multiclass" or content.truth is None or content.prediction is None:
        return []
    import numpy as np

    matrix = confusion_matrix(content.truth, labels(content.prediction), len(content.task.classes))
    hits, actual, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "name": name,
            "rows": f"{int(actual[index]):,}",
            "precision": percent(_share(hits[index], predicted[index])),
            "recall": percent(_share(hits[index], actual[index])),
            "f1": metric_value("f1", _share(2 * hits[index], actual[index] + predicted[index])),
            "bar": round(100 * _share(hits[index], actual[index], 0.0), 1),
        }
        for index, name in enumerate(content.task.classes)
    ]


def _share(part: float, whole: float, empty: float = math.nan) -> float:
    return float(part) / float(whole) if whole else empty


def slice_table(content: ReportContent) -> dict[str, Any] | None:
    """One row a slice with the primary metric as a place on a common scale, small slices marked."""
    if not content.slices:
        return None
    name = content.primary
    part = reported_part(content)
    overall = content.metrics[part].get(name, math.nan) if part else math.nan
    values = [overall, *(found.metrics.get(name, math.nan) for found in content.slices)]
    values += [bound for found in content.slices for bound in found.interval or ()]
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0

    def at(value: float) -> float | None:
        return round(2 + 96 * (value - low) / span, 2) if math.isfinite(value) else None

    rows = []
    for found in content.slices:
        value = found.metrics.get(name, math.nan)
        interval = found.interval
        rows.append(
            {
                "name": found.slice,
                "rows": f"{found.rows:,}",
                "small": found.rows < SMALL_SLICE,
                "value": metric_value(name, value),
                "interval": _range(name, interval),
                "at": at(value),
                "low": at(interval[0]) if interval else None,
                "high": at(interval[1]) if interval else None,
                "apart": _apart(name, interval, overall),
            }
        )
    shown = metric_value(name, overall)
    return {"title": metric_title(name), "overall": shown, "mark": at(overall), "rows": rows}


def _apart(name: str, interval: Sequence[float] | None, overall: float) -> str:
    """Whether the whole interval lies on one side of the figure for all rows."""
    if interval is None or not math.isfinite(overall):
        return ""
    if interval[1] < overall:
        return "worse" if is_greater_better(name) else "better"
    if interval[0] > overall:
        return "better" if is_greater_better(name) else "worse"
    return ""


def importance_table(content: ReportContent) -> dict[str, Any] | None:
    """The features that move the predictions most, with bars in percent of the largest."""
    ranked = sorted(content.importance, key=lambda entry: -entry[1])
    if not ranked:
        return None
    largest = ranked[0][1] or 1.0
    total = sum(value for _, value in ranked) or 1.0
    rows = [
        {
            "name": name,
            "value": number(value, 3),
            "share": percent(value / total),
            "bar": round(100 * value / largest, 1),
        }
        for name, value in ranked[:MAX_FEATURES]
    ]
    return {"rows": rows, "hidden": len(ranked) - len(rows)}
