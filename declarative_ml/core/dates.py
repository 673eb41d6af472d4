"""Columns of dates: text to days and moments by the grammar's patterns, and back to ISO text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.arrow_types import as_integers, as_mask, cast_or_none
from declarative_ml.core.grammar import ISO_DATE, MONTHS, TIME, date_pattern, date_patterns
from declarative_ml.core.schema import ColumnRule

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST = np.datetime64("0001-01-01T00:00:00", "us").astype(np.int64)
_LAST = np.datetime64("9999-12-31T23:59:59.999999", "us").astype(np.int64)
_MICROSECONDS = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}


def read_dates(trimmed: pa.Array, rule: ColumnRule) -> pa.Array:
    """Trimmed texts as timestamp[us] (`rule.has_time`) or date32; null where no pattern fits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = as_mask(pc.is_valid(trimmed))
    fast = iso_moments(trimmed.drop_null(), with_time=rule.has_time) if ISO_DATE in rule.formats else None
    if fast is not None:
        moments = np.zeros(len(trimmed), dtype=np.int64)
        moments[present] = fast
        return _typed(moments, present, rule)
    codes = trimmed.dictionary_encode()
    levels = codes.dictionary
    moments = np.zeros(len(levels), dtype=np.int64)
    known = np.zeros(len(levels), dtype=bool)
    for pattern in date_patterns(rule):
        open_ = np.flatnonzero(~known)
        if not len(open_):
            break
        values, fits = parse_dates(levels.take(pa.array(open_)), pattern)
        moments[open_[fits]] = values[fits]
        known[open_[fits]] = True
    return _typed(moments, known, rule).take(codes.indices)


def _typed(moments: np.ndarray, known: np.ndarray, rule: ColumnRule) -> pa.Array:
    """Microseconds since 1970 as the type of the rule, null where they are not `known`."""
    import pyarrow as pa

    if rule.has_time:
        return pa.array(moments, mask=~known).cast(pa.timestamp("us"))
    days = np.floor_divide(moments, 86_400_000_000).astype(np.int32)
    return pa.array(days, pa.int32(), mask=~known).cast(pa.date32())


def parse_dates(texts: pa.Array, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since 1970 (int64, UTC) of texts without nulls, and which of them fit `pattern`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fast = iso_moments(texts, with_time=pattern == ISO_DATE + TIME) if pattern.startswith(ISO_DATE) else None
    if fast is not None:
        return fast, np.ones(len(texts), dtype=bool)
    found = pc.extract_regex(texts, f"^(?:{date_pattern(pattern)})$")
    fits = as_mask(pc.is_valid(found)).copy()
    moments = np.zeros(len(texts), dtype=np.int64)
    if not fits.any():
        return moments, fits
    places = np.flatnonzero(fits)
    chosen = found.filter(pa.array(fits))
    fields = {field.name: pc.struct_field(chosen, field.name) for field in found.type}
    values, real = _moments(fields, len(places))
    moments[places] = values
    fits[places] = real
    return moments, fits


def canonical_texts_of_dates(array: pa.Array) -> pa.Array:
    """ISO texts: YYYY-MM-DD of a date column, YYYY-MM-DDTHH:MM:SS of a timestamp column; nulls stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(array.type):
        return array.cast(pa.string())
    seconds = pc.floor_temporal(array, unit="second").cast(pa.timestamp("s"))
    return pc.replace_substring(seconds.cast(pa.string()), " ", "T")


def iso_moments(texts: pa.Array, *, with_time: bool) -> np.ndarray | None:
    """The short way where all texts are plain ISO of full length (no zone, no fraction); else None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pa.array([16, 19] if with_time else [10], pa.int32())
    if pc.all(pc.is_in(pc.binary_length(texts), value_set=lengths)).as_py() is False:
        return None
    moments = cast_or_none(texts, pa.timestamp("us"))
    if moments is None or not len(texts):
        return None
    values = as_integers(moments.cast(pa.int64()))
    return values if values.min() >= _FIRST else None


def _moments(fields: dict[str, pa.Array], rows: int) -> tuple[np.ndarray, np.ndarray]:
    year, wide = _numbers(fields["year"]), _lengths(fields["year"]) == 4
    year = np.where(wide, year, year + np.where(year >= 69, 1900, 2000))
    month = _months(fields["month"]) if "month" in fields else np.ones(rows, dtype=np.int64)
    day = _numbers(fields["day"]) if "day" in fields else np.ones(rows, dtype=np.int64)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    real = (year >= 1) & (day <= (after - first).astype(np.int64))
    moments = (first.astype(np.int64) + day - 1) * 86_400_000_000
    if "hour" in fields:
        clock, possible = _clock(fields)
        moments += clock
        real &= possible & (moments >= _FIRST) & (moments <= _LAST)
    return moments, real


def _clock(fields: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since midnight UTC, and whether the 12-hour clock was used rightly."""
    import pyarrow.compute as pc

    hour = _numbers(fields["hour"])
    half = pc.utf8_lower(fields["half"])
    is_half = as_mask(pc.greater(pc.utf8_length(half), 0))
    is_pm = as_mask(pc.equal(half, "pm"))
    possible = ~is_half | ((hour >= 1) & (hour <= 12))
    hour = np.where(is_half, hour % 12 + np.where(is_pm, 12, 0), hour)
    total = hour * _MICROSECONDS["hour"]
    for name in ("minute", "second"):
        total += _numbers(fields[name]) * _MICROSECONDS[name]
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(fields["fraction"], 6, padding="0"), 0, 6)
    total += _numbers(fraction)
    return total - _offsets(fields["zone"]), possible


def _offsets(zones: pa.Array) -> np.ndarray:
    """Microseconds that each zone is ahead of UTC."""
    import pyarrow.compute as pc

    digits = pc.replace_substring_regex(zones, "[^0-9]", "")
    hours = _numbers(pc.utf8_slice_codeunits(digits, 0, 2))
    minutes = _numbers(pc.utf8_slice_codeunits(digits, 2, 4))
    behind = as_mask(pc.starts_with(zones, "-"))
    size = hours * _MICROSECONDS["hour"] + minutes * _MICROSECONDS["minute"]
    ahead: np.ndarray = np.where(behind, -size, size)
    return ahead


def _months(texts: pa.Array) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    short = pc.utf8_slice_codeunits(pc.utf8_lower(texts), 0, 3)
    named = pc.index_in(short, value_set=pa.array(MONTHS))
    if not named.null_count:
        return as_integers(named) + 1
    return _numbers(texts)


def _numbers(texts: pa.Array) -> np.ndarray:
    """Digits as int64; an absent group, "", as 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.if_else(pc.equal(texts, ""), "0", texts)
    return as_integers(filled.cast(pa.int64()))


def _lengths(texts: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    return as_integers(pc.utf8_length(texts))
