"""Columns that tell the target outright: the rules, over plain sequences. Light: a spec is checked by them.

A leak is known only after the fact, or is the target in other words (Kaufman et al., "Leakage in data
mining", TKDD 2012). The rules ask for certainty, not for strength: a column may be a strong predictor.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from operator import mul

ALMOST_ONE = 0.9999
"""Numbers that go together this closely are one quantity in two units."""
GRAVE = frozenset({"leak", "strong", "missing"})
"""Kinds of suspicion that make a model's numbers too good; see learning.suspicions."""
FEW_LEVELS = 50
ROWS_A_LEVEL = 10
ROWS_APART = 10
"""Fewer rows beside the most frequent outcome may fall into levels of their own by chance."""
_MOST_COLUMNS = 100
_CLOSE = 1e-6


class Outcome:
    """The target of some rows, as class names or numbers, against which columns of the same rows are held."""

    def __init__(self, values: Sequence[Hashable]) -> None:
        self.values = values
        self._first: dict[Hashable, int] = {}
        counts: dict[Hashable, int] = {}
        for row, value in enumerate(values):
            self._first.setdefault(value, row)
            counts[value] = counts.get(value, 0) + 1
        self._says_something = len(values) - max(counts.values(), default=0) >= ROWS_APART

    def determined_by(self, levels: Sequence[Hashable]) -> bool:
        """Whether each level stands beside one outcome only, with ten rows a level.

        There are at most 50 levels, or exactly as many as outcomes: a recoding. Ends at the first level
        that stands beside two outcomes, so it is cheap for the columns that are no leaks.
        """
        beside: dict[Hashable, Hashable] = {}
        for level, value in zip(levels, self.values, strict=True):
            if beside.setdefault(level, value) != value:
                return False
        known = len(beside)
        several = 2 <= known <= len(levels) // ROWS_A_LEVEL
        return several and self._says_something and (known <= FEW_LEVELS or known == len(self._first))

    def marked_by(self, levels: Sequence[Hashable]) -> tuple[Hashable, Hashable] | None:
        """(level, outcome) when one level of many stands where one of two outcomes is and nowhere else.

        Such is an amount that is 0, or a date that is missing, for all who did not, and only for them.
        """
        if len(self._first) != 2 or not self._says_something:
            return None
        for value, row in self._first.items():
            level = levels[row]
            if all((a == level) == (b == value) for a, b in zip(levels, self.values, strict=True)):
                return level, value
        return None


def correlation(values: Sequence[float], others: Sequence[float]) -> float:
    """The size of the linear (Pearson) correlation of two sequences of one length; 0 for a constant."""
    if not values:
        return 0.0
    left, right = _centred(values), _centred(others)
    spread = sum(map(mul, left, left)) * sum(map(mul, right, right))
    return float(abs(sum(map(mul, left, right))) / spread**0.5) if spread > 0 else 0.0


def parts(numbers: Mapping[str, Sequence[float]], outcome: Sequence[float]) -> tuple[str, str, str] | None:
    """(name, "+" or "-", name) of two columns whose sum or difference is the outcome in every row, or None.

    All sequences have one length. Columns and outcomes that hardly change prove nothing and are left out;
    of the others the first 100 are looked at.
    """
    if not _changes(outcome):
        return None
    names = [name for name, values in numbers.items() if _changes(values)][:_MOST_COLUMNS]
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            a, b = numbers[first], numbers[second]
            for signs, said in (((1, 1), (first, "+", second)), ((1, -1), (first, "-", second)),
                                ((-1, 1), (second, "-", first))):  # fmt: skip
                if _adds_up(a, b, outcome, signs):
                    return said
    return None


def _adds_up(a: Sequence[float], b: Sequence[float], total: Sequence[float], signs: tuple[int, int]) -> bool:
    p, q = signs
    return all(abs(p * x + q * y - z) <= _CLOSE * (1.0 + abs(z)) for x, y, z in zip(a, b, total, strict=True))


def _changes(values: Sequence[float]) -> bool:
    if len(set(values)) > ROWS_APART:
        return True
    counts: dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return len(values) - max(counts.values(), default=0) >= ROWS_APART


def _centred(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value - mean for value in values]
