"""Direction: where a column moves, the prediction must go one way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from declarative_ml.behaviour.amount import Amount, Shift, in_words, limits, shifted, slack
from declarative_ml.behaviour.base import Comparison, Scalar, Subject, Variant
from declarative_ml.behaviour.values import class_index, raw_column_of, require_input
from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import canonical_date

if TYPE_CHECKING:
    import numpy as np

Expected = Literal["higher", "lower", "not_higher", "not_lower"]
_WORDS: dict[Expected, str] = {
    "higher": "must rise",
    "lower": "must fall",
    "not_higher": "must not rise",
    "not_lower": "must not fall",
}


class Direction(Comparison):
    """When one column moves, the prediction must go one way."""

    type: Literal["direction"] = "direction"
    column: str = Field(description="The column that moves")
    by: Shift | tuple[Shift, ...] | None = Field(
        default=None, description="How far: in its units (a date: days), in percent of the value, or a list"
    )
    to: Scalar = Field(default=None, description="The value that it is set to, in place of `by`")
    expect: Expected = Field(description="What the prediction must do")
    of_class: str | None = Field(
        default=None, description="The class whose probability counts; the positive one of two when absent"
    )
    tolerance: Amount = Field(
        default=0.0, description="How far it may go the other way; of higher and lower: how far it must go"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.by is None) == (self.to is None):
            raise ValueError("give either 'by' or 'to'")
        return self

    def columns_named(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """See Behaviour.columns_named."""
        yield ("column",), self.column

    def words(self, subject: Subject) -> str:
        """See Behaviour.words."""
        shifts = " or ".join(_signed(shift) for shift in self._shifts())
        change = f"{self.column} {shifts}" if shifts else f"{self.column} set to {self.to}"
        index, said = self._index(subject), subject.said()
        if subject.task.is_classification:
            said = f"the probability of {subject.task.classes[index]}"
        return f"With {change}, {said} {_WORDS[self.expect]}{self._tolerated()}."

    def _tolerated(self) -> str:
        if self.tolerance in (0.0, "0%"):
            return ""
        return f" by more than {in_words(self.tolerance)}"

    def _shifts(self) -> tuple[Shift, ...]:
        if self.by is None:
            return ()
        return self.by if isinstance(self.by, tuple) else (self.by,)

    def _index(self, subject: Subject) -> int:
        """The column of the answers that counts."""
        if subject.task.is_classification:
            return class_index(subject, self.of_class)
        if self.of_class is not None:
            raise DataError(f"tests: the number {subject.task.target} has no class '{self.of_class}'")
        return 0

    def class_shown(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> int:
        """See Comparison.class_shown."""
        return self._index(subject)

    def movement(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """See Comparison.movement: how far it went the other way."""
        index = self._index(subject)
        change: np.ndarray = after[:, index] - before[:, index]
        return change if self.expect in ("lower", "not_higher") else -change

    def excess(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """See Comparison.excess."""
        index = self._index(subject)
        wrong = self.movement(subject, before, after)
        allowed = limits(self.tolerance, subject.task, before[:, index])
        rounding = slack(subject.task, before[:, index])
        sign = 1.0 if self.expect in ("higher", "lower") else -1.0
        found: np.ndarray = wrong + sign * (allowed + rounding)
        return found

    def variants(self, subject: Subject) -> Iterator[Variant]:
        """See Comparison.variants. Rows without a value, and those that have it already, are not tried."""
        import numpy as np

        column = require_input(subject, self.column)
        values = subject.rows[self.column]
        if self.by is None:
            target = raw_column_of(subject, self.column, [self.to])
            places = np.flatnonzero(values[:, 0] != target[0, 0])
            yield Variant(places, {self.column: np.repeat(target, len(places), axis=0)})
            return
        for shift in self._shifts():
            if column.rule.type == "date":
                moved = _later(values, shift, has_time=column.rule.has_time)
            elif column.dtype == "float32" and column.rule.type != "boolean":
                moved = shifted(values.astype(np.float64), shift).astype(np.float32)
            else:
                hint = f"write to: VALUE in place of by: {in_words(shift)}"
                raise DataError(f"tests: '{self.column}' is no number that moves by {shift}", hint=hint)
            places = np.flatnonzero([a == a and b == b and a != b for a, b in zip(values[:, 0], moved[:, 0])])
            yield Variant(places, {self.column: moved[places]})


def _signed(shift: Shift) -> str:
    if isinstance(shift, str):
        return shift.replace("-", "−") if shift.startswith("-") else f"+{shift}"
    return f"+{in_words(shift)}" if shift >= 0 else f"−{in_words(-shift)}"


def _later(texts: np.ndarray, shift: Shift, *, has_time: bool) -> np.ndarray:
    """ISO dates moved by days; what is missing stays so, and what leaves the calendar stays where it is."""
    if isinstance(shift, str):
        raise DataError(f"tests: a date moves by days, not by {shift}", hint="by: 30")
    moved = texts.copy()
    for row, text in enumerate(texts[:, 0]):
        if text:
            try:
                moved[row, 0] = canonical_date(datetime.fromisoformat(text) + timedelta(days=shift), has_time)
            except OverflowError:
                continue
    return moved
