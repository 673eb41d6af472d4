"""JSON lines: one object a line, read as batches of string columns (types are inferred afterwards)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import canonical_float
from declarative_ml.sources.delimited import check_names, open_bytes, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 8_192


def read_keys(path: Path) -> list[str]:
    """Every key of any line, in the order of first appearance. Reads the whole file, a line at a time."""
    names: dict[str, None] = {}
    for _, record in _records(path):
        names.update(dict.fromkeys(record))
    if not names:
        raise DataError(f"{path} is empty", hint="one JSON object a line is expected")
    check_names(list(names), path)
    return list(names)


def read_json_lines(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """All rows; a key that a line lacks, and null, is a null.

    Raises DataError naming the line for text that is not JSON, and for values that are lists or objects.
    """
    columns: dict[str, list[str | None]] = {name: [] for name in names}
    rows = 0
    for line, record in _records(path):
        for name, values in columns.items():
            values.append(_text(record.get(name), name, line, path))
        rows += 1
        if rows == _BATCH_ROWS:
            yield _batch(columns)
            columns, rows = {name: [] for name in names}, 0
    if rows:
        yield _batch(columns)


def _batch(columns: dict[str, list[str | None]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _record(line, number, path)
    except PermissionError as problem:
        raise unreadable(path) from problem
    except (OSError, EOFError) as problem:
        raise DataError(f"{path} is damaged or cut short: {problem}") from problem


def _record(line: bytes, number: int, path: Path) -> dict[str, Any]:
    text = line.removeprefix(b"\xef\xbb\xbf")
    try:
        record = json.loads(text, object_pairs_hook=_without_double)
    except _DoubleKeyError as double:
        raise DataError(
            f"{path}: line {number} gives {double.args[0]!r} more than one value",
            hint="give every key of an object a name of its own",
        ) from double
    except (ValueError, RecursionError) as problem:
        raise DataError(
            f"{path}: line {number} is not JSON: {text[:60]!r}",
            hint="one object a line, UTF-8; an array over several lines is not JSON lines",
        ) from problem
    if not isinstance(record, dict):
        raise DataError(
            f"{path}: line {number} is not an object but {type(record).__name__}",
            hint='each line must look like {"column": value, …}',
        )
    return record


class _DoubleKeyError(Exception):
    """A key stands twice in one object."""


def _without_double(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DoubleKeyError(next(key for key in keys if keys.count(key) > 1))
    return record


def _text(value: Any, name: str, line: int, path: Path) -> str | None:
    if value is None:
        return value
    if isinstance(value, str):
        if not value.isascii() or "\0" in value:
            _refuse_odd_letters(value, name, line, path)
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number_text(value)
    raise DataError(
        f"{path}: line {line}: {name!r} holds a {'list' if isinstance(value, list) else 'nested object'}",
        hint="flatten nested values into columns of their own",
    )


def _refuse_odd_letters(value: str, name: str, line: int, path: Path) -> None:
    """Raise DataError for half a surrogate pair, which no encoding can write, and for NUL."""
    if "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value):
        return
    what = "a NUL" if "\0" in value else "half a surrogate pair"
    raise DataError(
        f"{path}: line {line}: {name!r} holds {what}: {value[:40]!a}",
        hint="write the text again, in UTF-8",
    )


def _number_text(value: float) -> str | None:
    """The number as text. NaN, which some writers put into JSON, is missing; an infinity, and what is beyond
    float64, is no number: it is kept as the word, as in CSV."""
    if value != value:
        return None
    return canonical_float(value) if value - value == 0 else repr(value)
