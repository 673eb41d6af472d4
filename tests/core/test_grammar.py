from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from declarative_ml.core.grammar import (
    canonical_float,
    date_pattern,
    literal,
    read_number,
    spellings_of_missing,
    zone_offset,
)
from declarative_ml.core.schema import ColumnRule


@pytest.mark.parametrize("pattern", ["%Y-%j", "%H:%M", "", "%d/%m/%Y %H:%M", "%q"])
def test_patterns_outside_the_grammar_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="may hold only %Y %y %m %d %b"):
        date_pattern(pattern)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (-0.0, "0"), (1.5, "1.5"), (0.1, "0.1"),
     (1e15, "1000000000000000"), (1e16, "1e+16"), (1e-7, "1e-07")],
)  # fmt: skip
def test_numbers_have_one_spelling(value: float, text: str) -> None:
    assert canonical_float(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_spelling_of_a_number_reads_back_equal(value: float) -> None:
    assert read_number(canonical_float(value), ColumnRule(type="number")) == value


def test_spellings_of_missing_are_trimmed_and_hold_the_blank() -> None:
    assert spellings_of_missing([" NA ", "-9"]) == {"", "NA", "-9"}


@pytest.mark.parametrize(("zone", "hours"), [("", 0), ("Z", 0), ("+02:00", 2), ("-0530", -5.5)])
def test_zones(zone: str, hours: float) -> None:
    assert zone_offset(zone) == timedelta(hours=hours)


def test_units_with_signs_of_regular_expressions_are_literal() -> None:
    assert literal("a b.c") == r"a b\.c"
    assert read_number("5 m^2", ColumnRule(type="number", suffix="m^2")) == 5.0
    assert read_number("1e999", ColumnRule(type="number")) is None
    assert math.isclose(read_number("$.5", ColumnRule(type="number", prefix="$")) or 0.0, 0.5)
