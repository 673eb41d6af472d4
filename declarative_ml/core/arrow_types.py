"""The few Arrow types that a column may have, and how every other type becomes one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


_PROBE = 16


def arrow_type(rule: ColumnRule) -> pa.DataType:
    """The Arrow type of a column that was read by `rule`."""
    import pyarrow as pa

    if rule.type == "date":
        return pa.timestamp("us") if rule.has_time else pa.date32()
    types = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "text": pa.string()}
    return types[rule.type]


def plain_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of a plain type: dictionaries decoded, wide and view strings as string, floats as float64,
    integers as int64, moments as timestamp[us] in UTC, decimals as float64.

    Raises DataError for types that no column can have (lists, structs, bytes, …).
    """
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    kind = plain_type(array.type)
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        return plain_array(array.dictionary_decode())
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        return array.cast(kind, safe=False)  # uint64 beyond 2**53, nanoseconds: rounding is meant


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The plain type that stands for `kind` (see `plain_array`)."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_uint64(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return pa.float64()
    if types.is_integer(kind):
        return pa.int64()
    if types.is_timestamp(kind):
        return pa.timestamp("us")
    if types.is_date(kind):
        return pa.date32()
    if types.is_boolean(kind):
        return kind
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    if text or types.is_null(kind) or types.is_time(kind):
        return pa.string()
    raise DataError(
        f"values of the Arrow type {kind} cannot be a column",
        hint="write the column as numbers, text or dates, or leave it out of the file",
    )


def cast_or_none(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The cast array, or None when a value cannot be cast."""
    import pyarrow as pa

    try:
        array[:_PROBE].cast(kind)  # a failing cast is slow in the number of values, and often fails at once
        return array.cast(kind)
    except pa.ArrowInvalid:
        return None


def as_mask(array: pa.Array) -> np.ndarray:
    """A boolean array without nulls as numpy bool, [N]."""
    mask: np.ndarray = array.to_numpy(zero_copy_only=False)
    return mask


def as_integers(array: pa.Array) -> np.ndarray:
    """An integer array without nulls as numpy int64, [N]."""
    import numpy as np

    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)


def text_buffers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offsets [N + 1] (int64) and the bytes of a string array, whatever slice it is."""
    import numpy as np

    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(len(array) + 1, dtype=np.int64), np.empty(0, dtype=np.uint8)
    places = np.frombuffer(offsets, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    content = np.empty(0, dtype=np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return places.astype(np.int64), content
