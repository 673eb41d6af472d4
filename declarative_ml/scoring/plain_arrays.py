"""The quick way in for Arrow columns of plain types: numbers as they lie there, texts word by word.

As in `plain_rows`, whatever needs a closer look is left to `core.columns`, which reads it to the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.scoring.parse import FLOAT32_MAX
from declarative_ml.scoring.plain_rows import PlainTexts, is_number, is_text
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import pyarrow as pa


def read_array(column: Input, array: pa.Array, texts: PlainTexts) -> np.ndarray | None:
    """The raw column [N, 1], which may be the array's own memory; None where the array is not plain."""
    found = None
    if is_text(column):
        found = _texts(array, texts)
    elif is_number(column):
        found = _numbers(array, is_whole=column.rule.type == "integer")
    return None if found is None else found.reshape(-1, 1)


def _texts(array: pa.Array, texts: PlainTexts) -> np.ndarray | None:
    """Each distinct text is looked at once, however many rows have it."""
    import pyarrow as pa

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.dictionary_encode()
    elif not (pa.types.is_dictionary(array.type) and len(array.dictionary) <= len(array)):
        return None
    words = texts.read([*array.dictionary.to_pylist(), None])
    if words is None:
        return None
    places = array.indices
    if places.null_count:
        places = places.cast(pa.int64()).fill_null(len(words) - 1)
    found: np.ndarray = words[places.to_numpy()]
    return found


def _numbers(array: pa.Array, *, is_whole: bool) -> np.ndarray | None:
    """`is_whole`: the rule is that of integers, whose fractions are read as texts are."""
    import pyarrow as pa

    kind = array.type
    values: np.ndarray
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        # Beyond 2**53 only the way over float64 rounds as the rest of the product does.
        values = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return values.astype(np.float32)
    if is_whole or not (pa.types.is_float32(kind) or pa.types.is_float64(kind)):
        return None
    values = array.to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        return None
    if not pa.types.is_float32(kind):
        values = values.clip(-FLOAT32_MAX, FLOAT32_MAX)
    return values.astype(np.float32, copy=False)
