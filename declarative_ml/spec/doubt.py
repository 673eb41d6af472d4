"""What the data has against a spec: the form of a doubt, and what all who look for doubts need to know."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from declarative_ml.learning.task import TaskType
from declarative_ml.spec.cells import numbers_of, rule_of
from declarative_ml.spec.document import ColumnSplit, GroupSplit, Spec
from declarative_ml.spec.positions import Path
from declarative_ml.spec.sampled_rows import Column, Sample

ENOUGH = 50
"""Fewer rows do not show what a column is like."""
_MOST_INTEGER_CLASSES = 20


@dataclass(frozen=True)
class Doubt:
    """What does not fit, at which place of the spec, and what to do."""

    code: str
    path: Path
    message: str
    hint: str
    otherwise: Path = ()
    """The place when the spec does not say `path`."""


@dataclass(frozen=True)
class Used:
    """A column that the model will learn from."""

    column: Column
    declared: str | None
    """Its type under `features`; None when the run will choose it."""

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    def doubt(self, code: str, message: str, hint: str) -> Doubt:
        """A doubt about this feature, at its key or where columns are taken together."""
        if self.declared is not None:
            return Doubt(code, ("features", self.name), message, hint)
        return Doubt(code, ("features",), message, hint, otherwise=("data", "source"))


@dataclass(frozen=True)
class Look:
    """A spec beside some rows of its data."""

    spec: Spec
    sample: Sample

    @cached_property
    def target(self) -> Column | None:
        """The cells of the target."""
        return self.sample.column(self.spec.target.column)

    @cached_property
    def features(self) -> list[Used]:
        """The columns that may become features, in the order of the table."""
        named = {} if self.spec.features == "auto" else self.spec.features
        others = self.spec.features == "auto" or self.spec.others == "auto"
        found = []
        for name in self.sample.names:
            column = self.sample.column(name)
            if column is None or name == self.spec.target.column:
                continue
            if name in named:
                found.append(Used(column, str(named[name].options()["type"])))
            elif others and name not in self._set_aside:
                found.append(Used(column, None))
        return found

    @cached_property
    def task(self) -> TaskType | None:
        """The type of the target, as it is said or as the run would find it; None where it finds none."""
        if self.spec.target.type is not None or self.target is None:
            return self.spec.target.type
        texts = self.target.distinct
        if not texts or rule_of(texts).type == "date":
            return None
        numbers = numbers_of(texts)
        values = set(texts) if numbers is None else set(numbers.values())
        if len(values) <= 2:
            return "binary"
        return "multiclass" if numbers is None or _count_up(set(numbers.values())) else "number"

    @cached_property
    def counts(self) -> Counter[str]:
        """Class -> rows, of the first rows; empty when a number is predicted."""
        if self.target is None or self.task not in ("binary", "multiclass"):
            return Counter()
        return Counter(self.target.values)

    @property
    def _set_aside(self) -> set[str]:
        """Columns that no run takes by itself."""
        spec, split = self.spec, self.spec.data.split
        aside = {*spec.exclude, spec.weight or "", spec.data.key or ""}
        return aside | ({split.column} if isinstance(split, GroupSplit | ColumnSplit) else set())


def _count_up(values: set[float]) -> bool:
    """Whether whole numbers look like codes of classes: 0, 1, 2, … or 1, 2, 3, … without a gap."""
    low, high = min(values), max(values)
    whole = all(value.is_integer() for value in values)
    return whole and low in (0, 1) and high - low + 1 == len(values) <= _MOST_INTEGER_CLASSES


def rows(number: int) -> str:
    """A number of rows in words."""
    return "1 row" if number == 1 else f"{number:,} rows"


def at(column: Column, text: str) -> str:
    """A cell and where it stands."""
    return f"{short(text)} (row {column.row(text):,})"


def short(text: str) -> str:
    """A cell in quotation marks, cut when it is long."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
