"""Columns read by their rules: text to typed Arrow arrays, typed arrays to the graph's raw values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from declarative_ml.core.arrow_types import arrow_type as arrow_type
from declarative_ml.core.arrow_types import cast_or_none
from declarative_ml.core.arrow_types import plain_array as plain_array
from declarative_ml.core.dates import canonical_texts_of_dates, read_dates
from declarative_ml.core.edges import holds_letter, is_missing, without_blanks
from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import (
    FALSE,
    MAX_PLAIN_INTEGER,
    TRUE,
    canonical_float,
    number_pattern,
)
from declarative_ml.core.row_hash import hash_places as hash_places
from declarative_ml.core.row_hash import hash_values as hash_values
from declarative_ml.core.row_hash import row_hashes as row_hashes
from declarative_ml.core.schema import BLOCK_ROWS, DEFAULT_MISSING, ColumnRule, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

FLOAT32_MAX = float(np.finfo(np.float32).max)
_JOINED_BYTES = 32 << 20
_WORDS = {"integer": "an integer", "number": "a number", "boolean": "true or false", "date": "a date"}


def apply_rule(
    array: pa.Array,
    rule: ColumnRule,
    missing: Iterable[str] = DEFAULT_MISSING,
    *,
    strict: bool = True,
    column: str = "",
    first_row: int = 1,
) -> pa.Array:
    """Read a column (text or native) as its rule says: int64, float64, bool, date or string, with nulls.

    Raises DataError with row numbers (the first row of the array counts as `first_row`) and samples
    when a value does not fit. With `strict=False` such values become null, and an integer column that
    holds fractions comes back as float64; `read_column` also tells which they were.
    """
    values, misfits = read_column(array, rule, missing, exact=strict)
    if strict and len(misfits):
        raise _misfit_error(array, misfits, rule, column, first_row)
    return values


def read_column(
    array: pa.Array,
    rule: ColumnRule,
    missing: Iterable[str] = DEFAULT_MISSING,
    *,
    exact: bool = False,
) -> tuple[pa.Array, np.ndarray]:
    """The typed column, and the positions (int64, ascending) of the values that did not fit, now null.

    `exact`, as for training rows: fractions do not fit an integer column (else they turn it into
    float64), and infinite floats, of which inference has told, are missing without being misfits.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = plain_array(array)
    native = _read_native(array, rule)
    if native is not None:
        return (native[0], native[1][:0]) if exact else native
    if not pa.types.is_string(array.type):
        array = raw_column(array, "string")
    if rule.type == "text":
        return _null_missing(array, missing), np.empty(0, dtype=np.int64)
    texts = trimmed_texts(array, missing)
    values = _READERS[rule.type](texts, rule)
    if exact and rule.type == "integer" and pa.types.is_floating(values.type):
        values = _integral_only(values)
    lost = pc.and_(pc.is_valid(texts), pc.is_null(values))
    return values, np.flatnonzero(lost.to_numpy(zero_copy_only=False))


def trimmed_texts(array: pa.Array, missing: Iterable[str]) -> pa.Array:
    """A string array without blanks around its values, and null for every spelling of missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = without_blanks(array)
    found = is_missing(texts, missing)
    return texts if found is None else pc.if_else(found, pa.scalar(None, pa.string()), texts)


def _null_missing(array: pa.Array, missing: Iterable[str]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = is_missing(without_blanks(array), missing)
    return array if found is None else pc.if_else(found, pa.scalar(None, pa.string()), array)


def typed_batches(
    batches: Iterable[pa.RecordBatch], schema: TableSchema, *, strict: bool = True
) -> Iterator[pa.RecordBatch]:
    """The columns of `schema`, typed, in its order, re-cut to blocks of BLOCK_ROWS rows (the last shorter).

    Raises DataError when a column is absent or a value does not fit its rule.
    """
    import pyarrow as pa

    def typed() -> Iterator[pa.RecordBatch]:
        first_row = 1
        for batch in _joined(batches):
            yield _typed_batch(batch, schema, strict=strict, first_row=first_row)
            first_row += batch.num_rows

    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in typed():
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= BLOCK_ROWS:
            whole = pa.concat_batches(waiting)
            full = rows - rows % BLOCK_ROWS
            yield from (whole.slice(start, BLOCK_ROWS) for start in range(0, full, BLOCK_ROWS))
            waiting, rows = [whole.slice(full)], rows - full
    if rows:
        yield pa.concat_batches(waiting)


def raw_column(array: pa.Array, dtype: Literal["float32", "string"]) -> pa.Array:
    """The canonical raw value that the graph takes, without nulls.

    float32: NaN for missing, true = 1, beyond the range of float32 clamped to its ends.
    string: "" for missing, "3" for 3 and 3.0, shortest digits for other numbers, "true"/"false",
    YYYY-MM-DD for dates and YYYY-MM-DDTHH:MM:SS for moments.
    Raises DataError when float32 is asked of text that is not a number, or of dates.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = plain_array(array)
    if dtype == "string":
        texts = _canonical_texts(array)
        return pc.fill_null(texts, "")
    if pa.types.is_string(array.type):
        array = apply_rule(array, ColumnRule(type="number"))
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        if not pa.types.is_boolean(array.type):
            raise DataError("a date is not a number", hint="use the feature type date for this column")
        array = array.cast(pa.int8())
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    clipped = np.clip(numbers, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    return pa.array(clipped, pa.float32(), from_pandas=False)


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Small batches of equal schema as fewer, larger ones: the cost of a column is mostly per batch."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if waiting and (size >= _JOINED_BYTES or not waiting[0].schema.equals(batch.schema)):
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
        waiting.append(batch)
        size += batch.nbytes
    if waiting:
        yield pa.concat_batches(waiting)


def _typed_batch(
    batch: pa.RecordBatch, schema: TableSchema, *, strict: bool, first_row: int
) -> pa.RecordBatch:
    import pyarrow as pa

    places = {name: place for place, name in enumerate(batch.schema.names)}
    absent = [name for name in schema.columns if name not in places]
    if absent:
        raise DataError(
            f"the data have no column {', '.join(map(repr, absent))}",
            hint=f"columns there are: {', '.join(batch.schema.names[:20])}",
        )
    arrays, fields = [], []
    for name, rule in schema.columns.items():
        kind = arrow_type(rule)
        values = apply_rule(
            batch.column(places[name]), rule, schema.missing, strict=strict, column=name, first_row=first_row
        )
        arrays.append(values if values.type == kind else values.cast(kind, safe=False))
        fields.append(pa.field(name, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _read_native(array: pa.Array, rule: ColumnRule) -> tuple[pa.Array, np.ndarray] | None:
    """The conversions between native types; None where the values are read as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind, none = pa.types, array.type, np.empty(0, dtype=np.int64)
    if types.is_floating(kind):
        finite = pc.fill_null(pc.is_finite(array), False)
        infinite = np.flatnonzero(pc.fill_null(pc.is_inf(array), False).to_numpy(zero_copy_only=False))
        array = pc.if_else(finite, array, pa.scalar(None, kind))
        if rule.type == "number":
            return array, infinite
        if len(infinite):
            return read_column(array, rule)[0], infinite
    if rule.type in ("integer", "number") and (types.is_integer(kind) or types.is_boolean(kind)):
        wanted = pa.int64() if rule.type == "integer" else pa.float64()
        return array.cast(pa.int64()).cast(wanted, safe=False), none
    if rule.type == "boolean" and types.is_boolean(kind):
        return array, none
    if rule.type == "date" and (types.is_date(kind) or types.is_timestamp(kind)):
        return array.cast(arrow_type(rule), safe=False), none
    return None


def _read_numbers(trimmed: pa.Array, rule: ColumnRule) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = not (rule.prefix or rule.suffix or rule.thousands or rule.decimal != ".")
    if bare:
        fast = _cast_finite(trimmed)
        if fast is not None:
            return fast
    found = pc.extract_regex(trimmed, f"^(?:{number_pattern(rule)})$")
    digits = pc.struct_field(found, "digits")
    names = [name for name in ("front", "sign", "only") if rule.prefix or name == "sign"]
    sign = pc.binary_join_element_wise(*(pc.struct_field(found, name) for name in names), "")
    sign = pc.if_else(pc.less(pc.utf8_length(sign), 2), sign, pa.scalar(None, pa.string()))
    texts = pc.binary_join_element_wise(sign, _plain_digits(digits, rule), "")
    numbers = texts.cast(pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _plain_digits(digits: pa.Array, rule: ColumnRule) -> pa.Array:
    """`grammar.plain_digits` over a whole column."""
    import pyarrow.compute as pc

    if rule.thousands:
        for mark in " \u00a0\u202f" if rule.thousands == " " else rule.thousands:
            digits = pc.replace_substring(digits, mark, "")
    return digits if rule.decimal == "." else pc.replace_substring(digits, rule.decimal, ".")


def _cast_finite(trimmed: pa.Array) -> pa.Array | None:
    """All texts as float64, or None when one of them needs a closer look (words such as inf, junk)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = cast_or_none(trimmed, pa.float64())
    if numbers is None or pc.all(pc.is_finite(numbers)).as_py() is False:
        return None
    return numbers


def _read_integers(trimmed: pa.Array, rule: ColumnRule) -> pa.Array:
    """int64 where every value is integral and in range, else float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not holds_letter(trimmed, "x"):  # Arrow would read 0x1F as an integer
        exact = cast_or_none(trimmed, pa.int64())
        if exact is None:
            bare = pc.replace_substring_regex(trimmed, r"^\+([0-9])", r"\1")
            exact = cast_or_none(pc.replace_substring_regex(bare, r"\.0*$", ""), pa.int64())
        if exact is not None:
            return exact
    numbers = _read_numbers(trimmed, rule)
    return numbers.cast(pa.int64(), safe=False) if _is_integral(numbers) else numbers


def _is_integral(numbers: pa.Array) -> bool:
    values = numbers.drop_null().to_numpy(zero_copy_only=False)
    return bool(np.all((values == np.floor(values)) & (np.abs(values) < 2.0**63)))


def _integral_only(numbers: pa.Array) -> pa.Array:
    import pyarrow as pa

    values = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = ~((values == np.floor(values)) & (np.abs(values) < 2.0**63))
    return pa.array(np.where(wrong, 0.0, values).astype(np.int64), mask=wrong)


def _read_booleans(trimmed: pa.Array, rule: ColumnRule) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.utf8_lower(trimmed)
    yes = pc.is_in(lower, value_set=pa.array(sorted(TRUE)))
    known = pc.is_in(lower, value_set=pa.array(sorted(TRUE | FALSE)))
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))


_READERS: dict[str, Any] = {
    "integer": _read_integers,
    "number": _read_numbers,
    "boolean": _read_booleans,
    "date": read_dates,
}


def _canonical_texts(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        return _canonical_floats(array)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return canonical_texts_of_dates(array)
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "true", "false")
    return array.cast(pa.string())


def _canonical_floats(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if _is_integral(array) and pc.all(pc.less(pc.abs(array), float(MAX_PLAIN_INTEGER))).as_py() is not False:
        return array.cast(pa.int64(), safe=False).cast(pa.string())
    codes = array.dictionary_encode()
    levels = pa.array([canonical_float(value) for value in codes.dictionary.to_pylist()], pa.string())
    return levels.take(codes.indices)


def _misfit_error(
    array: pa.Array, misfits: np.ndarray, rule: ColumnRule, column: str, first_row: int
) -> DataError:
    few: Sequence[int] = misfits[:3].tolist()
    samples = ", ".join(f"row {first_row + row}: {array[row].as_py()!r}" for row in few)
    more = f" and {len(misfits) - len(few)} more" if len(misfits) > len(few) else ""
    where = f"column {column!r}" if column else "a column"
    return DataError(
        f"{where} has {len(misfits)} value(s) that are not {_WORDS[rule.type]}: {samples}{more}",
        hint="correct the values, or add their spelling to data.missing",
    )
