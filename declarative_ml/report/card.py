"""The model card: what a model is for, what it learned from, how good it is, and where it ends.

Its parts are those of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019): details, intended
use, factors, training data, metrics, evaluation, caveats. Every sentence is a fact of the bundle; what the
spec does not say, such as an intended use, is not made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from declarative_ml.report import wording
from declarative_ml.report.blocks import Block, Chapter, Grid, Points, Words
from declarative_ml.report.card_facts import CardFacts, Check
from declarative_ml.report.card_limits import limits
from declarative_ml.report.card_use import how_to_use
from declarative_ml.report.content import ReportContent
from declarative_ml.report.coverage import coverage_table
from declarative_ml.report.markdown import markdown
from declarative_ml.report.page import difference, scale_title, task_words
from declarative_ml.report.rendering import render
from declarative_ml.report.tables import headline_scale, importance_table, metric_table, slice_table
from declarative_ml.report.wording import count, percent, trimmed
from declarative_ml.store.bundle import MODEL, Input, Manifest

MAX_VALUES = 8
MAX_COLUMNS = 10


@dataclass(frozen=True)
class Card:
    """What a card is made from."""

    manifest: Manifest
    facts: CardFacts
    content: ReportContent
    reference: Mapping[str, Mapping[str, Any]]
    """Input -> its training histogram."""
    made: str = ""
    """When the run was, as text to show; a bundle does not know it."""

    @property
    def title(self) -> str:
        """The heading of the document."""
        return f"Model card: {self.manifest.name}"


def card_markdown(card: Card) -> str:
    """The card for GitHub and the like."""
    return markdown(card.title, chapters(card))


def card_page(card: Card) -> str:
    """The card as one HTML file that looks like the report."""
    return render(
        "card.html",
        title=card.title,
        content=card.content,
        task=task_words(card.content),
        made=card.made,
        verdict=wording.verdict(card.content),
        scale=headline_scale(card.content),
        scale_title=scale_title(card.content),
        chapters=chapters(card),
    )


def chapters(card: Card) -> list[Chapter]:
    """The parts of the card in their order; those without content are left out."""
    found = [
        Chapter("Model details", _details(card)),
        Chapter("Intended use", _use(card)),
        Chapter("Inputs", _inputs(card)),
        Chapter("Training data", _data(card)),
        Chapter("Evaluation", _evaluation(card)),
        Chapter("Slices", _slices(card)),
        Chapter("Gates and tests", _checks(card)),
        Chapter("What the model looks at", _importance(card)),
        Chapter("Limits", [Points(limits(card.manifest, card.facts, card.content))]),
        Chapter("Formats", _formats(card)),
        Chapter("How to use it", how_to_use(card.manifest)),
    ]
    return [chapter for chapter in found if any(_filled(block) for block in chapter.blocks)]


def _filled(block: Block) -> bool:
    return bool(block.items) if isinstance(block, Points) else True


def _details(card: Card) -> list[Block]:
    manifest, facts = card.manifest, card.facts
    models = ", ".join(
        f"{member.name} ({percent(member.weight)})" if len(facts.members) > 1 else member.name
        for member in facts.members
    )
    rows = [
        ("Name", manifest.name),
        ("Owner", facts.owner),
        ("Made", card.made),
        ("Version (model digest)", manifest.model_digest),
        ("Model", f"{models}, in one ONNX graph" if models else ""),
        ("Spec digest", manifest.spec_digest),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in facts.libraries.items())),
    ]
    return [_facts(rows)]


def _facts(rows: list[tuple[str, str]]) -> Grid:
    return Grid((), [row for row in rows if row[1]])


def _use(card: Card) -> list[Block]:
    """What the spec says, and what the answers are."""
    task, said = card.manifest.task, card.manifest.description
    stated = said or "The spec has no description, so nothing is stated about the intended use."
    if task.type == "number":
        answer = f"It predicts the number {task.target}"
        if card.manifest.interval is not None:
            answer += (
                f", with lower and upper ends that are to hold {percent(card.manifest.interval)} of the rows"
            )
    elif task.type == "binary":
        answer = (
            f"It gives the probability that {task.target} is {task.positive}, and answers {task.positive} "
            f"from {trimmed(card.content.threshold)} on, {task.classes[0]} otherwise"
        )
    else:
        shown = wording.shortened(", ".join(task.classes), 200)
        answer = f"It gives the probabilities of the {len(task.classes)} classes of {task.target} ({shown})"
    return [Words(stated), Words(f"{answer}.")]


def _inputs(card: Card) -> list[Block]:
    rows = [
        (column.name, column.feature, _values(column), _missing(card.reference.get(column.name, {})))
        for column in card.manifest.inputs
    ]
    lead = (
        "The columns that it takes, with what the training rows held. A missing value is accepted everywhere."
    )
    return [Words(lead), Grid(("Column", "Type", "Values", "Missing"), rows, frozenset({3}))]


def _values(column: Input) -> str:
    levels = column.field.get("enum")
    if levels is None:
        return str(column.field.get("description", "")).removeprefix("training values ")
    known = [str(level) for level in levels if level is not None]
    more = f", {count(len(known) - MAX_VALUES)} more" if len(known) > MAX_VALUES else ""
    return ", ".join(known[:MAX_VALUES]) + more


def _missing(histogram: Mapping[str, Any]) -> str:
    rows = histogram.get("rows")
    return percent(histogram.get("missing", 0) / rows) if rows else ""


def _data(card: Card) -> list[Block]:
    facts, parts = card.facts, card.content.rows
    fitted = "".join(f", {count(parts[name])} {name}" for name in ("validation", "test") if parts.get(name))
    rows = [
        ("Source", ", ".join(facts.source)),
        ("Rows", f"{count(parts['train'])} training{fitted}" if "train" in parts else ""),
        ("Divided", split_words(facts.split)),
        *((f"Period by {column}", f"{first} to {last}") for column, (first, last) in facts.period.items()),
        ("Shaped by SQL", card.manifest.sql or ""),
        ("Fingerprint", card.manifest.data_fingerprint),
    ]
    return [_facts(rows)]


_SPLITS = {
    "random": "at random",
    "hash": "by a hash of the row",
    "time": "by time: the latest rows of {column} are the test rows",
    "group": "by group: rows with the same {column} stay together",
    "column": "by the column {column}",
    "files": "test rows from a file of their own",
}


def split_words(split: Mapping[str, Any]) -> str:
    """How the rows were divided; nothing for a bundle that does not say it."""
    return _SPLITS.get(split.get("method", ""), "").format(**split)


def _evaluation(card: Card) -> list[Block]:
    content = card.content
    found = wording.verdict(content)
    blocks: list[Block] = [Words(f"{found.sentence} {found.comparison}".strip())]
    table = metric_table(content)
    if table["rows"]:
        titles = [
            part if column == "model" else f"{part}: {column}"
            for part, columns in table["groups"]
            for column in columns
        ]
        rows = [
            [f"{row['title']} {row['better'][0]}", *(cell["value"] for cell in row["cells"])]
            for row in table["rows"]
        ]
        blocks.append(Words("Computed by running the ONNX file. ↑ higher is better, ↓ lower is better."))
        blocks.append(Grid(("Metric", *titles), rows, frozenset(range(1, 1 + len(titles)))))
    if card.facts.calibrated:
        blocks.append(Words("The probabilities were corrected (calibrated) on rows that the fits held out."))
    if (coverage := coverage_table(content)) is not None:
        blocks.append(Words(coverage["sentence"].partition(" Intervals are wider")[0]))
    return blocks


def _slices(card: Card) -> list[Block]:
    table = slice_table(card.content)
    if table is None:
        return []
    rows = [
        (
            row["name"],
            row["rows"],
            row["value"],
            row["interval"],
            "few rows" if row["small"] else row["apart"],
        )
        for row in table["rows"]
    ]
    columns = ("Slice", "Rows", table["title"], "95 % interval", "Beside all rows")
    return [
        Words(f"{table['title']} on parts of the test rows; on all of them it is {table['overall']}."),
        Grid(columns, rows, frozenset({1, 2, 3})),
    ]


def _checks(card: Card) -> list[Block]:
    facts = card.facts
    blocks: list[Block] = [
        Grid((title, "Result", "What was asked and found"), [_check(item) for item in checks])
        for title, checks in (("Gate", facts.gates), ("Test", facts.tests))
        if checks
    ]
    if facts.faults:
        blocks = [Words("The model did not pass."), Points(facts.faults), *blocks]
    return blocks


def _check(item: Check) -> tuple[str, str, str]:
    return item.name, "passed" if item.passed else "failed", item.words


def _importance(card: Card) -> list[Block]:
    table = importance_table(card.content)
    if table is None:
        return []
    rows = [(row["name"], row["value"], row["share"]) for row in table["rows"][:MAX_COLUMNS]]
    lead = "Mean absolute SHAP values on test rows: how far each column moves a prediction, on average."
    return [Words(lead), Grid(("Column", "Mean effect", "Share"), rows, frozenset({1, 2}))]


def _formats(card: Card) -> list[Block]:
    rows = [
        (
            item.name,
            item.status,
            "" if item.parity is None else difference(item.parity.max_difference),
            "" if not item.bytes else wording.size(item.bytes),
            item.reason,
        )
        for item in card.facts.conversions
    ]
    blocks: list[Block] = [
        Words(f"{MODEL} takes the raw columns and answers with labels and probabilities or numbers.")
    ]
    if rows:
        columns = ("Format", "Result", "Largest difference", "Size", "Remark")
        blocks.append(Grid(columns, rows, frozenset({2, 3})))
    return blocks
