from __future__ import annotations

import numpy as np
import pytest

from declarative_ml.learning.conditions import (
    Condition,
    Kind,
    RawColumn,
    atoms,
    conditions_of,
    describe,
    roundest,
    shown_cell,
    shown_value,
)

AGE = RawColumn("age", "number", np.array([1.0, 5.0, np.nan, 9.0]))
KIND = RawColumn("kind", "category", np.array(["a", "", "b", "a"], dtype=object))


@pytest.mark.parametrize(
    ("column", "condition", "rows", "words"),
    [
        (AGE, Condition("age", "number", "<", 5.0), [0], "age < 5"),
        (AGE, Condition("age", "number", ">=", 5.0), [1, 3], "age ≥ 5"),
        (AGE, Condition("age", "number", "=", 9.0), [3], "age = 9"),
        (AGE, Condition("age", "number", "missing"), [2], "age is missing"),
        (KIND, Condition("kind", "category", "=", "a"), [0, 3], "kind = a"),
        (KIND, Condition("kind", "category", "=", "gone"), [], "kind = gone"),
        (KIND, Condition("kind", "category", "missing"), [1], "kind is missing"),
        (
            KIND,
            Condition("kind", "category", "rare", others=("a",)),
            [2],
            "kind is none of the 1 commonest",
        ),
    ],
)
def test_what_a_condition_means(column: RawColumn, condition: Condition, rows: list[int], words: str) -> None:
    assert np.flatnonzero(condition.holds(column)).tolist() == rows
    assert str(condition) == words


def test_both_ends_of_a_range_are_told_together() -> None:
    low, high = Condition("age", "number", ">=", 3.0), Condition("age", "number", "<", 12.5)
    level = Condition("kind", "category", "=", "One year")
    assert describe([level, low, high]) == "kind = One year and 3 ≤ age < 12.5"
    assert describe([high]) == "age < 12.5"


@pytest.mark.parametrize(
    ("low", "high", "value"),
    [(11, 12, 12), (10, 14, 12), (29.85, 30.1, 30), (0.123, 0.126, 0.124), (-3.2, -2.9, -3), (0, 1e6, 1e6)],
)
def test_cuts_are_round_numbers(low: float, high: float, value: float) -> None:
    assert roundest(low, high) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(200))
def test_a_cut_always_lies_between(seed: int) -> None:
    random = np.random.default_rng(seed)
    low, high = np.sort(random.normal(size=2) * 10.0 ** random.integers(-6, 7)).tolist()
    assert low < roundest(low, high) <= high
    assert roundest(high, np.nextafter(high, np.inf)) > high


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("number", 0.1, "0.1"),
        ("number", 1234567.0, "1,234,567"),
        ("date", 19_000.0, "2022-01-08"),
        ("date", 1e12, "1e+12"),
        ("category", "x", "x"),
    ],
)
def test_values_for_people(kind: Kind, value: str | float, words: str) -> None:
    assert shown_value(kind, value) == words


def test_conditions_need_enough_rows() -> None:
    values = np.arange(100.0)
    found, masks = conditions_of(RawColumn("x", "number", values), 10)
    assert masks.shape == (100, len(found))
    assert masks.sum(axis=0).min() >= 10 and masks.sum(axis=0).max() < 100
    assert conditions_of(RawColumn("x", "number", np.ones(100)), 10)[0] == []
    few = RawColumn("x", "number", np.arange(100.0) % 3)
    assert {str(item) for item in conditions_of(few, 10)[0]} >= {"x = 0", "x = 1", "x = 2"}
    assert [str(item) for item in conditions_of(RawColumn("x", "number", values % 2), 10)[0]] == [
        "x = 0",
        "x = 1",
    ]


def test_atoms_rebuild_the_masks() -> None:
    masks = np.random.default_rng(0).random((500, 33)) < 0.5
    masks[250:] = masks[:250]
    group, held = atoms(masks)
    assert (held[group] == masks).all() and len(held) <= 250


def test_cells_for_people() -> None:
    assert [shown_cell(AGE, row) for row in range(4)] == ["1", "5", "", "9"]
    assert [shown_cell(KIND, row) for row in range(2)] == ["a", ""]
