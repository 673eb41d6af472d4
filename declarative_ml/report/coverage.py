"""What the page says of prediction intervals: how many values they cover, and what their width means."""

from __future__ import annotations

from typing import Any

from declarative_ml.report.content import IntervalResult, ReportContent
from declarative_ml.report.wording import NARROW, count, number, percent

_NAMES = ("narrowest fifth", "second fifth", "middle fifth", "fourth fifth", "widest fifth")


def coverage_table(content: ReportContent) -> dict[str, Any] | None:
    """The sentence and one row for each fifth of the test rows; `at` and `mark` in percent of the scale."""
    found = content.interval
    if found is None:
        return None
    low = min([found.level, *(group.coverage for group in found.groups)])
    start = max(0.0, low - 0.05)

    def at(share: float) -> float:
        return round(2 + 96 * (share - start) / (1.0 - start), 2)

    rows = [
        {
            "name": name if len(found.groups) == len(_NAMES) else f"group {place + 1}",
            "rows": count(group.rows),
            "width": number(group.width),
            "coverage": percent(group.coverage),
            "at": at(group.coverage),
        }
        for place, (name, group) in enumerate(zip(_NAMES, found.groups))
    ]
    return {"sentence": _sentence(content.task.target, found), "rows": rows, "mark": at(found.level)}


def _sentence(target: str, found: IntervalResult) -> str:
    share, low, high = (percent(value) for value in found.coverage)
    return (
        f"{percent(found.level)} of the values of {target} are to lie between lower and upper: of "
        f"{count(found.rows)} test rows {share} do (95{NARROW}% interval: {low} to {high}); "
        f"{percent(found.below)} are lower and {percent(found.above)} higher. {judgement(found)} "
        f"The mean width is {number(found.width[0])}. Intervals are wider where the model errs more; the "
        "dashed line is the level that was asked for."
    )


def judgement(found: IntervalResult) -> str:
    """What the coverage says of the promise."""
    _, low, high = found.coverage
    if high < found.level:
        return "That is fewer than promised: these rows differ from those that were held out."
    if low > found.level:
        return "That is more than promised: the intervals could be narrower."
    return "That is what was promised, as far as so many rows can tell."
