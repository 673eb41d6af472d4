"""The limits of a model, as far as facts of its run show them."""

from __future__ import annotations

from collections.abc import Iterator

from declarative_ml.report.card_facts import CardFacts
from declarative_ml.report.content import ReportContent
from declarative_ml.report.coverage import judgement
from declarative_ml.report.tables import SMALL_SLICE, slice_table
from declarative_ml.report.wording import count, metric_title, percent, shortened, verdict
from declarative_ml.store.bundle import Manifest

MAX_NAMES = 12
FEW_ROWS = 1000
"""Below this many test rows the width of the interval is worth a sentence."""
CATEGORIES = ("category", "binary")


def limits(manifest: Manifest, facts: CardFacts, content: ReportContent) -> list[str]:
    """Sentences, the gravest first."""
    return [
        *_measured(content),
        *_segments(content),
        *_covered(content),
        *_origin(facts, content),
        *_values(manifest),
        *_dropped(facts),
        *_formats(facts),
        *facts.notes,
    ]


def _measured(content: ReportContent) -> Iterator[str]:
    rows = content.rows.get("test", 0)
    if "test" not in content.metrics:
        yield "There are no test rows: nothing was measured on rows that the model had no part in."
        return
    if verdict(content).tone in ("even", "bad"):
        yield f"On the test rows it is not clearly better than a baseline by {metric_title(content.primary)}."
    if 0 < rows < FEW_ROWS:
        yield f"The test rows are few ({count(rows)}): mind the intervals."


def _segments(content: ReportContent) -> Iterator[str]:
    """The parts of the rows where it is clearly worse, and those that are too small to tell."""
    table = slice_table(content)
    rows = table["rows"] if table is not None else []
    for row in rows:
        if row["apart"] == "worse" and not row["small"]:
            yield (
                f"{row['name']}: {metric_title(content.primary)} is {row['value']} ({row['interval']}), "
                f"clearly worse than on all rows."
            )
    if small := [row["name"] for row in rows if row["small"]]:
        yield f"Under {SMALL_SLICE} test rows, so that little can be said: {_listed(small)}."


def _covered(content: ReportContent) -> Iterator[str]:
    if content.interval is not None and content.interval.coverage[2] < content.interval.level:
        share = percent(content.interval.coverage[0])
        yield f"Prediction intervals hold {share} of the values, not {percent(content.interval.level)}. " + (
            judgement(content.interval)
        )


def _origin(facts: CardFacts, content: ReportContent) -> Iterator[str]:
    """What the choice of rows leaves open."""
    if facts.split.get("method") in ("random", "hash") and "test" in content.metrics:
        yield (
            "Test rows were chosen by chance from the data that the training rows come from: on rows of a "
            "later time or of another origin it may do worse."
        )
    for column, (first, last) in facts.period.items():
        yield f"The training rows reach from {first} to {last} ({column})."


def _values(manifest: Manifest) -> Iterator[str]:
    numbers = [
        column.name for column in manifest.inputs if "training values" in str(column.field.get("description"))
    ]
    categories = [column.name for column in manifest.inputs if column.feature in CATEGORIES]
    if numbers:
        yield f"Nothing was learned of values outside the range of the training rows: {_listed(numbers)}."
    if categories:
        yield f"Values that the training rows did not hold are all treated alike: {_listed(categories)}."


def _dropped(facts: CardFacts) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for column, reason in facts.dropped.items():
        reasons.setdefault(reason, []).append(column)
    for reason, columns in reasons.items():
        yield f"Not used: {_listed(columns)} ({reason})."


def _formats(facts: CardFacts) -> Iterator[str]:
    for item in facts.conversions:
        if item.status != "ok":
            yield f"The format {item.name} is {item.status}: {item.reason}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(shortened(name, 60) for name in names[:MAX_NAMES])
    return shown if len(names) <= MAX_NAMES else f"{shown} and {count(len(names) - MAX_NAMES)} more"
