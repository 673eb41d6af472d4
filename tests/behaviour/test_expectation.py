from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from declarative_ml.behaviour.base import Outcome
from declarative_ml.behaviour.expectation import Expectation
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.core.task import Task
from tests.behaviour.subjects import BINARY, NUMBER, THREE, subject

# 0.1 + 0.02 + 0.4 = 0.52, or 520
ROME: dict[str, Any] = {"age": 40, "city": "Rome"}


def outcome(row: dict[str, Any], task: Task, fields: Any = None, **options: Any) -> Outcome:
    rows = [{"given": ROME, **row}]
    return Expectation.model_validate({"rows": rows, **options}).check("it", subject(task, **(fields or {})))


@pytest.mark.parametrize(
    ("row", "task", "passed"),
    [
        ({"prediction": "yes"}, BINARY, True),
        ({"prediction": "no"}, BINARY, False),
        ({"prediction": "a"}, THREE, True),
        ({"probability": {"min": 0.52}}, BINARY, True),
        ({"probability": {"min": 0.53}}, BINARY, False),
        ({"probability": {"max": 0.5}}, BINARY, False),
        ({"probability": {"max": 0.5, "of_class": "no"}}, BINARY, True),
        ({"probability": {"min": 0.37, "max": 0.39, "of_class": "b"}}, THREE, True),
        ({"prediction": "yes", "probability": {"min": 0.9}}, BINARY, False),
        ({"prediction": 520}, NUMBER, True),
        ({"prediction": 510}, NUMBER, False),
        ({"number": {"min": 500, "max": 530}}, NUMBER, True),
        ({"number": {"min": 521}}, NUMBER, False),
        ({"given": {}, "number": {"min": 219, "max": 221}}, NUMBER, True),
        ({"given": {"age": "40", "city": "Rome", "name": "x"}, "prediction": "yes"}, BINARY, True),
    ],
)
def test_rows_whose_answer_is_known(row: dict[str, Any], task: Task, passed: bool) -> None:
    found = outcome(row, task)
    assert (found.passed, found.failures, found.rows) == (passed, int(not passed), 1)


@pytest.mark.parametrize(("tolerance", "passed"), [(10, True), (9, False), ("2%", True), ("1%", False)])
def test_numbers_may_be_off_by_the_tolerance(tolerance: Any, passed: bool) -> None:
    assert outcome({"prediction": 510}, NUMBER, tolerance=tolerance).passed is passed


def test_the_threshold_decides_on_labels() -> None:
    assert outcome({"prediction": "no"}, BINARY, {"threshold": 0.6}).passed


@pytest.mark.parametrize(("wanted", "rule"), [(True, "boolean"), (1, "integer"), ("1", "text")])
def test_labels_are_written_as_in_the_data(wanted: Any, rule: Any) -> None:
    classes = ("false", "true") if rule == "boolean" else ("0", "1")
    task = Task(target="stays", type="binary", classes=classes)
    found = outcome({"prediction": wanted}, task, {"target_rule": ColumnRule(type=rule)})
    assert found.passed


def test_a_case_says_what_was_expected_and_what_came() -> None:
    (case,) = outcome({"prediction": "no", "probability": {"max": 0.5}}, BINARY).cases
    assert (case.row, case.failed, case.changed, case.values) == (None, True, {}, ROME)
    assert case.expected == "no, probability of yes at most 0.5"
    assert (case.of_class, case.after) == ("yes", pytest.approx(0.52))
    (case,) = outcome({"prediction": "no"}, BINARY).cases
    assert (case.of_class, case.after) == (None, "yes (0.52)")


@pytest.mark.parametrize(
    ("row", "task", "message"),
    [
        ({"prediction": "maybe"}, BINARY, "the model knows no class 'maybe'"),
        ({"prediction": "dear"}, NUMBER, "'dear' is no number to expect of price"),
        ({"number": {"min": 1}}, BINARY, "'number' is for number targets, and stays is a class"),
        ({"probability": {"min": 1}}, NUMBER, "the number price has no probability"),
        ({"probability": {"min": 1}}, THREE, "one of several classes is named: of_class"),
        (
            {"given": {"age": "old"}, "prediction": "yes"},
            BINARY,
            "'old' is no value of 'age', which holds numbers",
        ),
        (
            {"given": {"seen": "soon"}, "prediction": "yes"},
            BINARY,
            "'soon' is no value of 'seen', which holds dates",
        ),
    ],
)
def test_expectations_that_do_not_fit_the_model(row: dict[str, Any], task: Task, message: str) -> None:
    with pytest.raises(DataError) as error:
        outcome(row, task)
    assert message in error.value.message


def test_rows_of_a_file_stand_for_it() -> None:
    test = Expectation(file="cases.csv", tolerance=1)
    rows = [
        {"age": "40", "city": "Rome", "seen": datetime.date(2024, 1, 2), "price": 520},
        {"age": None, "city": None, "seen": None, "price": None},
    ]
    read = test.with_rows(rows, "price")
    assert (read.file, len(read.rows), read.tolerance) == (None, 1, 1)
    assert read.rows[0].given == {"age": "40", "city": "Rome", "seen": "2024-01-02"}
    assert Expectation.model_validate(read.options()) == read
    assert read.check("it", subject(NUMBER)).passed


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "cases.csv has no rows"),
        ([{"age": 1}], "cases.csv has no column 'stays' with the expected answers"),
        ([{"age": 1, "stays": "yes"}] * 10_001, "cases.csv has more than 10,000 rows"),
        ([{"age": [1], "stays": "yes"}], r"[1] is no value of a column"),
        ([{"age": 1, "stays": None}], "cases.csv has no row with an expected answer"),
    ],
)
def test_files_that_do_not_do(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError) as error:
        Expectation(file="cases.csv").with_rows(rows, "stays")
    assert message in error.value.message


def test_an_expectation_has_rows_or_a_file() -> None:
    with pytest.raises(ValidationError, match="give either 'rows' or 'file'"):
        Expectation()
