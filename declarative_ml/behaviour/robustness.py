"""Robustness: values that are lost or mistyped, one column at a time, must not move the prediction far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from declarative_ml.behaviour.base import Rows, Subject, Variant
from declarative_ml.behaviour.invariance import Stillness
from declarative_ml.behaviour.noise import WORDS, Noise, fits, noisy
from declarative_ml.behaviour.values import require_input
from declarative_ml.core.errors import DataError

MOST_ASKED = 50_000
"""Rows times columns; of a table with very many columns fewer rows are tried."""
FEWEST = 20
_NAMED = 5


class Robustness(Stillness):
    """Values that are lost or mistyped, in one column at a time, must not move the prediction far."""

    type: Literal["robustness"] = "robustness"
    columns: Literal["all"] | tuple[str, ...] = Field(
        default="all", description="One is changed at a time; all: every one that the noise can happen to"
    )
    noise: Noise = Field(
        description="missing; typos, case and whitespace of texts; jitter: 1 % of a number's spread"
    )

    def columns_named(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """See Behaviour.columns_named."""
        if self.columns != "all":
            yield from ((("columns", number), name) for number, name in enumerate(self.columns))

    def words(self, subject: Subject) -> str:
        """See Behaviour.words."""
        which = "any one column" if self.columns == "all" else " or ".join(self.columns)
        return f"{WORDS[self.noise]} {which} {self.at_most(subject)}."

    def note(self, subject: Subject, failed: Sequence[Rows]) -> str:
        """See Comparison.note: which columns it was."""
        tried = self._rows(subject)
        said = [f"Many columns: {tried} rows were tried."] if tried < len(subject) else []
        found = Counter(name for change in failed for name in change).most_common()
        if found and len(self._names(subject)) > 1:
            most = ", ".join(f"{name} {count:,}" for name, count in found[:_NAMED])
            more = f", {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            said.append(f"Failures by column: {most}{more}.")
        return " ".join(said)

    def _names(self, subject: Subject) -> list[str]:
        if self.columns == "all":
            return [item.name for item in subject.inputs if fits(self.noise, item)]
        for name in self.columns:
            column = require_input(subject, name)
            if not fits(self.noise, column):
                wanted = "numbers" if self.noise == "jitter" else "texts"
                message = f"tests: {self.noise} happens to {wanted}, and '{name}' is {column.feature}"
                raise DataError(message, hint="choose other columns, or noise: missing")
        return list(self.columns)

    def _rows(self, subject: Subject) -> int:
        return max(FEWEST, MOST_ASKED // max(1, len(self._names(subject))))

    def variants(self, subject: Subject) -> Iterator[Variant]:
        """See Comparison.variants."""
        import numpy as np

        random = np.random.default_rng(subject.seed)
        count = self._rows(subject)
        for name in self._names(subject):
            values = subject.rows[name][:count]
            for changed in noisy(self.noise, values, random):
                # A missing value can be neither lost nor mistyped.
                there = [value == value and value != "" for value in values[:, 0]]
                other = [a != b for a, b in zip(values[:, 0], changed[:, 0])]
                places = np.flatnonzero(np.logical_and(there, other))
                yield Variant(places, {name: changed[places]})
