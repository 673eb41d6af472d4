"""Conditions on raw columns, such as `Contract = One year` or `tenure < 12`: what segments are made of.

Cuts and levels come from the columns alone, never from the model's errors.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

Kind = Literal["number", "date", "category", "length"]
"""`date` counts days since 1970-01-01, `length` the characters of a text."""
Relation = Literal["=", "rare", "missing", "<", ">="]

CUTS = 16
"""Parts of about equal size that the values of a number are cut into."""
LEVELS = 12
"""Levels that a category has conditions for; the rest are one group."""
FEW_VALUES = 6
"""A number with no more different values has a condition for each of them."""


@dataclass(frozen=True)
class RawColumn:
    """A column as it came: numbers float64 [N] with NaN for missing, or texts object [N] with ""."""

    name: str
    kind: Kind
    values: np.ndarray
    texts: np.ndarray | None = None
    """The texts themselves where `values` are their lengths, object [N]."""

    @cached_property
    def codes(self) -> tuple[list[str], np.ndarray]:
        """The levels of a category, the most frequent first, and the level of each row [N]; -1: missing."""
        texts = self.values.astype(str)
        levels, inverse, counts = np.unique(texts, return_inverse=True, return_counts=True)
        order = [place for place in np.argsort(-counts, kind="stable").tolist() if levels[place]]
        rank = np.full(len(levels), -1)
        rank[order] = np.arange(len(order))
        return [str(levels[place]) for place in order], rank[inverse]

    @cached_property
    def missing(self) -> np.ndarray:
        """Which rows have no value, bool [N]."""
        if self.kind == "category":
            return np.asarray(self.codes[1] < 0)
        return np.asarray(np.isnan(self.values))


@dataclass(frozen=True)
class Condition:
    """What one column of a row has to be like."""

    column: str
    kind: Kind
    relation: Relation
    value: str | float = ""
    """The level of `=`, or the number of `<` and `>=`."""
    others: tuple[str, ...] = ()
    """The levels that are not `rare`."""

    def holds(self, column: RawColumn) -> np.ndarray:
        """Which rows fulfil it, bool [N]. Missing values fulfil `missing` alone."""
        if self.relation == "missing":
            return column.missing
        if self.kind == "category":
            levels, codes = column.codes
            if self.relation == "=":
                place = levels.index(str(self.value)) if self.value in levels else len(levels)
                return np.asarray(codes == place)
            known = np.array([level in self.others for level in levels])
            return np.asarray(~column.missing & ~known[np.maximum(codes, 0)])
        with np.errstate(invalid="ignore"):
            if self.relation == "=":
                return np.asarray(column.values == self.value)
            below = np.asarray(column.values < self.value)
        return below if self.relation == "<" else ~below & ~column.missing

    def __str__(self) -> str:
        """In words."""
        name = f"length of {self.column}" if self.kind == "length" else self.column
        if self.relation == "missing":
            return f"{name} is missing"
        if self.relation == "rare":
            return f"{name} is none of the {len(self.others)} commonest"
        return f"{name} {self.relation.replace('>=', '≥')} {shown_value(self.kind, self.value)}"


def shown_value(kind: Kind, value: str | float) -> str:
    """A value of a column for people: days become dates, numbers lose the digits that say nothing."""
    if isinstance(value, str):
        return value
    if kind == "date":
        try:
            return (datetime.date(1970, 1, 1) + datetime.timedelta(days=math.floor(value))).isoformat()
        except OverflowError:
            return f"{value:g}"
    return f"{value:,.10g}" if abs(value) >= 100_000 else f"{value:.10g}"


def shown_cell(column: RawColumn, row: int) -> str:
    """The value of a row as people read it; "" for a missing one."""
    if column.texts is not None:
        return str(column.texts[row])
    if column.missing[row]:
        return ""
    value = column.values[row]
    return str(value) if column.kind == "category" else shown_value(column.kind, float(value))


def describe(conditions: Sequence[Condition]) -> str:
    """The conditions in words, both ends of a range together: `Contract = One year and 3 ≤ tenure < 12`."""
    words: dict[tuple[str, str], str] = {}
    ends = {(item.column, item.relation): item for item in conditions}
    for item in conditions:
        low, high = ends.get((item.column, ">=")), ends.get((item.column, "<"))
        if low is not None and high is not None and item in (low, high):
            words[(item.column, "between")] = f"{shown_value(low.kind, low.value)} ≤ {high}"
        else:
            words[(item.column, item.relation)] = str(item)
    return " and ".join(words.values())


def conditions_of(column: RawColumn, least: int) -> tuple[list[Condition], np.ndarray]:
    """The conditions on a column that at least `least` rows fulfil, and not all rows; and which rows fulfil
    each, bool [N, conditions]."""
    found = _of_levels(column) if column.kind == "category" else _of_numbers(column)
    found.append(Condition(column.name, column.kind, "missing"))
    held = [(item, item.holds(column)) for item in found]
    kept = [(item, mask) for item, mask in held if least <= np.count_nonzero(mask) < len(mask)]
    masks = np.stack([mask for _, mask in kept], axis=1) if kept else np.zeros((len(column.values), 0), bool)
    return [item for item, _ in kept], masks


def atoms(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that fulfil the same conditions [N, L] together: the group of each row [N], and which
    conditions the groups fulfil, bool [G, L]. There are no more than 64 conditions on a column."""
    packed = np.packbits(masks, axis=1)
    padded = np.zeros((len(masks), 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    _, first, group = np.unique(padded.view(np.uint64)[:, 0], return_index=True, return_inverse=True)
    return group, masks[first]


def _of_levels(column: RawColumn) -> list[Condition]:
    levels, _ = column.codes
    shown = tuple(levels[:LEVELS])
    found = [Condition(column.name, "category", "=", level) for level in shown]
    if len(levels) > LEVELS:
        found.append(Condition(column.name, "category", "rare", others=shown))
    return found


def _of_numbers(column: RawColumn) -> list[Condition]:
    present = column.values[~column.missing]
    distinct = np.unique(present)
    found = []
    if 2 < len(distinct) <= FEW_VALUES:
        found = [Condition(column.name, column.kind, "=", float(value)) for value in distinct]
    if len(distinct) == 2:
        return [Condition(column.name, column.kind, "=", float(value)) for value in distinct]
    if len(distinct) < 2:
        return found
    shares = np.arange(1, CUTS) / CUTS
    places = np.unique(np.searchsorted(distinct, np.quantile(present, shares, method="higher")))
    cuts = [roundest(distinct[place - 1], distinct[place]) for place in places.tolist() if place > 0]
    return found + [
        Condition(column.name, column.kind, relation, cut) for cut in cuts for relation in ("<", ">=")
    ]


def roundest(low: float, high: float) -> float:
    """The number with the fewest digits in (low, high]; of several the one nearest to the middle."""
    low, high = float(low), float(high)
    if not high > low:
        return high
    middle = (low + high) / 2
    for digits in range(-math.ceil(math.log10(max(abs(low), abs(high)))), 18):
        value = round(middle, digits)
        if low < value <= high:
            return value
        step = 10.0**-digits
        if (nearby := round(math.floor(high / step) * step, digits)) > low and nearby <= high:
            return nearby
    return high
