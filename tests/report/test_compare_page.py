"""The page of a comparison from made-up models: what it says, for each task, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from declarative_ml.learning.intervals import paired_differences
from declarative_ml.learning.task import Task
from declarative_ml.report.compare import finding, render_comparison
from declarative_ml.report.compare_charts import compare_figures
from declarative_ml.report.compare_tables import judged, metric_rows, signed
from declarative_ml.report.comparison import Comparison, Disagreement, Shared, Side
from declarative_ml.report.content import ConversionResult
from declarative_ml.report.disagreement import agreement, answers, distance

TASKS = [
    Task(target="income", type="binary", classes=("no", "yes")),
    Task(target="digit", type="multiclass", classes=("zero", "one", "two")),
    Task(target="price", type="number"),
]


def _noisy(task: Task, prediction: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    if task.type == "number":
        return prediction + rng.normal(0.0, 30.0, prediction.shape)
    mixed = 0.4 * prediction + 0.6 * rng.dirichlet(np.ones(prediction.shape[1]), len(prediction))
    return mixed / mixed.sum(axis=1, keepdims=True)


@pytest.fixture
def made(make_report: Any) -> Any:
    """A comparison of a noisy model with a good one; `paired=False` for no shared rows."""

    def make(task: Task = TASKS[0], *, paired: bool = True, turned: bool = False) -> Comparison:
        good = make_report(task, conversions=[ConversionResult("tflite", "ok", size=2000)])
        noisy = replace(
            good, prediction=_noisy(task, good.prediction), conversions=(), features={"age": "number"}
        )
        contents = (good, noisy) if turned else (noisy, good)
        sides = [
            Side(f"run-{number}", content, f"digest{number}", "print", 1000 * number, 1e-5 * number)
            for number, content in enumerate(contents, 1)
        ]
        if not paired:
            return Comparison(*sides, pairing="They were learned from <other> data.")
        shared = Shared(
            good.truth, contents[0].prediction, contents[1].prediction, np.arange(len(good.truth))
        )
        return Comparison(
            *sides,
            pairing="Both were tested on the same 400 rows.",
            shared=shared,
            differences=paired_differences(
                list(good.metrics["test"]), task, shared.truth, shared.second, shared.first
            ),
            options={"model.type": ["linear", "<b>lightgbm</b>"]},
            disagreements=[
                Disagreement(7, "yes", "no (10 %)", "yes (90 %)", 0.8, {"age": "39", "a<b": "x" * 90})
            ],
        )

    return make


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_a_page_for_every_task(task: Task, made: Any) -> None:
    page = render_comparison(made(task))
    for heading in ("Results", "Answers", "Where they disagree", "Slices", "What differs", "Formats"):
        assert f"<h2>{heading}</h2>" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<b>lightgbm</b>" not in page
    assert "&lt;b&gt;lightgbm&lt;/b&gt;" in page
    assert 'class="tag better"' in page


@pytest.mark.parametrize(
    ("turned", "sentence", "tone"), [(False, "the better one", "good"), (True, "the worse one", "bad")]
)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_the_finding_names_the_better_one(
    task: Task, turned: bool, sentence: str, tone: str, made: Any
) -> None:
    found = finding(made(task, turned=turned))
    assert (sentence in found.sentence, found.tone) == (True, tone)
    assert "interval" in found.comparison


def test_two_alike_cannot_be_told_apart(made: Any) -> None:
    found = made()
    shared = found.shared
    slight = np.clip(shared.second + np.random.default_rng(0).normal(0, 0.003, shared.second.shape), 0, 1)
    slight /= slight.sum(axis=1, keepdims=True)
    names = list(found.first.content.metrics["test"])
    differences = paired_differences(names, found.second.content.task, shared.truth, shared.second, slight)
    told = finding(replace(found, differences=differences))
    assert (told.sentence, told.tone) == ("By ROC AUC the two cannot be told apart.", "even")


def test_without_shared_rows_it_says_why(made: Any) -> None:
    found = made(paired=False)
    page = render_comparison(found)
    assert "They were learned from &lt;other&gt; data." in page
    assert "options are not compared" in page
    assert "Where they disagree" not in page
    assert {row["interval"] for row in metric_rows(found)} == {"–"}
    assert [figure.name for figure in compare_figures(found)] == ["roc", "precision_recall", "calibration"]


@pytest.mark.parametrize(
    ("task", "names"),
    list(
        zip(
            TASKS,
            (
                ["roc", "precision_recall", "calibration", "agreement"],
                ["calibration"],
                ["errors", "tenths", "agreement"],
            ),
            strict=True,
        )
    ),
    ids=lambda value: value.type if isinstance(value, Task) else "",
)
def test_both_models_are_in_every_frame(task: Task, names: list[str], made: Any) -> None:
    figures = compare_figures(made(task))
    assert [figure.name for figure in figures] == names
    for figure in figures[: len(names) - (names[-1] == "agreement")]:
        assert 'class="line muted"' in figure.svg
        assert 'class="line accent"' in figure.svg


@pytest.mark.parametrize(
    ("name", "low", "high", "outcome"),
    [
        ("roc_auc", 0.01, 0.02, "better"),
        ("roc_auc", -0.02, -0.01, "worse"),
        ("log_loss", -0.02, -0.01, "better"),
        ("rmse", 1.0, 2.0, "worse"),
        ("roc_auc", -0.01, 0.02, ""),
        ("roc_auc", 0.0, 0.02, ""),
        ("roc_auc", float("nan"), 0.02, ""),
    ],
)
def test_a_difference_counts_when_its_interval_leaves_out_nothing(
    name: str, low: float, high: float, outcome: str
) -> None:
    assert judged(name, low, high) == outcome


def test_differences_carry_their_sign() -> None:
    assert [signed("roc_auc", value) for value in (0.0123, -0.0123, 0.0, float("nan"))] == [
        "+0.012",
        "−0.012",
        "0.000",
        "–",
    ]


def test_distance_and_answers() -> None:
    first, second = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(distance(first, second), [0.7, 0.0])
    np.testing.assert_allclose(distance(np.array([1.0, 5.0]), np.array([3.0, 4.0])), [2.0, 1.0])
    assert answers(TASKS[0], first, 0.4) == ["no (10\u00a0%)", "yes (50\u00a0%)"]
    assert answers(TASKS[1], np.array([[0.1, 0.7, 0.2]]), 0.5) == ["one (70\u00a0%)"]
    assert answers(TASKS[2], np.array([1234.5]), 0.5) == ["1,234"]


def test_agreement_counts_every_shared_row_once(made: Any) -> None:
    found = made()
    counts = agreement(found)
    assert counts is not None
    assert sum(counts[name] for name in ("both_right", "first_only", "second_only", "both_wrong")) == 400
    assert counts["other_label"] == counts["first_only"] + counts["second_only"]
    assert agreement(made(TASKS[2])) is None
