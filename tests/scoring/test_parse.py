from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declarative_ml.core.columns import apply_rule, raw_column, read_column
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.scoring.parse import raw_values

Dtype = Literal["float32", "string"]

RULES = {
    "integer": ColumnRule(type="integer"),
    "number": ColumnRule(type="number"),
    "dollars": ColumnRule(type="number", prefix="$", thousands=","),
    "european": ColumnRule(type="number", thousands=".", decimal=",", suffix="€"),
    "spaced": ColumnRule(type="number", thousands=" ", decimal=","),
    "kilograms": ColumnRule(type="number", suffix="kg"),
    "boolean": ColumnRule(type="boolean"),
    "day first": ColumnRule(type="date", formats=("%d/%m/%Y", "%d/%m/%y")),
    "words": ColumnRule(type="date", formats=("%b %d, %Y %H:%M:%S", "%b %d, %Y"), has_time=True),
    "text": ColumnRule(type="text"),
}


def through_arrow(array: pa.Array, dtype: Dtype, rule: ColumnRule) -> tuple[list[Any], list[int]]:
    """The raw values and misfits of the training side."""
    if dtype == "float32" and rule.type == "text":
        rule = ColumnRule(type="number")
    typed, misfits = read_column(array, rule)
    return raw_column(typed, dtype).to_pylist(), misfits.tolist()


def assert_parity(values: list[Any], array: pa.Array, dtype: Dtype, rule: ColumnRule) -> None:
    raw, misfits = raw_values(values, dtype, rule)
    expected, wrong = through_arrow(array, dtype, rule)
    assert raw.shape == (len(values), 1)
    assert [row for row, _ in misfits] == wrong
    if dtype == "string":
        assert raw[:, 0].tolist() == expected
    else:
        assert raw.dtype == np.float32
        assert np.array_equal(raw[:, 0], np.array(expected, np.float32), equal_nan=True)


DIGITS = st.text("0123456789", min_size=1, max_size=21)
NUMBERS = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["", "", "-", "+", "$", "-$", "$-", "$ ", " "]),
    DIGITS,
    st.sampled_from(["", "", ".", ",", ".5", ",5", ".000", ",000", ".000,5", " 000", "\u00a0000,25"]),
    st.sampled_from(["", "", "e3", "E-5", "e", "e400", "x1"]),
    st.sampled_from(["", "", "kg", " kg", "€", " €", "%"]),
    st.sampled_from(["", "", " ", "\n"]),
)
DATES = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(
        ["1", "03", "29", "30", "31", "0", "2016", "9999", "0001", "Feb", "march", "Jan.", "Foo"]
    ),
    st.sampled_from(["/", "-", " ", "."]),
    st.sampled_from(["2", "02", "4", "12", "13", "29", "30, ", "31,"]),
    st.sampled_from(["/", "-", " ", ""]),
    st.sampled_from(["1900", "2000", "2016", "16", "69", "29", "1"]),
    st.sampled_from(
        ["", "T10:11", " 23:59:59", " 10:11:12.5", " 1:02 pm", " 13:00 AM", "T00:30Z", "T23:30-05:30"]
    ),
)
WORDS = st.sampled_from(
    ["", " ", "NA", " ? ", "nan", "inf", "true", "FALSE", "0", "1", "yes", "0x1F", "1_0", "١"]
)
ISO = st.builds(
    "{}{}{}".format,
    st.sampled_from(["2016-02-29", "2015-02-29", "0000-01-01", "9999-12-31", "2016-1-2"]),
    st.sampled_from(["", "T", " ", "t"]),
    st.sampled_from(
        ["", "10", "10:11", "23:59:59", "23:59:60", "24:00:00", "10:11:12.5", "10:11:1", "1:01:01Z"]
    ),
)
TEXTS = st.one_of(NUMBERS, DATES, ISO, WORDS, st.text(max_size=12).filter(lambda text: text.isprintable()))


@pytest.mark.parametrize("dtype", ["float32", "string"])
@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40, deadline=None)
@given(text=st.one_of(st.none(), TEXTS))
def test_texts_mean_the_same_in_training_and_scoring(name: str, dtype: Dtype, text: str | None) -> None:
    rule = RULES[name]
    if dtype == "float32" and rule.type == "date":
        return
    assert_parity([text], pa.array([text], pa.string()), dtype, rule)


@pytest.mark.parametrize("name", RULES)
def test_a_whole_column_of_texts_means_the_same(name: str) -> None:
    texts = [
        "1",
        "$1,234",
        "3.5kg",
        "1.234,5",
        None,
        "true",
        "31/12/2016",
        "Dec 3, 2016 5 PM",
        "abc",
        "?",
        "2016-02-29",
    ]
    assert_parity(texts, pa.array(texts, pa.string()), "string", RULES[name])


FLOATS = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-50, 50).map(float))
NATIVE = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): FLOATS,
    pa.bool_(): st.booleans(),
}


@pytest.mark.parametrize("dtype", ["float32", "string"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("kind", NATIVE, ids=str)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_native_values_mean_the_same_in_training_and_scoring(
    kind: pa.DataType, name: str, dtype: Dtype, data: st.DataObject
) -> None:
    rule = RULES[name]
    if dtype == "float32" and rule.type == "date":
        return
    value = data.draw(st.one_of(st.none(), NATIVE[kind]))
    assert_parity([value], pa.array([value], kind), dtype, rule)


@pytest.mark.parametrize("moment", [dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.date(2020, 1, 2)])
@pytest.mark.parametrize("name", ["day first", "words", "text"])
def test_dates_mean_the_same(moment: dt.date, name: str) -> None:
    assert_parity([moment], pa.array([moment]), "string", RULES[name])


@pytest.mark.parametrize(
    ("value", "dtype", "rule", "expected"),
    [
        (30.5, "float32", "integer", 30.5),
        (30.5, "string", "integer", "30.5"),
        (3.0, "string", "number", "3"),
        (3, "string", "text", "3"),
        (True, "string", "text", "true"),
        (True, "float32", "boolean", 1.0),
        (True, "float32", "number", 1.0),
        (1, "string", "boolean", "true"),
        (np.int32(7), "string", "integer", "7"),
        (np.float32(0.5), "string", "number", "0.5"),
        (10**30, "string", "integer", "1e+30"),
        ("12kg", "float32", "kilograms", 12.0),
        (" padded ", "string", "text", " padded "),
        (1e300, "float32", "number", float(np.finfo(np.float32).max)),
    ],
)
def test_json_values_are_read(value: object, dtype: Dtype, rule: str, expected: object) -> None:
    raw, misfits = raw_values([value], dtype, RULES[rule])
    assert misfits == []
    assert raw[0, 0] == expected


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ([1], "number"), ({"a": 1}, "text"), (math.inf, "number"), ("abc", "integer"), ("yes", "boolean"),
        (2, "boolean"), (20161203, "day first"), ("31/02/2016", "day first"), (10**400, "number"),
        (b"1", "text"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_reported_and_missing(value: object, rule: str) -> None:
    raw, misfits = raw_values([None, value], "string", RULES[rule])
    assert raw[:, 0].tolist() == ["", ""]
    assert misfits == [(1, value)]


def test_missing_is_nan_or_empty() -> None:
    raw, misfits = raw_values(
        [None, "", "NA", math.nan, "-9"], "float32", RULES["number"], missing=("-9", "NA")
    )
    assert np.isnan(raw).all()
    assert misfits == []


def test_a_date_as_a_number_is_a_misfit_where_training_refuses_it() -> None:
    raw, misfits = raw_values(["03/12/2016"], "float32", RULES["day first"])
    assert np.isnan(raw).all()
    assert misfits == [(0, "03/12/2016")]
    with pytest.raises(DataError, match="a date is not a number"):
        raw_column(apply_rule(pa.array(["03/12/2016"]), RULES["day first"]), "float32")


def test_no_rows_give_an_empty_column() -> None:
    assert raw_values([], "float32", RULES["number"])[0].shape == (0, 1)
    assert raw_values([], "string", RULES["text"])[0].shape == (0, 1)


def test_parsing_loads_no_pyarrow() -> None:
    code = "import sys; import declarative_ml.scoring.parse; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
