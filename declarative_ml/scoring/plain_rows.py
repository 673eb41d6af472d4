"""The quick way in for rows as clients send them: numbers as numbers, texts as texts, null for missing.

Whatever else a value may be (a number in a text, a date, a truth value, a huge number) is read by
`scoring.parse`, value by value, to the same raw columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np

from declarative_ml.core.grammar import WHITESPACE, spellings_of_missing
from declarative_ml.scoring.parse import FLOAT32_MAX, raw_values
from declarative_ml.store.bundle import Input

_NUMBERS = frozenset({float, int, NoneType})
_TEXTS = frozenset({str, NoneType})
_FEW = 64
"""Up to here Python compares numbers faster than numpy begins to."""


class PlainRows:
    """Reads rows of one bundle's columns where every value is plain."""

    def __init__(self, inputs: Sequence[Input], missing: Iterable[str]) -> None:
        self._numbers = [column.name for column in inputs if _is_number(column)]
        self._texts = [column.name for column in inputs if _is_text(column)]
        self._others = [column for column in inputs if not (_is_number(column) or _is_text(column))]
        self._names = frozenset(column.name for column in inputs)
        self._missing = spellings_of_missing(missing)

    def read(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        """The raw columns [N, 1] of `rows`, or None where one of them is not plain."""
        names = self._names
        if any(type(row) is not dict or row.keys() != names for row in rows):
            return None
        numbers = self._read_numbers(rows)
        texts = None if numbers is None else self._read_texts(rows)
        others = None if texts is None else self._read_others(rows)
        return None if numbers is None or texts is None or others is None else numbers | texts | others

    def _read_numbers(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        if not self._numbers:
            return {}
        single = _as_numbers([[row[name] for row in rows] for name in self._numbers])
        if single is None:
            return None
        return {name: single[:, place : place + 1] for place, name in enumerate(self._numbers)}

    def _read_texts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        found = {}
        for name in self._texts:
            texts = self._read_text([row[name] for row in rows])
            if texts is None:
                return None
            found[name] = texts
        return found

    def _read_text(self, values: Sequence[Any]) -> np.ndarray | None:
        if not _TEXTS.issuperset(map(type, values)):
            return None
        missing = self._missing
        column = np.empty((len(values), 1), dtype=object)
        column[:, 0] = [
            "" if value is None or value.strip(WHITESPACE) in missing else value for value in values
        ]
        return column

    def read_column(self, column: Input, values: Sequence[Any]) -> np.ndarray | None:
        """The raw column [N, 1] of `values`, or None where one of them is not plain."""
        if _is_text(column):
            return self._read_text(values)
        return _as_numbers([values]) if _is_number(column) else None

    def _read_others(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        found = {}
        for column in self._others:
            values = [row[column.name] for row in rows]
            found[column.name], misfits = raw_values(values, column.dtype, column.rule, self._missing)
            if misfits:
                return None
        return found


def _is_number(column: Input) -> bool:
    return column.dtype == "float32" and column.rule.type in ("integer", "number", "text")


def _is_text(column: Input) -> bool:
    return column.dtype == "string" and column.rule.type == "text"


def _as_numbers(columns: Sequence[Sequence[Any]]) -> np.ndarray | None:
    """Columns of equal length as float32 [N, columns], each contiguous; None where a value is not plain."""
    flat = list(chain.from_iterable(columns))
    kinds = set(map(type, flat))
    if not kinds <= _NUMBERS:
        return None
    if (
        0 < len(flat) <= _FEW
        and NoneType not in kinds
        and -FLOAT32_MAX <= min(flat) <= max(flat) <= FLOAT32_MAX
    ):
        return np.array(columns, dtype=np.float32).T
    try:
        wide = np.array(columns, dtype=np.float64)
    except OverflowError:
        return None
    if np.any(np.abs(wide) > FLOAT32_MAX):
        return None
    return wide.astype(np.float32).T
