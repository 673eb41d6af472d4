import dataclasses
import math

import pytest

from declarative_ml.learning.task import Task
from declarative_ml.report import wording
from declarative_ml.report.content import ReportContent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (0.0, "0"),
        (0.12345, "0.1235"),
        (44300.4, "44,300"),
        (1.5, "1.500"),
        (-12.0, "-12.00"),
        (3.2e12, "3.20e+12"),
        (1e-7, "1.00e-07"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(40.0, "40"), (13.640, "13.64"), (100.0, "100"), (0.42, "0.42")])
def test_trimmed(value: float, text: str) -> None:
    assert wording.trimmed(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.0312, "3.1 %"),
        (0.5, "50 %"),
        (0.0001, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (math.nan, "–"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert wording.percent(share).replace(wording.NARROW, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.34, "0.3 s"), (12.4, "12 s"), (185, "3 min 05 s"), (3600 * 3 + 120, "3 h 02 min")],
)
def test_seconds(value: float | None, text: str) -> None:
    assert wording.seconds(value) == text


BINARY = Task(target="income", type="binary", classes=("<=50K", ">50K"))
NUMBER = Task(target="price", type="number")
MULTICLASS = Task(target="digit", type="multiclass", classes=("0", "1", "2"))


def content(task: Task, primary: str, value: float, **fields: object) -> ReportContent:
    base = ReportContent(
        name="x", task=task, primary=primary, metrics={"test": {primary: value}}, rows={"test": 9769}
    )
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "primary", "value", "sentence"),
    [
        (
            BINARY,
            "roc_auc",
            0.93,
            "the model ranks a random positive (>50K) above a random negative 93 % of the time.",
        ),
        (BINARY, "recall", 0.7, "the model finds 70 % of the positive rows (>50K)."),
        (BINARY, "f1", 0.712, "the model reaches F1 0.712."),
        (MULTICLASS, "log_loss", 0.3, "the model reaches log loss 0.300."),
        (MULTICLASS, "precision", 0.3, "the model reaches precision 30 %."),
        (NUMBER, "rmse", 44300.0, "predictions of price miss by 44,300 (root mean square)."),
        (NUMBER, "r2", 0.83, "the model explains 83 % of the variance of price."),
    ],
)
def test_the_verdict_says_what_the_metric_means(
    task: Task, primary: str, value: float, sentence: str
) -> None:
    found = wording.verdict(content(task, primary, value))
    assert found.sentence.replace(wording.NARROW, " ") == f"On 9,769 unseen rows, {sentence}"
    assert (found.comparison, found.tone) == ("", "plain")


def test_a_class_that_looks_like_a_format_field_is_only_text() -> None:
    task = Task(target="t", type="binary", classes=("{0}", "{value}"))
    assert "({value})" in wording.verdict(content(task, "roc_auc", 0.9)).sentence


@pytest.mark.parametrize(
    ("task", "primary", "value", "interval", "linear", "judgement", "tone"),
    [
        (BINARY, "roc_auc", 0.93, (0.92, 0.94), 0.91, "That is better than a linear model.", "good"),
        (
            BINARY,
            "roc_auc",
            0.93,
            (0.9, 0.95),
            0.91,
            "That is not clearly different from a linear model.",
            "even",
        ),
        (BINARY, "roc_auc", 0.9, (0.89, 0.91), 0.95, "That is worse than a linear model: prefer", "bad"),
        (NUMBER, "rmse", 10.0, (9.0, 11.0), 12.0, "That is better than a linear model.", "good"),
        (NUMBER, "rmse", 10.0, None, 8.0, "That is worse than a linear model", "bad"),
        (NUMBER, "rmse", 10.0, None, 10.0, "That is the same as a linear model.", "even"),
    ],
)
def test_the_verdict_compares(
    task: Task,
    primary: str,
    value: float,
    interval: tuple[float, float] | None,
    linear: float,
    judgement: str,
    tone: str,
) -> None:
    found = wording.verdict(
        content(
            task,
            primary,
            value,
            intervals={"test": {primary: interval}} if interval else {},
            baselines={"test": {"majority": {primary: math.nan}, "linear": {primary: linear}}},
        )
    )
    assert judgement in found.comparison
    assert found.tone == tone
    assert ("95" in found.comparison) == (interval is not None)


def test_baselines_are_named_by_task_and_the_better_one_is_the_rival() -> None:
    baselines = {"test": {"majority": {"rmse": 20.0}, "linear": {"rmse": 30.0}}}
    found = wording.verdict(content(NUMBER, "rmse", 10.0, baselines=baselines))
    assert found.comparison == (
        "A linear model: 30.00; the mean guess: 20.00. That is better than the mean guess."
    )


def test_without_test_rows_the_verdict_names_the_part() -> None:
    found = wording.verdict(content(NUMBER, "rmse", 1.0, metrics={"validation": {"rmse": 2.0}}))
    assert found.sentence.startswith("On the validation rows, predictions of price miss by 2.000")


def test_without_any_measurement_the_verdict_says_so() -> None:
    found = wording.verdict(content(NUMBER, "rmse", 1.0, metrics={}))
    assert found.sentence == "There is no measurement of this model on rows that it has not seen."
