from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from declarative_ml.report.content import ReportContent, StepResult, TrialResult, TuningResult
from declarative_ml.report.page import render_report
from declarative_ml.report.plan_graph import plan_graph
from declarative_ml.report.tuning import tuning_parts

TRIALS = (
    TrialResult(0, 0.80),
    TrialResult(1, 0.78, {"rate": 0.01, "layers": [8, 8]}),
    TrialResult(2, 0.60, {"rate": 0.5, "layers": [4]}, whole=False),
    TrialResult(3, reason="the time is up"),
    TrialResult(4, 0.84, {"rate": 0.02, "layers": [4]}),
)
TUNING = TuningResult(
    name="mlp",
    metric="roc_auc",
    trials=TRIALS,
    best=4,
    leader=4,
    given={"rate": None, "layers": [64, 64], "extra": False},
    options={"rate": 0.02, "layers": [4]},
    importance={"rate": 0.75, "layers": 0.25},
)


def parts(**fields: Any) -> dict[str, Any]:
    (found,) = tuning_parts((replace(TUNING, **fields),))
    return found


def test_what_was_chosen_and_what_was_left_out() -> None:
    assert parts()["sentence"] == (
        "Trial 4 did best: ROC AUC 0.8400 on the held-out rows, 0.8000 with the given options. "
        "1 of 5 trials was stopped after the first fold. 1 left out: the time is up."
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"leader": 0, "best": 0, "options": {}},
            "No trial was better than the given options: ROC AUC 0.8000",
        ),
        (
            {"best": 0, "options": {}},
            "no more than one standard error of the folds, so the given options stay.",
        ),
        (
            {"leader": None, "best": None, "trials": [TrialResult(0, reason="no rows are held out")]},
            "Nothing was tried: no rows are held out.",
        ),
    ],
)
def test_the_sentence(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in parts(**fields)["sentence"]


def test_options_beside_the_given_ones_the_important_first() -> None:
    rows = parts()["rows"]
    assert [(row["name"], row["given"], row["chosen"], row["changed"]) for row in rows] == [
        ("rate", "by the fit", "0.02", True),
        ("layers", "64 × 64", "4", True),
        ("extra", "false", "false", False),
    ]
    assert [row["bar"] for row in rows] == [100.0, 33.3, 0.0]


def test_one_score_makes_no_chart() -> None:
    assert parts(trials=TRIALS[:1])["chart"] is None
    chart = parts()["chart"]
    ElementTree.fromstring(chart.svg)
    assert chart.legend == (("accent", "all folds"), ("muted", "stopped after the first fold"))


def test_the_page_has_the_section_only_where_something_was_tuned(
    make_report: Callable[..., ReportContent],
) -> None:
    page = render_report(make_report(tunings=[TUNING, replace(TUNING, name="<b>", importance={})]))
    assert "Search for options" in page
    assert "<b>" not in re.sub(r"<b style", "", page)
    assert "Search for options" not in render_report(make_report())


def test_the_trials_of_a_model_share_a_box() -> None:
    trials = [
        StepResult(f"tune.mlp.trial{n}", "try", "run", 2.0, ["a", *(f"tune.mlp.trial{m}" for m in range(n))])
        for n in range(5)
    ]
    steps = [StepResult("a", "a", "run"), *trials, StepResult("tune.mlp", "t", "run", 1.0, [trials[-1].id])]
    svg = plan_graph(steps)
    assert "tune.mlp.trial*" in svg
    assert "5 trials · run · 10 s" in svg
