"""Invariance: other values in some columns must not move the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from declarative_ml.behaviour.amount import Amount, in_words, limits, slack
from declarative_ml.behaviour.base import Comparison, Rows, Scalar, Subject, Variant
from declarative_ml.behaviour.values import raw_column_of

if TYPE_CHECKING:
    import numpy as np

MOST = 8
"""So many other values are tried on a row: all there are, or as many drawn from other rows."""


def furthest(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The largest movement of any probability or of the number, by row, float64 [n]."""
    import numpy as np

    found: np.ndarray = np.abs(after - before).max(axis=1, initial=0.0)
    return found


class Stillness(Comparison):
    """A test that asks a prediction to stay where it is."""

    max_change: Amount = Field(
        description="How far a prediction may move: of a probability 0.01 or 1%, of a number in its own "
        "units or in percent of the prediction"
    )

    def excess(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """See Comparison.excess."""
        largest = before[:, 0]
        allowed = limits(self.max_change, subject.task, largest) + slack(subject.task, largest)
        found: np.ndarray = furthest(before, after) - allowed
        return found

    def movement(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """See Comparison.movement."""
        return furthest(before, after)

    def class_shown(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> int:
        """See Comparison.class_shown: the class that moved furthest, the positive one of two."""
        return 1 if subject.task.type == "binary" else int(abs(after - before).argmax())

    def at_most(self, subject: Subject) -> str:
        """The limit in words."""
        return f"must not move {subject.said()} by more than {in_words(self.max_change)}"


class Invariance(Stillness):
    """Other values in these columns, together, must not move the prediction."""

    type: Literal["invariance"] = "invariance"
    columns: tuple[str, ...] = Field(
        min_length=1, description="Changed together, to the values of other rows"
    )
    values: tuple[Scalar, ...] = Field(
        default=(), description="Of one column: the values to try; absent: those of the other rows"
    )

    @model_validator(mode="after")
    def _values_of_one(self) -> Self:
        if self.values and len(self.columns) > 1:
            raise ValueError("'values' are for one column; several take the values of other rows")
        return self

    def columns_named(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """See Behaviour.columns_named."""
        yield from ((("columns", number), name) for number, name in enumerate(self.columns))

    def words(self, subject: Subject) -> str:
        """See Behaviour.words."""
        return f"Another value of {' and '.join(self.columns)} {self.at_most(subject)}."

    def note(self, subject: Subject, failed: Sequence[Rows]) -> str:
        """See Comparison.note."""
        blind = [name for name in self.columns if subject.input(name) is None]
        return f"The model does not take {' and '.join(blind)}." if blind else ""

    def variants(self, subject: Subject) -> Iterator[Variant]:
        """See Comparison.variants. Columns that the model does not take cannot move it."""
        import numpy as np

        seen = [name for name in self.columns if subject.input(name) is not None]
        if not seen:
            yield Variant(np.arange(len(subject)), {})
            return
        present = {name: subject.rows[name] for name in seen}
        if self.values:
            pool: Rows = {seen[0]: raw_column_of(subject, seen[0], self.values)}
        else:
            pool = present
        keys, offered = _keys(present), _keys(pool)
        for source in self._choices(offered, len(keys), subject.seed):
            places = np.flatnonzero([keys[at] != offered[taken] for at, taken in enumerate(source)])
            yield Variant(places, {name: values[source[places]] for name, values in pool.items()})

    def _choices(self, offered: list[tuple[object, ...]], rows: int, seed: int) -> Iterator[np.ndarray]:
        """Which of the offered values each row takes, int64 [rows], once for each try."""
        import numpy as np

        different = list(dict.fromkeys(offered))
        if len(different) <= MOST or self.values:
            for key in different:
                yield np.full(rows, offered.index(key))
            return
        random = np.random.default_rng(seed)
        for _ in range(MOST):
            yield random.permutation(len(offered))


def _keys(columns: Rows) -> list[tuple[object, ...]]:
    """The values of each row, comparable: missing is equal to missing."""
    lists = [values[:, 0].tolist() for values in columns.values()]
    return [tuple(None if value != value else value for value in row) for row in zip(*lists, strict=True)]
