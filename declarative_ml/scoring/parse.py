"""Request values to the graph's raw columns, one value at a time: numpy and the standard library only.

The meaning of a value is that of `core.columns` (both use `core.grammar`): a CSV cell, a JSON value
and a Parquet cell that say the same give the same raw value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

import numpy as np

from declarative_ml.core.grammar import (
    FALSE,
    TRUE,
    WHITESPACE,
    canonical_date,
    canonical_float,
    compiled,
    read_date,
    read_number,
    spellings_of_missing,
)
from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule

FLOAT32_MAX = float(np.finfo(np.float32).max)
_INT64 = range(-(2**63), 2**63)
_NUMBER = ColumnRule(type="number")

Typed = str | int | float | bool | datetime | None
Misfit = tuple[int, object]
"""The position of a value that did not fit its column's rule, from 0, and the value."""


def raw_values(
    values: Sequence[object] | np.ndarray,
    dtype: Literal["float32", "string"],
    rule: ColumnRule,
    missing: Iterable[str] = DEFAULT_MISSING,
) -> tuple[np.ndarray, list[Misfit]]:
    """The raw column [N, 1] of JSON or Python values, and those that did not fit (they count as missing).

    float32: NaN for missing; string: object array of str, "" for missing. Takes str, int, float, bool,
    None, date and datetime; anything else is a misfit.
    """
    spellings = spellings_of_missing(missing)
    misfits: list[Misfit] = []
    if dtype == "float32":
        numbers = [_float(value, rule, spellings, row, misfits) for row, value in enumerate(values)]
        clipped = np.clip(np.array(numbers, dtype=np.float64), -FLOAT32_MAX, FLOAT32_MAX)
        return clipped.astype(np.float32).reshape(-1, 1), misfits
    texts = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        texts[row, 0] = _text(value, rule, spellings, row, misfits)
    return texts, misfits


def _float(
    value: object, rule: ColumnRule, spellings: Collection[str], row: int, misfits: list[Misfit]
) -> float:
    if rule.type == "text":
        rule = _NUMBER
    try:
        typed = read_value(value, rule, spellings)
        if isinstance(typed, (str, datetime)):
            raise ValueError("dates and words are not numbers")
    except ValueError:
        misfits.append((row, value))
        return float("nan")
    return float("nan") if typed is None else float(typed)


def _text(
    value: object, rule: ColumnRule, spellings: Collection[str], row: int, misfits: list[Misfit]
) -> str:
    try:
        typed = read_value(value, rule, spellings)
    except ValueError:
        misfits.append((row, value))
        return ""
    if isinstance(typed, datetime):
        return canonical_date(typed, rule.has_time)
    return "" if typed is None else _canonical(typed)


def read_value(value: object, rule: ColumnRule, spellings: Collection[str]) -> Typed:
    """One value as its rule says; None for missing. Raises ValueError for a value that does not fit.

    `spellings` are those of `spellings_of_missing`.
    """
    value = _native(value)
    if value is None:
        return None
    if isinstance(value, str):
        trimmed = value.strip(WHITESPACE)
        if trimmed in spellings:
            return None
        if rule.type == "text":
            return value
    elif rule.type in ("integer", "number"):
        return _number(value, rule)
    else:
        trimmed = _canonical(value)
        if rule.type == "text":
            return trimmed
    return _read_text(trimmed, rule)


def _native(value: object) -> str | int | float | bool | None:
    """numpy scalars as the Python values they stand for, dates as ISO text, NaN as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if value != value:
            return None
        if abs(value) == float("inf"):
            raise ValueError("an infinite number is no value")
        return value
    if isinstance(value, datetime):
        utc = value.astimezone(UTC) if value.tzinfo else value
        return utc.replace(tzinfo=None, microsecond=0).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, (str, int)):
        return value
    raise ValueError(f"a {type(value).__name__} is no value of a column")


def _number(value: int | float, rule: ColumnRule) -> int | float:
    if rule.type == "number":
        return _float64(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and int(value) in _INT64 else value
    return int(value) if value in _INT64 else _float64(value)


def _float64(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError as problem:
        raise ValueError("beyond the range of float64") from problem


def _read_text(trimmed: str, rule: ColumnRule) -> Typed:
    typed: Typed
    if rule.type == "date":
        typed = read_date(trimmed, rule)
    elif rule.type == "boolean":
        lower = trimmed.lower()
        typed = lower in TRUE if lower in TRUE | FALSE else None
    else:
        typed = _read_number(trimmed, rule)
    if typed is None:
        raise ValueError(f"{trimmed!r} does not fit the type {rule.type}")
    return typed


def _read_number(trimmed: str, rule: ColumnRule) -> int | float | None:
    number = read_number(trimmed, rule)
    if number is None or rule.type == "number":
        return number
    exact = compiled(r"[+]?(-?[0-9]+)(?:\.0*)?").fullmatch(trimmed)
    if exact is not None and int(exact[1]) in _INT64:
        return int(exact[1])
    return int(number) if number.is_integer() and int(number) in _INT64 else number


def _canonical(value: str | int | float | bool) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return canonical_float(value)
    return str(value)
