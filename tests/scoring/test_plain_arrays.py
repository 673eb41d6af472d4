"""What is read quickly of an Arrow column is what the general way reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.columns import raw_column, read_column
from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule
from declarative_ml.scoring.plain_arrays import read_array
from declarative_ml.scoring.plain_rows import PlainTexts
from declarative_ml.store.bundle import Input

TOWN = Input(name="town", feature="category", dtype="string", rule=ColumnRule(type="text"))
ROOMS = Input(name="rooms", feature="number", dtype="float32", rule=ColumnRule(type="integer"))
PRICE = Input(name="price", feature="number", dtype="float32", rule=ColumnRule(type="number"))
SEEN = Input(name="seen", feature="date", dtype="string", rule=ColumnRule(type="date"))
WORDS = ["Ulm", None, "NA", " ? ", "", "Ulm", "Köln", "x" * 200]

PLAIN = [
    (TOWN, pa.array(WORDS)),
    (TOWN, pa.array(WORDS, pa.large_string())),
    (TOWN, pa.array(WORDS).dictionary_encode()),
    (TOWN, pa.DictionaryArray.from_arrays(pa.array([1, None, 0]), pa.array(["Ulm", None]))),
    (TOWN, pa.array(["a", "b", "NA", "d"]).slice(1, 2)),
    (TOWN, pa.array([], pa.string())),
    (ROOMS, pa.array([3, None, -7])),
    (ROOMS, pa.array([2**53 + 1, 16_777_217, -(2**63)])),
    (ROOMS, pa.array([2**53 + 1, None, 2**24 + 1, -(2**63)])),
    (ROOMS, pa.array([3, 255], pa.uint8()).slice(1)),
    (ROOMS, pa.array([], pa.int64())),
    (PRICE, pa.array([3, None], pa.int32())),
    (PRICE, pa.array([1.5, None, float("nan"), 1e300])),
    (PRICE, pa.array([1.5, 3e38], pa.float32())),
    (PRICE, pa.array([1.5, None], pa.float32())),
]


@pytest.mark.parametrize(("column", "array"), PLAIN, ids=lambda item: str(getattr(item, "type", "")))
def test_plain_arrays_are_read_as_the_general_way_reads_them(column: Input, array: Any) -> None:
    found = read_array(column, array, PlainTexts(DEFAULT_MISSING))
    typed, lost = read_column(array, column.rule, DEFAULT_MISSING)
    expected = raw_column(typed, column.dtype).to_numpy(zero_copy_only=False)
    assert found is not None
    assert not len(lost)
    assert found.shape == (len(array), 1)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found[:, 0], expected)


@pytest.mark.parametrize(
    ("column", "array"),
    [
        (PRICE, pa.array([1.0, float("inf")])),
        (PRICE, pa.array(["1"])),
        (PRICE, pa.array([2**64 - 1], pa.uint64())),
        (ROOMS, pa.array([1.0, 2.5])),
        (ROOMS, pa.array([True])),
        (TOWN, pa.array([3])),
        (TOWN, pa.DictionaryArray.from_arrays(pa.array([1]), pa.array(["many", "words", "one row"]))),
        (SEEN, pa.array(["2024-02-29"])),
    ],
    ids=str,
)
def test_what_needs_a_closer_look_is_left_to_the_general_way(column: Input, array: Any) -> None:
    assert read_array(column, array, PlainTexts(DEFAULT_MISSING)) is None


def test_single_precision_is_not_copied() -> None:
    array = pa.array([1.5, 2.5], pa.float32())
    found = read_array(PRICE, array, PlainTexts(DEFAULT_MISSING))
    assert found is not None
    assert np.shares_memory(found, array.to_numpy())


def test_words_are_remembered_up_to_a_number() -> None:
    texts = PlainTexts(DEFAULT_MISSING)
    assert texts.read([f"word {number}" for number in range(10_000)]) is not None
    assert 0 < len(texts) <= 4096
    assert texts.read(["x" * 101]) is not None
    assert "x" * 101 not in texts
    assert texts.read(["a", 1]) is None
    assert texts.read(["a", ["b"]]) is None
