from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from declarative_ml.core.arrow_types import plain_type
from declarative_ml.core.columns import (
    apply_rule,
    arrow_type,
    hash_values,
    plain_array,
    raw_column,
    read_column,
    recut,
    row_hashes,
    typed_batches,
)
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import BLOCK_ROWS, ColumnRule, TableSchema

INTEGER, NUMBER = ColumnRule(type="integer"), ColumnRule(type="number")
BOOLEAN, TEXT = ColumnRule(type="boolean"), ColumnRule(type="text")
DAY_FIRST = ColumnRule(type="date", formats=("%d/%m/%Y",))
MOMENT = ColumnRule(type="date", formats=("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"), has_time=True)
DOLLARS = ColumnRule(type="number", prefix="$", thousands=",")
EUROPEAN = ColumnRule(type="number", thousands=".", decimal=",")
SPACED = ColumnRule(type="number", thousands=" ", decimal=",")
GRAMS = ColumnRule(type="number", suffix="kg")


def strings(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        (INTEGER, "12", 12),
        (INTEGER, "+12", 12),
        (INTEGER, " -3\t", -3),
        (INTEGER, "007", 7),
        (INTEGER, "3.0", 3),
        (INTEGER, "9007199254740993", 9007199254740993),
        (INTEGER, "+9223372036854775807", 9223372036854775807),
        (INTEGER, "", None),
        (INTEGER, " \u00a0", None),
        (INTEGER, " NA ", None),
        (NUMBER, "1e-3", 0.001),
        (NUMBER, "+5", 5.0),
        (NUMBER, ".5", 0.5),
        (NUMBER, "5.", 5.0),
        (NUMBER, "-0.5", -0.5),
        (NUMBER, "N/A", None),
        (DOLLARS, "$1,234.50", 1234.5),
        (DOLLARS, "-$3", -3.0),
        (DOLLARS, "$-3", -3.0),
        (DOLLARS, "$ 12", 12.0),
        (DOLLARS, "1234567", 1234567.0),
        (EUROPEAN, "1.234,50", 1234.5),
        (EUROPEAN, "1.234", 1234.0),
        (EUROPEAN, "0,5", 0.5),
        (SPACED, "1 234 567,5", 1234567.5),
        (SPACED, "1\u00a0234\u202f567", 1234567.0),
        (GRAMS, "1.37kg", 1.37),
        (GRAMS, "1.37 kg", 1.37),
        (GRAMS, "2", 2.0),
        (BOOLEAN, "True", True),
        (BOOLEAN, "FALSE", False),
        (BOOLEAN, "1", True),
        (BOOLEAN, "0", False),
        (DAY_FIRST, "3/12/2016", dt.date(2016, 12, 3)),
        (DAY_FIRST, "29/02/2016", dt.date(2016, 2, 29)),
        (DAY_FIRST, "2016-12-03", dt.date(2016, 12, 3)),
        (DAY_FIRST, "2016-12-03T23:59:59", dt.date(2016, 12, 3)),
        (MOMENT, "2016-12-03", dt.datetime(2016, 12, 3)),
        (MOMENT, "2016-12-03T10:11", dt.datetime(2016, 12, 3, 10, 11)),
        (MOMENT, "2016-12-03 10:11:12.1234567Z", dt.datetime(2016, 12, 3, 10, 11, 12, 123456)),
        (MOMENT, "2016-12-03T00:30:00+02:00", dt.datetime(2016, 12, 2, 22, 30)),
        (MOMENT, "2016-12-03 12:05 AM", dt.datetime(2016, 12, 3, 0, 5)),
        (MOMENT, "2016-12-03 12:05 pm", dt.datetime(2016, 12, 3, 12, 5)),
        (MOMENT, "9999-12-31", dt.datetime(9999, 12, 31)),
        (MOMENT, "0001-01-01", dt.datetime(1, 1, 1)),
        (ColumnRule(type="date", formats=("%m/%d/%y",)), "1/31/68", dt.date(2068, 1, 31)),
        (ColumnRule(type="date", formats=("%m/%d/%y",)), "1/31/69", dt.date(1969, 1, 31)),
        (ColumnRule(type="date", formats=("%b %d, %Y",)), "august 14, 2020", dt.date(2020, 8, 14)),
        (ColumnRule(type="date", formats=("%d %b %Y",)), "03 Dec 2016", dt.date(2016, 12, 3)),
        (ColumnRule(type="date", formats=("%d-%b-%y",)), "3-Sept-16", dt.date(2016, 9, 3)),
        (ColumnRule(type="date", formats=("%Y-%m",)), "1949-01", dt.date(1949, 1, 1)),
        (TEXT, " as it is ", " as it is "),
        (TEXT, "NULL", None),
    ],
)
def test_apply_rule_reads(rule: ColumnRule, text: str, expected: object) -> None:
    values = apply_rule(strings(text, None), rule)
    assert values.to_pylist() == [expected, None]
    assert values.type == arrow_type(rule)


@pytest.mark.parametrize(
    ("rule", "text", "what"),
    [
        (INTEGER, "1.5", "an integer"),
        (INTEGER, "0x1F", "an integer"),
        (INTEGER, "12345678901234567890", "an integer"),
        (NUMBER, "inf", "a number"),
        (NUMBER, "-Infinity", "a number"),
        (NUMBER, "1e999", "a number"),
        (NUMBER, "1_000", "a number"),
        (NUMBER, "1,5", "a number"),
        (NUMBER, "+-5", "a number"),
        (NUMBER, "e5", "a number"),
        (NUMBER, "٣", "a number"),
        (DOLLARS, "1,23", "a number"),
        (DOLLARS, "-$-3", "a number"),
        (GRAMS, "3 lb", "a number"),
        (BOOLEAN, "yes", "true or false"),
        (DAY_FIRST, "31/02/2016", "a date"),
        (DAY_FIRST, "12/31/2016", "a date"),
        (DAY_FIRST, "29/02/1900", "a date"),
        (MOMENT, "2016-12-03 13:05 PM", "a date"),
        (MOMENT, "2016-12-03 24:00", "a date"),
        (MOMENT, "0001-01-01T00:00+01:00", "a date"),
        (MOMENT, "0000-01-01", "a date"),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(rule: ColumnRule, text: str, what: str) -> None:
    array = strings("", text)
    with pytest.raises(DataError) as caught:
        apply_rule(array, rule, column="x", first_row=100)
    assert caught.value.message == f"column 'x' has 1 value(s) that are not {what}: row 101: {text!r}"
    assert "data.missing" in str(caught.value.hint)


def test_not_strict_turns_misfits_into_nulls_and_says_where() -> None:
    array = strings("1", "x", None, "2.5", "y", "")
    values, misfits = read_column(array, INTEGER)
    assert values.to_pylist() == [1.0, None, None, 2.5, None, None]
    assert misfits.tolist() == [1, 4]
    assert apply_rule(array, INTEGER, strict=False).to_pylist() == values.to_pylist()


def test_the_error_shows_three_values_and_counts_the_rest() -> None:
    with pytest.raises(DataError, match=r"5 value\(s\).*row 1: 'a', row 2: 'b', row 3: 'c' and 2 more"):
        apply_rule(strings(*"abcde"), NUMBER)


def test_own_spellings_of_missing_replace_the_defaults_but_blank_stays_missing() -> None:
    values = apply_rule(strings("-1", "NA", "", "  ", "a"), TEXT, missing=("-1",))
    assert values.to_pylist() == [None, "NA", None, None, "a"]


@pytest.mark.parametrize(
    ("array", "rule", "expected"),
    [
        (pa.array([1, None]), NUMBER, [1.0, None]),
        (pa.array([1, 2], pa.uint8()), INTEGER, [1, 2]),
        (pa.array([True, None]), INTEGER, [1, None]),
        (pa.array([True, None]), TEXT, ["true", None]),
        (pa.array([1.5, math.nan, math.inf]), NUMBER, [1.5, None, None]),
        (pa.array([3.0, math.nan]), INTEGER, [3, None]),
        (pa.array([3.0, 2.5]), TEXT, ["3", "2.5"]),
        (pa.array([1, 0]), BOOLEAN, [True, False]),
        (pa.array(["a", None, "a"]).dictionary_encode(), TEXT, ["a", None, "a"]),
        (pa.array(["7"], pa.large_string()), INTEGER, [7]),
        (pa.array([dt.date(2020, 1, 2)]), MOMENT, [dt.datetime(2020, 1, 2)]),
        (pa.array([dt.datetime(2020, 1, 2, 3)], pa.timestamp("ns")), DAY_FIRST, [dt.date(2020, 1, 2)]),
        (
            pa.array([dt.datetime(2020, 1, 2, 3)], pa.timestamp("s", "+02:00")),
            MOMENT,
            [dt.datetime(2020, 1, 2, 3)],
        ),
        (pa.array([None, None]), NUMBER, [None, None]),
    ],
)
def test_native_columns_are_read_by_the_same_rules(
    array: pa.Array, rule: ColumnRule, expected: list[object]
) -> None:
    values = apply_rule(array, rule)
    assert values.to_pylist() == expected
    assert values.type == arrow_type(rule)


def test_an_infinite_float_is_a_misfit_when_scoring() -> None:
    assert read_column(pa.array([math.inf, 1.0]), NUMBER)[1].tolist() == [0]
    assert read_column(pa.array([math.inf, 1.0]), TEXT)[1].tolist() == [0]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1], pa.int8()), pa.int64()),
        (pa.array([2**64 - 1], pa.uint64()), pa.float64()),
        (pa.array([1.5], pa.float32()), pa.float64()),
        (pa.array([dt.time(1, 2)]), pa.string()),
        (pa.array([None]), pa.string()),
        (pa.chunked_array([["a"], ["b"]]), pa.string()),
        (pa.chunked_array([], pa.int32()), pa.int64()),
    ],
)
def test_plain_array_leaves_few_types(array: pa.Array, kind: pa.DataType) -> None:
    assert plain_array(array).type == kind
    assert len(plain_array(array)) == len(array)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int8())]), pa.binary(), pa.duration("s")]
)
def test_nested_and_binary_types_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match="cannot be a column"):
        plain_type(kind)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([3, None, -4]), ["3", "", "-4"]),
        (
            pa.array([3067.0, None, 1.5, 1e20, -0.0, math.nan, 0.1]),
            ["3067", "", "1.5", "1e+20", "0", "", "0.1"],
        ),
        (pa.array([3067.0, None]), ["3067", ""]),
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array(["a", None, ""]), ["a", "", ""]),
        (pa.array([dt.date(2016, 12, 3), None]), ["2016-12-03", ""]),
        (pa.array([dt.datetime(1950, 1, 2, 3, 4, 5, 678900)]), ["1950-01-02T03:04:05"]),
        (pa.array([], pa.float64()), []),
    ],
)
def test_raw_strings_are_canonical(array: pa.Array, expected: list[str]) -> None:
    assert raw_column(array, "string").to_pylist() == expected


def test_raw_floats_have_nan_for_missing_and_stay_finite() -> None:
    raw = raw_column(pa.array([1.5, None, 1e300, -1e300]), "float32")
    assert raw.type == pa.float32()
    assert raw.null_count == 0
    limit = float(np.finfo(np.float32).max)
    assert np.array_equal(raw.to_numpy(), np.float32([1.5, np.nan, limit, -limit]), equal_nan=True)
    assert raw_column(pa.array([True, None]), "float32").to_numpy()[0] == 1.0
    assert raw_column(strings("12", "?"), "float32").to_numpy()[0] == 12.0


def test_raw_floats_of_dates_and_words_are_refused() -> None:
    with pytest.raises(DataError, match="a date is not a number"):
        raw_column(pa.array([dt.date(2020, 1, 1)]), "float32")
    with pytest.raises(DataError, match="not a number: row 1: 'abc'"):
        raw_column(strings("abc"), "float32")


def table(rows: int) -> pa.RecordBatch:
    return pa.record_batch({"n": [str(row) for row in range(rows)], "t": ["x"] * rows})


def test_typed_batches_are_cut_alike_whatever_the_chunks() -> None:
    rows = BLOCK_ROWS + 1000
    schema = TableSchema(columns={"t": TEXT, "n": INTEGER})
    whole = table(rows)
    by_chunk = []
    for size in (7_001, rows):
        chunks = [whole.slice(start, size) for start in range(0, rows, size)]
        by_chunk.append(list(typed_batches(chunks, schema)))
    for batches in by_chunk:
        assert [batch.num_rows for batch in batches] == [BLOCK_ROWS, 1000]
        assert batches[0].schema.names == ["t", "n"]
        assert batches[1].column("n")[0].as_py() == BLOCK_ROWS
    assert by_chunk[0] == by_chunk[1]


def test_typed_batches_count_rows_over_batches_and_name_absent_columns() -> None:
    schema = TableSchema(columns={"n": INTEGER})
    bad = pa.record_batch({"n": ["5", "five"]})
    with pytest.raises(DataError, match="row 12: 'five'"):
        list(typed_batches([pa.record_batch({"n": ["1"] * 10}), bad], schema))
    with pytest.raises(DataError, match="no column 'z'"):
        list(typed_batches([bad], TableSchema(columns={"z": TEXT})))
    assert list(typed_batches([], schema)) == []


# Splits depend on these numbers: a change here moves rows between training and test.
GOLDEN = [
    9063458224259509139,
    13818811055370255261,
    8383057949897400877,
    3469211461394424943,
    8459626306529692534,
]


def test_hashes_do_not_change() -> None:
    values = hash_values(pa.array(["", "a", "b", None, "naïve " * 3]), seed=1)
    assert values.dtype == np.uint64
    assert values.tolist() == GOLDEN


def test_row_hashes_ignore_column_order_and_chunks_but_not_names_and_seed() -> None:
    batch = pa.record_batch({"a": ["x", None, ""], "b": [1, 2, None], "c": [0.5, math.nan, None]})
    whole = row_hashes(batch, 3)
    parts = np.concatenate([row_hashes(batch.slice(0, 1), 3), row_hashes(batch.slice(1), 3)])
    assert np.array_equal(whole, parts)
    assert np.array_equal(whole, row_hashes(batch.select(["c", "a", "b"]), 3))
    assert not np.isin(whole, row_hashes(batch, 4)).any()
    assert not np.isin(whole, row_hashes(batch.rename_columns(["b", "a", "c"]), 3)).any()


def test_equal_numbers_and_moments_hash_alike_and_null_is_not_empty() -> None:
    def one(array: pa.Array) -> int:
        return int(hash_values(array)[0])

    assert one(pa.array([3])) == one(pa.array([3.0]))
    assert one(pa.array([0.0])) == one(pa.array([-0.0]))
    assert one(pa.array([dt.date(2020, 1, 1)])) == one(pa.array([dt.datetime(2020, 1, 1)]))
    assert one(pa.array([math.nan])) == one(pa.array([None], pa.float64()))
    big = [2**53, 2**53 + 1, 2**53 + 2]
    different = [strings(""), strings(None), strings("3"), pa.array([3]), pa.array([True]), strings("\0")]
    different += [pa.array([value]) for value in big]
    assert len({one(array) for array in different}) == len(different)


def test_hashes_spread_evenly_and_do_not_collide() -> None:
    hashes = hash_values(pa.array([str(number) for number in range(100_000)]))
    assert len(np.unique(hashes)) == 100_000
    counts = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16)
    assert np.abs(counts - 6250).max() < 400


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(0, 20))
def test_text_hashes_do_not_depend_on_neighbours(texts: list[str], cut: int) -> None:
    array = pa.array(texts, pa.string())
    parts = [hash_values(array.slice(0, cut)), hash_values(array.slice(cut))]
    assert np.array_equal(hash_values(array), np.concatenate(parts))


def test_a_value_larger_than_the_chunk_is_hashed_whole() -> None:
    long = "z" * 3_000_000
    first, second = hash_values(pa.array([long, long + "z"])).tolist()
    assert first != second
    assert hash_values(pa.array(["a", long]))[1] == first


def test_equal_hashes_are_told_apart_whatever_the_order_of_the_rows():
    from declarative_ml.core.row_hash import distinct_hashes

    hashes = np.array([7, 3, 7, 7, 9, 3], dtype=np.uint64)
    found = distinct_hashes(hashes)
    assert len(set(found.tolist())) == 6
    assert found[[0, 1, 4]].tolist() == [7, 3, 9]
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(hashes)
        assert sorted(distinct_hashes(shuffled).tolist()) == sorted(found.tolist())


def test_recut_makes_whole_blocks_and_passes_them_as_they_are() -> None:
    whole = table(2 * BLOCK_ROWS + 10)
    sizes = (1, 0, BLOCK_ROWS, 7, BLOCK_ROWS + 2)
    cuts = np.cumsum([0, *sizes])
    blocks = list(recut(whole.slice(start, size) for start, size in zip(cuts, sizes, strict=False)))
    assert [block.num_rows for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 10]
    assert pa.Table.from_batches(blocks).equals(pa.Table.from_batches([whole]))
    exact = whole.slice(0, BLOCK_ROWS)
    (same,) = recut([exact])
    assert same.column(0).buffers()[2].address == exact.column(0).buffers()[2].address


def test_recut_begins_a_block_where_the_schema_changes() -> None:
    other = pa.record_batch({"n": [1, 2]})
    assert list(recut([table(3), table(2), other, other, table(1)])) == [
        pa.concat_batches([table(3), table(2)]),
        pa.concat_batches([other, other]),
        table(1),
    ]
