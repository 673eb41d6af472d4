from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule
from declarative_ml.scoring.parse import raw_values
from declarative_ml.scoring.plain_rows import PlainRows
from declarative_ml.store.bundle import Input

INPUTS = (
    Input(name="age", feature="number", dtype="float32", rule=ColumnRule(type="number")),
    Input(name="rooms", feature="number", dtype="float32", rule=ColumnRule(type="integer")),
    Input(name="price", feature="number", dtype="float32", rule=ColumnRule(type="number", prefix="$")),
    Input(name="town", feature="category", dtype="string", rule=ColumnRule(type="text")),
    Input(name="seen", feature="date", dtype="string", rule=ColumnRule(type="date", formats=("%Y-%m-%d",))),
    Input(name="member", feature="binary", dtype="string", rule=ColumnRule(type="boolean")),
)
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["NA", " ", "12", "$4", "2024-02-29", "true", "1e400", "\u00a0?", 10**400, 3e38, 3.5e38]),
)
PLAIN = {
    "age": st.one_of(st.none(), st.floats(-1e30, 1e30), st.integers(-(2**60), 2**60)),
    "rooms": st.one_of(st.none(), st.integers(-(2**60), 2**60)),
    "price": st.one_of(st.none(), st.floats(-1e30, 1e30)),
    "town": st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["NA", " ", "?"])),
    "seen": st.one_of(st.none(), st.just("2024-02-29")),
    "member": st.one_of(st.none(), st.booleans()),
}


def general(rows: list[dict[str, Any]]) -> tuple[dict[str, np.ndarray], int]:
    """The columns as the general way reads them, and how many values did not fit."""
    found, bad = {}, 0
    for column in INPUTS:
        values = [row[column.name] for row in rows]
        found[column.name], misfits = raw_values(values, column.dtype, column.rule, DEFAULT_MISSING)
        bad += len(misfits)
    return found, bad


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, values in left.items():
        assert values.shape == right[name].shape
        assert values.dtype == right[name].dtype
        if values.dtype == np.float32:
            assert np.array_equal(values, right[name], equal_nan=True)
        else:
            assert values.tolist() == right[name].tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries(PLAIN), min_size=1, max_size=5))
def test_plain_rows_are_read_as_the_general_way_reads_them(rows: list[dict[str, Any]]) -> None:
    found = PlainRows(INPUTS, DEFAULT_MISSING).read(rows)
    expected, bad = general(rows)
    assert not bad
    assert found is not None
    assert_same(found, expected)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(PLAIN, ANY)), min_size=1, max_size=3))
def test_whatever_else_is_left_to_the_general_way_or_equal_to_it(rows: list[dict[str, Any]]) -> None:
    found = PlainRows(INPUTS, DEFAULT_MISSING).read(rows)
    if found is not None:
        expected, bad = general(rows)
        assert not bad
        assert_same(found, expected)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(INPUTS), st.lists(ANY, max_size=5))
def test_columns_too(column: Input, values: list[Any]) -> None:
    found = PlainRows(INPUTS, DEFAULT_MISSING).read_column(column, values)
    if found is not None:
        expected, misfits = raw_values(values, column.dtype, column.rule, DEFAULT_MISSING)
        assert not misfits
        assert_same({"x": found}, {"x": expected})


def test_other_columns_are_not_plain() -> None:
    reader = PlainRows(INPUTS, DEFAULT_MISSING)
    row = {column.name: None for column in INPUTS}
    assert reader.read([row]) is not None
    assert reader.read([{**row, "more": 1}]) is None
    assert reader.read([dict.fromkeys(list(row)[1:])]) is None
