"""Where the model fails: a card for each segment, and what sets badly predicted rows apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from declarative_ml.learning.contrasts import Contrast
from declarative_ml.learning.task import Task
from declarative_ml.report.content import FailureResult, ReportContent, SegmentResult
from declarative_ml.report.svg import outlined_bars
from declarative_ml.report.wording import (
    NARROW,
    count,
    is_greater_better,
    metric_title,
    metric_value,
    number,
    percent,
    shortened,
)

SURPRISED = 3.0
"""Standard errors above the loss that the model's own probabilities expect: it is wrong, and sure of it."""
_LEVEL = 24


def failure_parts(content: ReportContent) -> dict[str, Any] | None:
    """The sentences, the cards, and the columns that set badly predicted rows apart."""
    found = content.failures
    if found is None:
        return None
    return {
        "lead": _lead(found),
        "cards": [_card(content, item) for item in found.segments],
        "worse_lead": _worse_lead(found),
        "worse": [{**_card(content, item), "excess": _gap(item)} for item in found.worse],
        "bad_rows": count(found.bad_rows),
        "contrasts": [contrast_part(item) for item in found.contrasts],
    }


def _lead(found: FailureResult) -> str:
    rows = f"the {count(found.rows)} test rows"
    if found.rows < found.of:
        rows = f"{count(found.rows)} of the {count(found.of)} test rows, drawn at random"
    searched = (
        f"{count(found.compared)} segments of {rows} were compared, of up to three conditions on "
        f"{count(found.columns)} column{'s' * (found.columns != 1)}, with {found.least_rows} rows at least."
    )
    if not found.segments:
        return f"{searched} In none of them is the model clearly worse than elsewhere."
    return (
        f"{searched} In these the model is clearly worse than on the other rows; that is corrected for so "
        "many comparisons. They were chosen for being bad, so on new rows they will be a little less so."
    )


def _worse_lead(found: FailureResult) -> str:
    if found.champion_loss is None:
        return ""
    both = f"Mean loss {number(found.loss)}, the champion's {number(found.champion_loss)}."
    if found.worse:
        return f"{both} In these segments the model is clearly worse than the champion on the same rows."
    return f"{both} No segment was found where the model is clearly worse than the champion."


def _card(content: ReportContent, found: SegmentResult) -> dict[str, Any]:
    share = percent(found.share)
    return {
        "title": found.segment,
        "rows": f"{count(found.rows)} rows, {share} of those searched",
        "bar": max(round(100 * found.share, 1), 0.4),
        "tag": _tag(found.answers),
        "sentence": _sentence(content.task, found),
        "excess": _excess(found),
        "metrics": _metric_rows(content, found),
        "champion": found.champion is not None,
        "contrasts": [contrast_part(item) for item in found.contrasts],
        "bad_rows": count(found.bad_rows),
        "examples": _examples(content.task, found.examples),
    }


def _tag(answers: Mapping[str, Any]) -> str:
    if "surprise" not in answers:
        return ""
    return "sure and wrong" if answers["surprise"] >= SURPRISED else "hard"


def _sentence(task: Task, found: SegmentResult) -> str:
    """What the model says of these rows, and what is so."""
    said, so = found.answers["said"], found.answers["so"]
    if task.type == "number":
        way = "low" if said < so else "high"
        return (
            f"Predictions of {task.target} are {number(abs(said - so))} too {way} on average: "
            f"{number(said)}, and the truth is {number(so)}."
        )
    wrong = f"Wrong in {count(found.answers['wrong'])} of {count(found.rows)} rows."
    if task.type == "binary":
        told = f"It gives {task.positive} {percent(said)} on average; {percent(so)} are {task.positive}."
    else:
        told = f"It is {percent(said)} sure of its answers on average; {percent(so)} of them are right."
    if found.answers["surprise"] >= SURPRISED:
        return f"{wrong} {told} It is surer than it may be: look at the labels, and for what it cannot see."
    return f"{wrong} {told} Its probabilities say so themselves: these columns tell the rows apart badly."


def _excess(found: SegmentResult) -> str:
    return (
        f"Mean loss {number(found.loss['inside'])}, elsewhere {number(found.loss['outside'])}: "
        f"{_more(found, 'more')}."
    )


def _gap(found: SegmentResult) -> str:
    """The same of a segment that was found by the differences of the losses of two models."""
    champion = (found.champion or {"loss": None})["loss"]
    return (
        f"Mean loss {number(found.loss['inside'])}, the champion's {number(champion)}: a gap that is "
        f"{_more(found, 'larger than on the other rows')}."
    )


def _more(found: SegmentResult, what: str) -> str:
    value, low, high = found.excess
    chance = f"below {number(0.001, 1)}" if found.p < 0.001 else number(found.p, 2)
    ends = f"{number(low, 3)} to {number(high, 3)} at 95{NARROW}% for the whole search; p {chance}"
    return f"{number(value, 3)} {what} ({ends})"


def _metric_rows(content: ReportContent, found: SegmentResult) -> list[dict[str, Any]]:
    """One row a metric: here, its interval, elsewhere, and the champion here."""
    rows = []
    for name, value in sorted(found.metrics.items(), key=lambda item: item[0] != content.primary):
        ends = found.interval.get(name)
        champion = (found.champion or {"metrics": {}})["metrics"].get(name)
        values = [value, found.outside.get(name), champion, *(ends or ())]
        at = _scale([item for item in values if item is not None])
        rows.append(
            {
                "title": metric_title(name),
                "better": "↑" if is_greater_better(name) else "↓",
                "here": metric_value(name, value),
                "interval": "" if ends is None else "–".join(metric_value(name, end) for end in ends),
                "elsewhere": metric_value(name, found.outside.get(name)),
                "champion": metric_value(name, champion),
                "at": at(value),
                "low": None if ends is None else at(ends[0]),
                "high": None if ends is None else at(ends[1]),
                "mark": at(found.outside.get(name)),
            }
        )
    return rows


def _scale(values: Sequence[float]) -> Any:
    """A function from values to places, in percent of a scale that holds all of these."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = (high - low) or 1.0

    def at(value: float | None) -> float | None:
        return None if value is None else round(4 + 92 * (value - low) / span, 2)

    return at


def _examples(task: Task, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The worst rows as a table."""
    if not examples:
        return None
    return {
        "columns": [name for name, _ in examples[0]["values"]],
        "champion": any(item["champion"] is not None for item in examples),
        "rows": [
            {
                "cells": [value for _, value in item["values"]],
                "truth": item["truth"] if task.is_classification else number(item["truth"]),
                "prediction": _answer(item["prediction"]),
                "champion": _answer(item["champion"]),
            }
            for item in examples
        ],
    }


def _answer(prediction: Mapping[str, Any] | None) -> str:
    if prediction is None:
        return "–"
    if "probability" in prediction:
        return f"{prediction['answer']} ({percent(prediction['probability'])})"
    return number(prediction["answer"])


def contrast_part(found: Contrast) -> dict[str, Any]:
    """One column in two groups: bars side by side for levels, one histogram over the other for numbers."""
    first, second = found.shares
    part: dict[str, Any] = {"name": found.column, "divergence": f"{found.divergence:.2f}", "levels": []}
    if found.kind != "category":
        low, high = found.cells
        of = f"length of {found.column}" if found.kind == "length" else found.column
        alt = f"Histogram of {of} from {low} to {high}: badly predicted rows over the others"
        return part | {"name": of, "svg": outlined_bars(first, second, alt), "low": low, "high": high}
    largest = max([*first, *second, math.ulp(1.0)])
    part["levels"] = [
        {
            "name": shortened(name, _LEVEL),
            "bars": [round(100 * share / largest, 1) for share in (a, b)],
            "shares": [percent(a), percent(b)],
        }
        for name, a, b in zip(found.cells, first, second, strict=True)
    ]
    return part | {"svg": None}
