"""The page of a comparison: two models side by side, one HTML file that needs nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

from declarative_ml.report import compare_tables as tables
from declarative_ml.report.compare_charts import compare_figures
from declarative_ml.report.comparison import Comparison
from declarative_ml.report.content import ReportContent
from declarative_ml.report.page import task_words
from declarative_ml.report.rendering import render
from declarative_ml.report.tables import confusion_table
from declarative_ml.report.wording import NARROW, Verdict, headline_value, is_greater_better, metric_title


def render_comparison(found: Comparison) -> str:
    """The whole page as HTML text."""
    sides = found.first, found.second
    return render(
        "compare.html",
        found=found,
        sides=sides,
        names=list(dict.fromkeys(side.content.name for side in sides)),
        task=task_words(found.second.content),
        verdict=finding(found),
        part=tables.compared_part(found),
        metrics=tables.metric_rows(found),
        figures=compare_figures(found),
        confusions=[confusion_table(content) for content in _answered(found)],
        agreement=tables.agreement_rows(found),
        disagreements=tables.disagreement_table(found),
        slices=tables.slice_rows(found),
        importance=tables.importance_rows(found),
        primary=metric_title(found.second.content.primary),
        columns=tables.column_rows(found),
        options=None if found.options is None else tables.option_rows(found.options),
        facts=tables.fact_rows(found),
        members=tables.member_rows(found),
        conversions=tables.conversion_rows(found),
    )


def _answered(found: Comparison) -> list[ReportContent]:
    """Both contents with the shared rows as the test rows, where there are any."""
    shared = found.shared
    old, new = found.first.content, found.second.content
    if shared is None:
        return [old, new]
    return [
        replace(old, truth=shared.truth, prediction=shared.first),
        replace(new, truth=shared.truth, prediction=shared.second),
    ]


def finding(found: Comparison) -> Verdict:
    """Which of the two is better by the primary metric of the second, as far as the rows can tell."""
    if found.same_model:
        return Verdict("The two are one and the same model, byte for byte.", found.pairing, "even")
    name = found.second.content.primary
    title = metric_title(name)
    difference, low, high = found.differences.get(name, (math.nan, math.nan, math.nan))
    if not (math.isfinite(low) and math.isfinite(high)):
        return Verdict(_apart(found, title), found.pairing, "plain")
    interval = f"95{NARROW}% interval {tables.signed(name, low)} to {tables.signed(name, high)}"
    told = f"{found.pairing} The difference in {title} is {tables.signed(name, difference)} ({interval})."
    outcome = tables.judged(name, low, high)
    if not outcome:
        return Verdict(f"By {title} the two cannot be told apart.", told, "even")
    direction = "higher" if (difference > 0) else "lower"
    good = "the better" if is_greater_better(name) == (difference > 0) else "the worse"
    sentence = f"The second is {good} one: its {title} is {direction} on the same rows."
    return Verdict(sentence, told, "good" if outcome == "better" else "bad")


def _apart(found: Comparison, title: str) -> str:
    """The two figures, where they cannot be held against each other."""
    name, part = found.second.content.primary, tables.compared_part(found)
    if part is None:
        return "There is no metric that both were measured by."
    values = [
        headline_value(name, side.content.metrics[part].get(name)) for side in (found.first, found.second)
    ]
    return (
        f"{title} is {values[0]} for the first and {values[1]} for the second, each on its own {part} rows."
    )
