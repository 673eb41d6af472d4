"""The quick way in for rows as clients send them: numbers as numbers, texts as texts, null for missing.

Whatever else a value may be (a number in a text, a date, a truth value, a huge number) is read by
`scoring.parse`, value by value, to the same raw columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any

import numpy as np

from declarative_ml.core.grammar import WHITESPACE, spellings_of_missing
from declarative_ml.scoring.parse import FLOAT32_MAX, raw_values
from declarative_ml.store.bundle import Input

_NUMBERS = frozenset({float, int, NoneType})
_FEW = 64
"""Up to here Python compares numbers faster than numpy begins to."""
_MOST_KNOWN = 4096
_LONGEST_KNOWN = 100


class PlainTexts(dict[str | None, str]):
    """Value -> raw text, "" for what says that it is missing. The words of categories come again and again:
    each is looked at once, and some thousand are remembered."""

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__()
        self._missing = spellings_of_missing(missing)

    def __missing__(self, value: Any) -> str:
        """Raises TypeError for what is neither a text nor None."""
        if value is None:
            return ""
        if type(value) is not str:
            raise TypeError
        raw = "" if value.strip(WHITESPACE) in self._missing else value
        if len(value) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[value] = raw
        return raw

    def read(self, values: Iterable[Any]) -> np.ndarray | None:
        """The texts [N], objects; None where a value is not plain."""
        try:
            flat = list(map(self.__getitem__, values))
        except TypeError:  # what cannot be a key is no text either
            return None
        texts = np.empty(len(flat), dtype=object)
        texts[:] = flat
        return texts


class PlainRows:
    """Reads rows of one bundle's columns where every value is plain."""

    def __init__(self, inputs: Sequence[Input], missing: Iterable[str]) -> None:
        self._others = [column for column in inputs if not (is_number(column) or is_text(column))]
        self._width = len(inputs)
        self._missing = spellings_of_missing(missing)
        self.texts = PlainTexts(missing)
        parts = ((is_number, as_numbers), (is_text, self.texts.read))
        named = (([column.name for column in inputs if takes(column)], read) for takes, read in parts)
        self._parts = [(names, _cells(names), read) for names, read in named if names]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        """The raw columns [N, 1] of `rows`, or None where one of them is not plain."""
        for row in rows:
            if type(row) is not dict or len(row) != self._width:
                return None
        found: dict[str, np.ndarray] = {}
        try:
            for names, cells, read in self._parts:
                flat = read(chain.from_iterable(map(cells, rows)))
                if flat is None:
                    return None
                # To go through an array is the cheapest way to its parts.
                columns = np.ascontiguousarray(flat.reshape(len(rows), len(names)).T)
                found.update(zip(names, columns.reshape(len(names), len(rows), 1)))
            return found if not self._others or self._read_others(rows, found) else None
        except KeyError:
            return None

    def read_column(self, column: Input, values: Sequence[Any] | np.ndarray) -> np.ndarray | None:
        """The raw column [N, 1] of `values`, or None where one of them is not plain."""
        if isinstance(values, np.ndarray):
            plain = values.dtype == np.float32 and is_number(column) and not np.isinf(values).any()
            return values.reshape(-1, 1) if plain else None
        if type(values) is not list or not (is_text(column) or is_number(column)):
            return None
        flat = self.texts.read(values) if is_text(column) else as_numbers(values)
        return None if flat is None else flat.reshape(-1, 1)

    def _read_others(self, rows: Sequence[Mapping[str, Any]], found: dict[str, np.ndarray]) -> bool:
        """Add the columns that are neither numbers nor texts; whether all their values fit."""
        for column in self._others:
            values = [row[column.name] for row in rows]
            found[column.name], misfits = raw_values(values, column.dtype, column.rule, self._missing)
            if misfits:
                return False
        return True


def is_number(column: Input) -> bool:
    """Whether its plain values are numbers."""
    return column.dtype == "float32" and column.rule.type in ("integer", "number", "text")


def is_text(column: Input) -> bool:
    """Whether its plain values are texts, which the graph takes as they are."""
    return column.dtype == "string" and column.rule.type == "text"


def _cells(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """From a row to its values of these names; KeyError where one is absent."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: (row[names[0]],)


def as_numbers(values: Iterable[Any]) -> np.ndarray | None:
    """The numbers [N], float32; None where a value is not plain."""
    flat = list(values)
    kinds = set(map(type, flat))
    if not kinds <= _NUMBERS:
        return None
    if (
        0 < len(flat) <= _FEW
        and NoneType not in kinds
        and -FLOAT32_MAX <= min(flat) <= max(flat) <= FLOAT32_MAX
    ):
        return np.array(flat, dtype=np.float32)
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError:
        return None
    return None if np.any(np.abs(wide) > FLOAT32_MAX) else wide.astype(np.float32)
