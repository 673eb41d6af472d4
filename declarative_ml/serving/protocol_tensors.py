"""Tensors of the Open Inference Protocol: JSON lists, and the binary extension of Triton's clients."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from declarative_ml.serving.exchange import Refusal

DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The fixed-width datatypes; BYTES stands for texts in UTF-8."""

BYTES = "BYTES"


def rows_of(name: str, shape: Any, limit: int) -> int:
    """The number of rows of a column's tensor, [N] or [N, 1]. Raises Refusal."""
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise Refusal(400, f"input {name!r}: the shape {_short(shape)} is neither [N] nor [N, 1]")
    rows: int = shape[0]
    if rows < 1:
        raise Refusal(400, f"input {name!r}: there are no rows")
    if rows > limit:
        raise Refusal(413, f"input {name!r} has {rows:,} rows, at most {limit:,} are taken")
    return rows


def read_list(name: str, datatype: str, data: Any, rows: int) -> list[Any]:
    """The values of a JSON tensor, flat; null is a missing value. Raises Refusal for what does not fit."""
    if not isinstance(data, list):
        raise Refusal(400, f"input {name!r}: 'data' is not a list")
    flat = [item[0] for item in data] if _is_nested(data) else data
    if len(flat) != rows:
        raise Refusal(400, f"input {name!r}: the shape says {rows} value(s), 'data' holds {len(flat)}")
    taken = _TYPES.get(datatype, _INTEGERS)
    for value in flat:
        if value is not None and type(value) not in taken:
            raise Refusal(400, f"input {name!r}: {_short(value)} is not {datatype}")
    if taken is _INTEGERS and datatype in DATATYPES:
        _check_range(name, datatype, flat)
    return flat


_INTEGERS: frozenset[type] = frozenset({int})
_TYPES: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    "FP16": frozenset({int, float}),
    "FP32": frozenset({int, float}),
    "FP64": frozenset({int, float}),
    BYTES: frozenset({str}),
}


def _is_nested(data: list[Any]) -> bool:
    return bool(data) and all(isinstance(item, list) and len(item) == 1 for item in data)


def _check_range(name: str, datatype: str, values: Sequence[Any]) -> None:
    bounds = np.iinfo(DATATYPES[datatype])
    low, high = int(bounds.min), int(bounds.max)
    for value in values:
        if value is not None and not low <= value <= high:
            raise Refusal(400, f"input {name!r}: {_short(value)} is beyond {datatype}")


def read_binary(name: str, datatype: str, content: memoryview, rows: int) -> np.ndarray | list[str]:
    """The values [rows] of a binary tensor: little-endian numbers, or texts behind their lengths in 4 bytes.

    Raises Refusal when the size does not fit.
    """
    if datatype == BYTES:
        return _read_texts(name, content, rows)
    kind = DATATYPES[datatype]
    if len(content) != rows * kind.itemsize:
        raise Refusal(
            400,
            f"input {name!r}: {rows} value(s) of {datatype} take {rows * kind.itemsize} bytes, "
            f"not {len(content)}",
        )
    return np.frombuffer(content, dtype=kind)


def _read_texts(name: str, content: memoryview, rows: int) -> list[str]:
    found = _read_short_texts(content, rows) if rows >= _MANY else None
    return _read_any_texts(name, content, rows) if found is None else found


def _read_short_texts(content: memoryview, rows: int) -> list[str] | None:
    """Many short ASCII texts without NUL, found all at once; None where they may be others.

    Then three zeros in line are the end of a length, and of nothing else. That the lengths lead from one
    to the next and to the end is checked, so that what is given back is right in any case.
    """
    given = np.frombuffer(content, np.uint8)
    zeros = given == 0
    places = np.flatnonzero(zeros[1:-2] & zeros[2:-1] & zeros[3:])
    if len(places) != rows or places[0] != 0:
        return None
    starts = places + 4
    ends = starts + given[places]
    if ends[-1] != len(given) or not np.array_equal(ends[:-1], places[1:]):
        return None
    text = str(content, "latin-1")
    if not text.isascii():
        return None
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _read_any_texts(name: str, content: memoryview, rows: int) -> list[str]:
    given, size, parts, place = content.tobytes(), len(content), [], 0
    try:
        for _ in range(rows):
            start = place + 4
            place = start + _LENGTH(given, place)[0]
            parts.append(given[start:place])
        if place > size:
            raise struct.error
        texts = list(map(bytes.decode, parts))
    except struct.error:
        raise _no_text(name, len(parts) + (place <= size)) from None
    except UnicodeDecodeError:
        raise _no_text(name, _first_wrong(parts) + 1) from None
    if place != size:
        raise Refusal(400, f"input {name!r}: {size - place} bytes are left behind the last value")
    return texts


_LENGTH = struct.Struct("<I").unpack_from
_MANY = 16
"""Below, one after the other is as fast."""


def _no_text(name: str, number: int) -> Refusal:
    return Refusal(400, f"input {name!r}: value {number} is no text with its length before it")


def _first_wrong(parts: Sequence[bytes]) -> int:
    """The place of the first that is not UTF-8; the last where all others are."""
    for place, part in enumerate(parts):
        try:
            part.decode()
        except UnicodeDecodeError:
            return place
    return len(parts) - 1


def write_binary(values: np.ndarray, datatype: str) -> bytes:
    """The bytes of a tensor, row by row."""
    if datatype != BYTES:
        return values.astype(DATATYPES[datatype]).tobytes()
    encoded = [str(value).encode() for value in values.reshape(-1).tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def write_list(values: np.ndarray, datatype: str) -> list[Any]:
    """The values of a tensor for JSON, flat; what is not finite is null."""
    flat: list[Any] = values.reshape(-1).tolist()
    if datatype.startswith("FP"):
        return [value if math.isfinite(value) else None for value in flat]
    return [str(value) for value in flat] if datatype == BYTES else flat


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
