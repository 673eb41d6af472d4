from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from declarative_ml.learning.contrasts import Contrast
from declarative_ml.learning.drift import ColumnDrift, Distance, Drift
from declarative_ml.learning.task import Task
from declarative_ml.report.content import FailureResult, ReportContent, SegmentResult
from declarative_ml.report.drift import drift_table
from declarative_ml.report.page import render_report
from declarative_ml.report.segments import contrast_part, failure_parts

MakeReport = Callable[..., ReportContent]
NUMBER = Task(target="price", type="number")
MULTICLASS = Task(target="digit", type="multiclass", classes=("zero", "one", "two"))

LEVELS = Contrast("city", "category", 0.3, ("Rome", "Oslo", "other"), ((0.7, 0.2, 0.1), (0.3, 0.3, 0.4)))
CURVE = Contrast("age", "number", 0.2, ("18", "80"), ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25)))
EXAMPLE = {
    "row": 3,
    "values": [["city", "Rome"], ["age", ""]],
    "truth": "yes",
    "prediction": {"answer": "no", "probability": 0.93},
    "champion": None,
    "loss": 2.6,
}
SEGMENT = SegmentResult(
    segment="city = Rome and age < 30",
    rows=40,
    share=0.1,
    bad_rows=30,
    loss={"inside": 2.1, "outside": 0.4},
    excess=(1.7, 0.9, 2.5),
    effect=3.0,
    p=1e-6,
    metrics={"accuracy": 0.25, "roc_auc": None},
    outside={"accuracy": 0.85, "roc_auc": 0.9},
    interval={"accuracy": (0.15, 0.4)},
    answers={"said": 0.08, "so": 0.8, "wrong": 30, "surprise": 12.0},
    contrasts=[LEVELS, CURVE],
    examples=[EXAMPLE],
)
FAILURES = FailureResult(
    rows=400,
    of=400,
    columns=5,
    compared=12345,
    least_rows=10,
    loss=0.5,
    segments=[SEGMENT],
    contrasts=[CURVE, LEVELS],
    bad_rows=80,
)


def parts(make_report: MakeReport, task: Task | None = None, **fields: Any) -> dict[str, Any]:
    given = {} if task is None else {"task": task}
    found = failure_parts(make_report(**given, failures=replace(FAILURES, **fields)))
    assert found is not None
    return spaced(found)


def spaced(found: dict[str, Any]) -> dict[str, Any]:
    """With plain spaces before units."""
    plain: dict[str, Any] = json.loads(json.dumps(found).replace("\\u00a0", " "))
    return plain


def test_a_card_tells_what_where_and_how_much(make_report: MakeReport) -> None:
    found = parts(make_report)
    assert found["lead"].startswith("12,345 segments of the 400 test rows were compared, of up to three")
    (card,) = found["cards"]
    assert card["title"] == "city = Rome and age < 30"
    assert card["rows"] == "40 rows, 10 % of those searched"
    assert card["tag"] == "sure and wrong"
    assert card["sentence"].startswith(
        "Wrong in 30 of 40 rows. It gives yes 8 % on average; 80 % are yes. It is surer than it may be"
    )
    assert card["excess"] == (
        "Mean loss 2.100, elsewhere 0.4000: 1.70 more (0.900 to 2.50 at 95 % for the whole search; "
        "p below 0.001)."
    )
    assert [row["title"] for row in card["metrics"]] == ["ROC AUC", "Accuracy"], "the primary one first"
    accuracy = card["metrics"][1]
    assert (accuracy["here"], accuracy["interval"], accuracy["elsewhere"]) == (
        "0.250",
        "0.150–0.400",
        "0.850",
    )
    assert card["metrics"][0]["here"] == "–"
    assert card["examples"]["columns"] == ["city", "age"]
    assert card["examples"]["rows"][0]["prediction"] == "no (93 %)"


@pytest.mark.parametrize(
    ("task", "answers", "sentence", "tag"),
    [
        (None, {"said": 0.5, "so": 0.49, "wrong": 19, "surprise": 0.4}, "Its probabilities say so", "hard"),
        (
            MULTICLASS,
            {"said": 0.9, "so": 0.3, "wrong": 28, "surprise": 9.0},
            "It is 90 % sure of its answers on average; 30 % of them are right.",
            "sure and wrong",
        ),
        (NUMBER, {"said": 80.0, "so": 100.0}, "Predictions of price are 20.00 too low on average", ""),
        (NUMBER, {"said": 125.0, "so": 100.0}, "Predictions of price are 25.00 too high on average", ""),
    ],
    ids=["hard", "multiclass", "too low", "too high"],
)
def test_the_sentence_of_a_segment(
    task: Task | None, answers: dict[str, Any], sentence: str, tag: str, make_report: MakeReport
) -> None:
    segment = replace(SEGMENT, answers=answers, examples=[])
    (card,) = parts(make_report, task, segments=[segment])["cards"]
    assert sentence in card["sentence"]
    assert card["tag"] == tag


def test_nothing_found_and_a_sample(make_report: MakeReport) -> None:
    found = parts(make_report, segments=[], of=90_000, columns=1)
    assert "400 of the 90,000 test rows, drawn at random" in found["lead"]
    assert "on 1 column, with 10 rows at least" in found["lead"]
    assert found["lead"].endswith("In none of them is the model clearly worse than elsewhere.")
    assert found["worse_lead"] == ""


def test_beside_a_champion(make_report: MakeReport) -> None:
    rival = {"loss": 0.3, "metrics": {"accuracy": 0.9, "roc_auc": 0.8}}
    example = {**EXAMPLE, "champion": {"answer": "yes", "probability": 0.7}}
    segment = replace(SEGMENT, champion=rival, examples=[example])
    found = parts(make_report, segments=[segment], champion_loss=0.45, worse=[segment])
    assert found["worse_lead"].startswith("Mean loss 0.5000, the champion's 0.4500. In these segments")
    assert found["worse"][0]["metrics"][1]["champion"] == "0.900"
    assert found["worse"][0]["excess"].startswith(
        "Mean loss 2.100, the champion's 0.3000: a gap that is 1.70 larger than on the other rows (0.900 to"
    )
    assert found["worse"][0]["examples"]["rows"][0]["champion"] == "yes (70 %)"
    none = parts(make_report, champion_loss=0.45)
    assert none["worse_lead"].endswith(
        "No segment was found where the model is clearly worse than the champion."
    )
    page = render_report(make_report(failures=replace(FAILURES, worse=[segment], champion_loss=0.45)))
    assert "Worse than the champion" in page and "champion here" in page


def test_contrasts_are_pictures() -> None:
    curve = contrast_part(CURVE)
    ElementTree.fromstring(curve["svg"])
    assert (curve["low"], curve["high"]) == ("18", "80")
    levels = contrast_part(LEVELS)
    assert levels["svg"] is None
    assert [level["bars"] for level in levels["levels"]] == [[100.0, 42.9], [28.6, 42.9], [14.3, 57.1]]


def column(**fields: Any) -> ColumnDrift:
    given: dict[str, Any] = {
        "column": "age",
        "kind": "number",
        "rows": (1000, 800),
        "distance": Distance(0.5, 0.1, 0.05),
        "missing": (0.0, 0.1),
        "cells": ("1", "2", "(missing)"),
        "shares": ((0.5, 0.5, 0.0), (0.1, 0.8, 0.1)),
        "moved": True,
    }
    return ColumnDrift(**(given | fields))


def test_moved_columns_are_told_first_and_drawn() -> None:
    city = column(
        column="city",
        kind="category",
        unseen=0.2,
        unseen_levels=("Bern", "Kyiv", "Riga", "Nice"),
        missing=(0.0, 0.0),
    )
    still = column(column="size", moved=False, distance=Distance(0.01, 0.001, 0.05))
    found = drift_table(Drift((column(), city, still), added=("new",), gone=tuple("abcdefg")))
    assert found is not None
    found = spaced(found)
    assert found["sentence"].startswith(
        "2 of 3 columns have moved: 800 training rows against the champion's 1,000."
    )
    assert found["sentence"].endswith(
        "The champion does not have new, or has another type of it. "
        "Only the champion has a, b, c, d, e and 2 more."
    )
    assert [row["name"] for row in found["rows"] if row["moved"]] == ["age", "city"]
    assert found["rows"][0]["missing"] == "0 % → 10 %"
    assert found["rows"][1]["unseen"] == "20 % (Bern, Kyiv, Riga …)"
    assert found["moved"][1]["levels"][0]["name"] == "2"
    ElementTree.fromstring(found["moved"][0]["svg"])
    assert drift_table(None) is None and drift_table(Drift(())) is None


def test_the_page_has_the_sections_only_where_there_is_something(make_report: MakeReport) -> None:
    segment = replace(SEGMENT, segment="<i>x</i> = 1")
    whole = make_report(failures=replace(FAILURES, segments=[segment]), drift=Drift((column(),)))
    page = render_report(whole)
    assert "<h2>Where it fails</h2>" in page and "<h2>Data against the champion</h2>" in page
    assert "<i>x" not in page and "&lt;i&gt;x" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)
    bare = render_report(make_report())
    assert "Where it fails" not in bare and "Data against the champion" not in bare
