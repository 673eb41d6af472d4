from __future__ import annotations

from typing import Any

import pytest

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.behaviour.base import Outcome, is_enough
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from tests.behaviour.subjects import BINARY, NUMBER, THREE, subject


def outcome(options: dict[str, Any], task: Task = BINARY, copies: int = 1, **fields: Any) -> Outcome:
    return BEHAVIOURS.parse(options).check("it", subject(task, copies, **fields))


INVARIANT: dict[str, Any] = {"type": "invariance", "columns": ["city"]}


@pytest.mark.parametrize(
    ("options", "task", "failures", "largest"),
    [
        # Bern 0, missing 0.1, Oslo 0.2, Rome 0.4: the furthest other city of each row.
        ({"max_change": 0.41}, BINARY, 0, 0.4),
        ({"max_change": 0.4}, BINARY, 0, 0.4),
        ({"max_change": "40%"}, BINARY, 0, 0.4),
        ({"max_change": 0.35}, BINARY, 2, 0.4),
        ({"max_change": 0.25}, BINARY, 3, 0.4),
        ({"max_change": 400}, NUMBER, 0, 400.0),
        ({"max_change": 300}, NUMBER, 2, 400.0),
        # 100 -> 500, 320 -> 520, 520 -> 120, 240 -> 540
        ({"max_change": "100%"}, NUMBER, 2, 400.0),
        ({"max_change": 0.35}, THREE, 2, 0.4),
        ({"values": ["Bern", "Oslo"], "max_change": 0.19}, BINARY, 3, 0.4),
        ({"values": ["Oslo"], "max_change": 0.19}, BINARY, 2, 0.2),
    ],
)
def test_invariance_counts_rows_by_the_worst_value(
    options: dict[str, Any], task: Task, failures: int, largest: float
) -> None:
    found = outcome({**INVARIANT, **options}, task)
    assert (found.rows, found.failures, found.passed) == (
        3 if options.get("values") == ["Oslo"] else 4,
        failures,
        not failures,
    )
    assert found.largest == pytest.approx(largest, rel=1e-5)


def test_columns_change_together() -> None:
    """The pairs that are there: a row never gets the city of one row and the age of another."""
    found = outcome({"type": "invariance", "columns": ["city", "age"], "max_change": 0.0})
    pairs = {tuple(case.changed[name][1] for name in ("city", "age")) for case in found.cases}
    assert pairs <= {("Bern", 20.0), ("Oslo", 40.0), ("Rome", None), (None, 60.0)}
    assert found.failures == 4


def test_many_values_are_drawn_by_the_seed() -> None:
    numbers = subject(copies=20)
    numbers.rows["age"][:, 0] = range(80)
    options = {"type": "invariance", "columns": ["age"], "max_change": 0.02}
    first, again, other = (
        outcome(options, rows=numbers.rows, numbers=numbers.numbers, seed=seed) for seed in (7, 7, 8)
    )
    assert first == again
    assert first.cases != other.cases
    assert first.failures > 0


def test_a_column_that_the_model_does_not_take_cannot_move_it() -> None:
    found = outcome({"type": "invariance", "columns": ["name"], "max_change": 0.0})
    assert (found.passed, found.rows, found.note) == (True, 4, "The model does not take name.")


def test_a_test_that_tried_nothing_fails() -> None:
    found = outcome({**INVARIANT, "values": ["Bern"], "max_change": 1.0}, rows=subject().first(1).rows,
                    numbers=subject().first(1).numbers)  # fmt: skip
    assert (found.rows, found.passed) == (0, False)
    assert found.fault == "test it: there was no row to try: no value could be changed"


@pytest.mark.parametrize(
    ("options", "task", "rows", "failures"),
    [
        ({"column": "age", "by": 10, "expect": "higher"}, BINARY, 3, 0),
        ({"column": "age", "by": 10, "expect": "higher", "tolerance": 0.02}, BINARY, 3, 3),
        ({"column": "age", "by": 10, "expect": "not_lower"}, BINARY, 3, 0),
        ({"column": "age", "by": 10, "expect": "lower"}, BINARY, 3, 3),
        ({"column": "age", "by": 10, "expect": "not_higher"}, BINARY, 3, 3),
        ({"column": "age", "by": 10, "expect": "not_higher", "tolerance": 0.01}, BINARY, 3, 0),
        ({"column": "age", "by": -10, "expect": "lower"}, BINARY, 3, 0),
        ({"column": "age", "by": [10, -10], "expect": "higher"}, BINARY, 3, 3),
        # 10 % of 20, 40 and 60 years are 0.002, 0.004 and 0.006.
        ({"column": "age", "by": "10%", "expect": "not_higher", "tolerance": 0.003}, BINARY, 3, 2),
        ({"column": "age", "by": "-10%", "expect": "lower"}, NUMBER, 3, 0),
        ({"column": "age", "by": 10, "expect": "lower", "of_class": "no"}, BINARY, 3, 0),
        ({"column": "age", "by": 10, "expect": "higher", "of_class": "a"}, THREE, 3, 0),
        ({"column": "age", "by": 10, "expect": "not_lower", "of_class": "c"}, THREE, 3, 0),
        ({"column": "age", "by": 10, "expect": "higher", "of_class": "c"}, THREE, 3, 3),
        ({"column": "city", "to": "Rome", "expect": "higher"}, BINARY, 3, 0),
        ({"column": "city", "to": "Oslo", "expect": "not_lower"}, BINARY, 3, 1),
        ({"column": "seen", "by": 1, "expect": "not_higher"}, BINARY, 3, 1),
        ({"column": "member", "to": True, "expect": "higher"}, BINARY, 2, 2),
    ],
)
def test_directions(options: dict[str, Any], task: Task, rows: int, failures: int) -> None:
    found = outcome({"type": "direction", **options}, task)
    assert (found.rows, found.failures) == (rows, failures)


def test_dates_move_by_days() -> None:
    found = outcome({"type": "direction", "column": "seen", "by": 2, "expect": "not_higher"})
    assert [case.changed["seen"] for case in found.cases] == [
        ("2024-12-31", "2025-01-02"),
        ("2024-01-30", "2024-02-01"),
        ("2023-06-01", "2023-06-03"),
    ]
    worst = found.cases[0]
    assert (worst.row, worst.failed, worst.of_class) == (2, True, "yes")
    assert (worst.before, worst.after) == pytest.approx((0.32, 0.42))
    assert worst.values == {"age": 40.0, "city": "Oslo", "seen": "2024-12-31", "member": "false"}


@pytest.mark.parametrize(
    ("options", "task", "message"),
    [
        ({"column": "city", "by": 1}, BINARY, "'city' is no number that moves by 1"),
        ({"column": "member", "by": 1}, BINARY, "'member' is no number that moves by 1"),
        ({"column": "seen", "by": "5%"}, BINARY, "a date moves by days, not by 5%"),
        ({"column": "name", "by": 1}, BINARY, "the model does not take the column 'name'"),
        ({"column": "age", "to": "old"}, BINARY, "'old' is no value of 'age', which holds numbers"),
        ({"column": "age", "by": 1, "of_class": "maybe"}, BINARY, "the model knows no class 'maybe'"),
        ({"column": "age", "by": 1}, THREE, "one of several classes is named: of_class"),
        ({"column": "age", "by": 1, "of_class": "a"}, NUMBER, "the number price has no class 'a'"),
    ],
)
def test_directions_that_cannot_be(options: dict[str, Any], task: Task, message: str) -> None:
    with pytest.raises(DataError) as error:
        outcome({"type": "direction", "expect": "higher", **options}, task)
    assert message in error.value.message


@pytest.mark.parametrize(
    ("options", "rows", "failures"),
    [
        ({"noise": "missing", "columns": ["city"], "max_change": 0.05}, 3, 3),
        ({"noise": "missing", "columns": ["age"], "max_change": 0.019}, 3, 2),
        ({"noise": "missing", "max_change": 0.31}, 4, 0),
        # A town in another spelling counts 0.1.
        ({"noise": "typos", "max_change": 0.05}, 3, 3),
        ({"noise": "typos", "max_change": 0.15}, 3, 1),
        ({"noise": "case", "max_change": 0.15}, 3, 1),
        ({"noise": "whitespace", "max_change": 0.31}, 3, 0),
        # One percent of the spread of 20, 40 and 60.
        ({"noise": "jitter", "max_change": 0.0001}, 3, 3),
        ({"noise": "jitter", "max_change": 0.0002}, 3, 0),
    ],
)
def test_robustness(options: dict[str, Any], rows: int, failures: int) -> None:
    found = outcome({"type": "robustness", **options})
    assert (found.rows, found.failures) == (rows, failures)


def test_typos_are_those_of_the_seed_and_one_column_at_a_time() -> None:
    options = {"type": "robustness", "noise": "typos", "max_change": 0.0}
    first = outcome(options, copies=10)
    assert first == outcome(options, copies=10)
    assert first.cases != outcome(options, copies=10, seed=8).cases
    assert all(list(case.changed) == ["city"] for case in first.cases)


def test_the_note_names_the_columns_that_failed() -> None:
    options = {"type": "robustness", "noise": "missing", "max_change": 0.0}
    found = outcome(options, copies=2)
    # No row moves without its date or its membership, and each moves furthest without its town.
    assert found.note == "Failures by column: city 6, age 2."
    assert outcome({**options, "columns": ["age"]}).note == ""
    assert outcome({**options, "max_change": 1.0}).note == ""


def test_noise_that_does_not_happen_to_a_column() -> None:
    with pytest.raises(DataError, match="typos happens to texts, and 'age' is number"):
        outcome({"type": "robustness", "noise": "typos", "columns": ["age"], "max_change": 0.1})


def test_equal_rows_make_one_example() -> None:
    found = outcome({**INVARIANT, "values": ["Rome"], "max_change": 0.1}, copies=30)
    assert (found.rows, found.failures, len(found.cases)) == (90, 90, 3)


def test_labels_that_change_are_counted() -> None:
    found = outcome({**INVARIANT, "values": ["Rome"], "max_change": 1.0}, threshold=0.45)
    # 0.10 -> 0.50, 0.32 -> 0.52, 0.24 -> 0.54
    assert found.other_labels == 3
    assert outcome({**INVARIANT, "max_change": 1000}, NUMBER).other_labels is None


@pytest.mark.parametrize(
    ("rows", "failures", "share", "enough"),
    [(500, 5, 0.99, True), (500, 6, 0.99, False), (10, 3, 0.7, True), (7, 0, 1.0, True), (7, 1, 1.0, False)],
)
def test_shares_are_of_whole_rows(rows: int, failures: int, share: float, enough: bool) -> None:
    assert is_enough(rows, failures, share) is enough


def test_the_fault_says_how_many_and_what() -> None:
    found = outcome({**INVARIANT, "max_change": 0.25, "share": 0.5})
    assert found.fault == (
        "test it: 3 of 4 rows failed (75 %, allowed 50 %): another value of city must not move the "
        "probability of yes by more than 0.25"
    )


@pytest.mark.parametrize(
    ("options", "task", "words"),
    [
        ({"by": 12, "expect": "lower"}, BINARY, "With age +12, the probability of yes must fall."),
        ({"by": -2.5, "expect": "higher"}, NUMBER, "With age −2.5, the prediction of price must rise."),
        (
            {"by": [1, "5%"], "expect": "not_higher", "tolerance": 0.02, "of_class": "b"},
            THREE,
            "With age +1 or +5%, the probability of b must not rise by more than 0.02.",
        ),
        (
            {"to": 30, "expect": "not_lower"},
            BINARY,
            "With age set to 30, the probability of yes must not fall.",
        ),
    ],
)
def test_directions_in_words(options: dict[str, Any], task: Task, words: str) -> None:
    assert outcome({"type": "direction", "column": "age", **options}, task).words == words
