from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declarative_ml.core.columns import apply_rule
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule, TableSchema
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.inference import RuleInference, rule_of_type


def infer(
    values: list[object] | pa.Array, chunk: int = 10_000, **options: tuple[str, ...]
) -> tuple[ColumnRule, list[str]]:
    array = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    inference = RuleInference(**options)
    for start in range(0, len(array), chunk):
        inference.update(pa.record_batch({"x": array.slice(start, chunk)}))
    return inference.schema().columns["x"], inference.notes


def rule(kind: str, **options: object) -> ColumnRule:
    return ColumnRule.model_validate({"type": kind, **options})


def date(*formats: str, has_time: bool = False) -> ColumnRule:
    return ColumnRule(type="date", formats=formats, has_time=has_time)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "+3", "", "NA"], rule("integer")),
        (["0", "1", "0"], rule("integer")),
        ([" 1", "2 "], rule("integer")),
        (["999999999999999999"], rule("integer")),
        (["1", "2.0"], rule("number")),
        (["1e-3", "+5", "-0.5", ".5", "5."], rule("number")),
        (["1E5"], rule("number")),
        (["1.234", "2.345"], rule("number")),
        (["true", "False", "TRUE"], rule("boolean")),
        (["yes", "no"], rule("text")),
        (["inf", "1"], rule("text")),
        (["0x1F", "1"], rule("text")),
        (["1_000", "1"], rule("text")),
        (["1,234.50", "7"], rule("number", thousands=",")),
        (["1,234", "1,234,567"], rule("number", thousands=",")),
        (["1,23", "12,5"], rule("number", thousands=".", decimal=",")),
        (["1.234,50", "0,5", "12"], rule("number", thousands=".", decimal=",")),
        (["1 234", "12"], rule("number", thousands=" ")),
        (["1\u00a0234,5", "12,25"], rule("number", thousands=" ", decimal=",")),
        (["1'234.5", "12"], rule("number", thousands="'")),
        (["12,34,56"], rule("text")),
        (["8GB", "16GB"], rule("number", suffix="GB")),
        (["1.37kg", "2 kg", "?"], rule("number", suffix="kg")),
        (["15%", "-3.5 %"], rule("number", suffix="%")),
        (["90 km/h", "120 km/h"], rule("number", suffix="km/h")),
        (["$12", "-$3.50", "$-1"], rule("number", prefix="$")),
        (["$1,234.50", "$7"], rule("number", prefix="$", thousands=",")),
        (["1.234,50 €", "3,00 €"], rule("number", suffix="€", thousands=".", decimal=",")),
        (["EUR 5", "EUR 7.5"], rule("number", prefix="EUR")),
        (["8GB", "16"], rule("text")),
        (["8GB", "16MB"], rule("text")),
        (["s1", "s2"], rule("text")),
        (["A-1", "A-2"], rule("text")),
        (["2016-12-03", "1999-1-2"], date("%Y-%m-%d")),
        (["2016-12-03T10:11:12Z", "2016-12-03 10:11"], date("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", has_time=True)),
        (["2016-12-03", "2016-12-03 10:11:12.5"], date("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", has_time=True)),
        (["2016/12/03"], date("%Y/%m/%d")),
        (["3/12/2016", "25/12/2016"], date("%d/%m/%Y")),
        (["12/3/2016", "12/25/2016"], date("%m/%d/%Y")),
        (["1/2/2016", "3/4/2016"], date("%m/%d/%Y")),
        (["25-12-2016", "1-2-2016"], date("%d-%m-%Y")),
        (["1.2.2016", "3.4.2016"], date("%d.%m.%Y")),
        (["1/1/11", "12/31/12"], date("%m/%d/%y")),
        (["31/1/11", "1/12/12"], date("%d/%m/%y")),
        (["03 Dec 2016", "4 march 2017"], date("%d %b %Y")),
        (["Dec 3, 2016", "August 14, 2020"], date("%b %d, %Y")),
        (["3-Dec-16"], date("%d-%b-%y")),
        (["1949-01", "1949-12"], date("%Y-%m")),
        (["12/25/2016 5:07 PM"], date("%m/%d/%Y %H:%M:%S", "%m/%d/%Y", has_time=True)),
        (["30/02/2016", "1/2/2016"], rule("text")),
        (["13/13/2016"], rule("text")),
        (["12/25/2016", "25/12/2016"], rule("text")),
        (["2016-12-03", "3/12/2016"], rule("text")),
        (["5:30", "6:45"], rule("text")),
        (["", None, "NA"], rule("text")),
        (["x" * 5_000_000, "1"], rule("text")),
    ],
)  # fmt: skip
def test_rules_of_text(values: list[object], expected: ColumnRule) -> None:
    assert infer(values)[0] == expected
    apply_rule(pa.array(values, pa.string()), expected)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["3/12/2016", "25/12/2016", "26/12/2016"],
         "x: dates are read day first (%d/%m/%Y): 2 of 3 values can only be day first"),
        (["1/2/2016"], "x: dates are read month first (%m/%d/%Y), but every value could also be day first; "
         "write them as YYYY-MM-DD to be sure"),
        (["8GB", "16GB"], "x: numbers with 'GB', which is taken off"),
        (["1,234"], "x: numbers with ',' between thousands and '.' before decimals; "
         "every value could also have a decimal comma"),
        (["", "NA"], "x: every value is missing"),
        (["00123", "4567"], "x: kept as text: values such as row 1: '00123' have leading zeros or more than "
         "18 digits: they look like codes, not quantities"),
        (["1234567890123456789"], "x: kept as text: values such as row 1: '1234567890123456789' have leading "
         "zeros or more than 18 digits: they look like codes, not quantities"),
        (["1.5"] * 95 + ["n.d.", "2", "?", "low", "high", "none"],
         "x: kept as text: 4 of 100 values are not numbers (row 96: 'n.d.', row 99: 'low', row 100: 'high')"
         "; if they mean missing, name them in data.missing"),
        (["2016-12-03"] * 20 + ["soon"],
         "x: kept as text: 1 of 21 values are not dates (%Y-%m-%d) (row 21: 'soon')"
         "; if they mean missing, name them in data.missing"),
        (["8GB"] * 20 + ["16"], "x: kept as text: 1 of 21 values are not numbers (row 21: '16')"
         "; if they mean missing, name them in data.missing"),
    ],
)  # fmt: skip
def test_notes_tell_what_a_person_should_know(values: list[object], note: str) -> None:
    for chunk in (1_000, 7):
        assert infer(values, chunk)[1] == [note]


@pytest.mark.parametrize("values", [["1", "2"], ["a", "b"], ["true"], ["2016-12-03"], ["1.5"]])
def test_clear_columns_need_no_note(values: list[object]) -> None:
    assert infer(values)[1] == []


def test_every_value_is_looked_at() -> None:
    values = ["1"] * 70_000 + ["abc"] + ["2"] * 10
    kind, notes = infer(values)
    assert kind.type == "text"
    assert notes == [
        "x: kept as text: 1 of 70,011 values are not numbers (row 70001: 'abc')"
        "; if they mean missing, name them in data.missing"
    ]


def test_own_spellings_of_missing() -> None:
    assert infer(["-", "3"], missing=("-",))[0].type == "integer"
    assert infer(["NA", "3"], missing=("-",))[0].type == "text"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None]), rule("integer")),
        (pa.array([1.0, math.nan]), rule("number")),
        (pa.array([True]), rule("boolean")),
        (pa.array([dt.date(2020, 1, 1)]), date("%Y-%m-%d")),
        (pa.array([dt.datetime(2020, 1, 1)]), date("%Y-%m-%d", has_time=True)),
        (pa.array(["1", "2"]).dictionary_encode(), rule("integer")),
        (pa.array([None, None]), rule("text")),
    ],
)  # fmt: skip
def test_native_columns_keep_their_type(array: pa.Array, expected: ColumnRule) -> None:
    assert infer(array)[0] == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.uint8(), rule("integer")),
        (pa.decimal128(9, 2), rule("number")),
        (pa.bool_(), rule("boolean")),
        (pa.large_string(), rule("text")),
        (pa.dictionary(pa.int8(), pa.string()), rule("text")),
        (pa.null(), rule("text")),
        (pa.date64(), date("%Y-%m-%d")),
        (pa.timestamp("ns", "UTC"), date("%Y-%m-%d", has_time=True)),
    ],
)
def test_rule_of_type(kind: pa.DataType, expected: ColumnRule) -> None:
    assert rule_of_type(kind) == expected


def test_infinite_values_are_told() -> None:
    assert infer(pa.array([math.inf, -math.inf, 1.0]))[1] == ["x: 2 infinite value(s) are read as missing"]


def test_a_column_may_not_change_its_type() -> None:
    inference = RuleInference()
    inference.update(pa.record_batch({"x": [1]}))
    inference.update(pa.record_batch({"x": ["a"]}))
    with pytest.raises(DataError, match="column 'x' changes its type from int64 to string"):
        inference.schema()


def test_merge_equals_one_pass() -> None:
    values = ["25/12/2016"] * 10 + ["1/2/2016"] * 5 + ["3kg"] * 2 + ["never"]
    batches = [pa.record_batch({"x": values[start : start + 6]}) for start in range(0, len(values), 6)]
    whole = RuleInference()
    parts = RuleInference()
    for batch in batches:
        whole.update(batch)
        part = RuleInference()
        part.update(batch)
        parts.merge(part)
    assert parts.schema() == whole.schema()
    assert parts.rows == whole.rows == len(values)
    assert parts.notes == whole.notes


CELLS = st.sampled_from(
    ["1", "-2", "007", "1.5", "1,234", "1.234,5", "8GB", "$3", "2016-12-03", "25/12/2016", "1/2/2016", "true",
     "", "NA", "abc", "1e5", "1e999", "12345678901234567890", "Dec 3, 2016", "3.4.16", "5%", "1 000",
     "2016-12-03 10:11"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=4), st.integers(1, 4))
def test_the_inferred_rule_reads_every_value_however_rows_are_cut(cells: list[object], chunk: int) -> None:
    found, notes = infer(cells)
    assert infer(cells, chunk) == (found, notes)
    apply_rule(pa.array(cells, pa.string()), found)


def read(path: Path) -> tuple[TableSchema, list[str]]:
    inference = RuleInference()
    for batch in FileSource(path=str(path)).batches():
        inference.update(batch)
    return inference.schema(), inference.notes


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("adult", "workclass", rule("text")),
        ("adult", "fnlwgt", rule("integer")),
        ("air_passengers", "Month", date("%Y-%m")),
        ("bike_sharing", "dteday", date("%m/%d/%y")),
        ("california_housing", "total_bedrooms", rule("number")),
        ("daily_min_temps", "Date", date("%Y-%m-%d")),
        ("german_credit", "other_debtors", rule("text")),
        ("german_credit", "default", rule("integer")),
        ("laptop_prices", "Ram", rule("number", suffix="GB")),
        ("laptop_prices", "Weight", rule("number", suffix="kg")),
        ("laptop_prices", "Memory", rule("text")),
        ("melbourne_housing", "Date", date("%d/%m/%Y")),
        ("melbourne_housing", "Postcode", rule("number")),
        ("mnist_images", "image_path", rule("text")),
        ("netflix_genres", "date_added", date("%b %d, %Y")),
        ("netflix_genres", "duration", rule("text")),
        ("netflix_genres", "show_id", rule("text")),
        ("penguins", "body_mass_g", rule("number")),
        ("telco_churn", "TotalCharges", rule("number")),
        ("telco_churn", "Churn", rule("text")),
        ("titanic", "Ticket", rule("text")),
        ("titanic", "Age", rule("number")),
        ("wine_quality", "fixed acidity", rule("number")),
    ],
)
def test_quirks_of_the_shared_tables(
    shared_data: Path, table: str, column: str, expected: ColumnRule
) -> None:
    assert cached(shared_data / table / "data.csv")[0].columns[column] == expected


def test_the_day_first_column_of_a_shared_table_is_told(shared_data: Path) -> None:
    assert cached(shared_data / "melbourne_housing" / "data.csv")[1] == [
        "Date: dates are read day first (%d/%m/%Y): 8,442 of 13,580 values can only be day first"
    ]


TABLES: dict[Path, tuple[TableSchema, list[str]]] = {}


def cached(path: Path) -> tuple[TableSchema, list[str]]:
    if path not in TABLES:
        TABLES[path] = read(path)
    return TABLES[path]
