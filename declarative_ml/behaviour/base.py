"""What every behavioural test knows: its rows, the model under test, and how it ended.

After Ribeiro, Wu, Guestrin and Singh, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList",
ACL 2020: invariance, directional expectation and minimum functionality, here for the columns of a table.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from declarative_ml.behaviour.amount import percent
from declarative_ml.core.component import Component, Section
from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule
from declarative_ml.core.task import Task
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np

Rows = Mapping[str, "np.ndarray"]
"""Raw columns [n, 1]: float32 (NaN is missing) or objects of str ("" is missing)."""
Scalar = str | int | float | bool | None
ALL = 1.0
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Limit = Annotated[int, Field(ge=1, le=100_000)]
SHOWN = 5
"""Cases that an outcome holds, the worst first."""
_LOOKED_AT = 20 * SHOWN


class Case(Section):
    """One row, what was changed in it, and what the model said."""

    row: int | None
    """Its number in the data, from 1; None for a row that the spec gives."""
    failed: bool
    changed: dict[str, tuple[Scalar, Scalar]]
    """Column -> value before and after."""
    values: dict[str, Scalar]
    """The row as the model took it, before the change; null is missing."""
    of_class: str | None
    """The class whose probabilities are given; None for a number and for a label."""
    before: float | str | None
    after: float | str
    expected: str = ""
    """What it should have said, for a row that the spec gives."""


class Outcome(Section):
    """How one test ended."""

    name: str
    type: str
    words: str
    """What was asked of the model, as a sentence."""
    part: str
    """Where the rows come from: test, training, given (in the spec), or the name of a file."""
    rows: int
    """How many could be tried."""
    failures: int
    share: float
    """Of the rows that behaved."""
    needed: float
    passed: bool
    largest: float | None = None
    """The largest movement of a prediction in the way that counts; None for rows that the spec gives."""
    other_labels: int | None = None
    """Rows whose label changed; None for a number and for rows that the spec gives."""
    note: str = ""
    cases: tuple[Case, ...] = ()

    @property
    def fault(self) -> str:
        """What speaks against the model, in a sentence."""
        if not self.rows:
            return f"test {self.name}: {self.note[:1].lower()}{self.note[1:].rstrip('.')}"
        return (
            f"test {self.name}: {self.failures:,} of {self.rows:,} rows failed ({percent(1 - self.share)}, "
            f"allowed {percent(1 - self.needed)}): {self.words[:1].lower()}{self.words[1:].rstrip('.')}"
        )


@dataclass(frozen=True)
class Subject:
    """The model under test and the rows that it is asked."""

    task: Task
    inputs: tuple[Input, ...]
    predict: Callable[[Rows], np.ndarray]
    """Probabilities [n, C] or numbers [n] of raw columns, texts as they are (not yet read by a pipeline)."""
    rows: Rows
    numbers: np.ndarray
    """The rows' positions in the data, int64 [n]."""
    part: str
    seed: int
    threshold: float | None = None
    missing: tuple[str, ...] = DEFAULT_MISSING
    target_rule: ColumnRule | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def first(self, count: int) -> Subject:
        """The same with at most `count` rows."""
        rows = {name: values[:count] for name, values in self.rows.items()}
        return replace(self, rows=rows, numbers=self.numbers[:count])

    def input(self, name: str) -> Input | None:
        """The column that the model takes; None when it takes none of that name."""
        return next((item for item in self.inputs if item.name == name), None)

    def answers(self, rows: Rows) -> np.ndarray:
        """Probabilities [n, C], or numbers [n, 1], float64."""
        import numpy as np

        found = np.asarray(self.predict(rows), dtype=np.float64)
        return found if self.task.is_classification else found.reshape(-1, 1)

    def labels(self, answers: np.ndarray) -> np.ndarray:
        """Class numbers [n] of probabilities, as the graph decides."""
        import numpy as np

        if self.task.type == "binary":
            limit = np.float32(0.5 if self.threshold is None else self.threshold)
            return (answers[:, 1].astype(np.float32) >= limit).astype(np.int64)
        found: np.ndarray = answers.argmax(axis=1)
        return found

    def said(self) -> str:
        """What a prediction is called in a sentence."""
        if self.task.type == "number":
            return f"the prediction of {self.task.target}"
        return f"the probability of {self.task.positive}" if self.task.positive else "any probability"


@dataclass(frozen=True)
class Variant:
    """The rows at `places` with other values in some columns."""

    places: np.ndarray
    columns: Rows
    """The changed columns only, [len(places), 1]."""


class Behaviour(Component):
    """One entry under `tests`."""

    type: str
    share: Share = Field(default=ALL, description="Of the rows that must behave; all when absent")

    @abstractmethod
    def words(self, subject: Subject) -> str:
        """What is asked of the model, as a sentence."""

    @abstractmethod
    def check(self, name: str, subject: Subject) -> Outcome:
        """Ask the model. Raises DataError for columns and values that do not fit it."""

    @property
    def row_limit(self) -> int:
        """How many rows of the data it wants; 0 for none."""
        return 0

    def resolved(self, base: Path) -> Behaviour:
        """The same with a relative path made absolute against `base`, the folder of the spec."""
        return self

    def columns_named(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The columns that it names, with their places below it."""
        yield from ()


class Comparison(Behaviour):
    """A test that changes rows of the data and compares the answers before and after."""

    rows: Limit = Field(default=500, description="Rows to try at most, drawn from the test rows by the seed")

    @property
    def row_limit(self) -> int:
        """See Behaviour.row_limit."""
        return self.rows

    @abstractmethod
    def variants(self, subject: Subject) -> Iterator[Variant]:
        """The changed rows."""

    @abstractmethod
    def excess(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """By how much each answer moved further than it may, float64 [n]; above 0: it fails."""

    @abstractmethod
    def movement(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """What is reported as the largest movement, float64 [n]."""

    @abstractmethod
    def class_shown(self, subject: Subject, before: np.ndarray, after: np.ndarray) -> int:
        """The column of one row's answers [C] that tells what happened."""

    def note(self, subject: Subject, failed: Sequence[Rows]) -> str:
        """What a person should know of how it was tried. `failed` holds what was changed in each row that
        failed, by the worst of its changes."""
        return ""

    def check(self, name: str, subject: Subject) -> Outcome:
        """See Behaviour.check. A row counts by the worst of its changes."""
        import numpy as np

        subject = subject.first(self.rows)
        before = subject.answers(subject.rows)
        worst = np.full(len(subject), -np.inf)
        after = before.copy()
        changes: dict[int, Rows] = {}
        for variant in self.variants(subject):
            places = variant.places
            if not len(places):
                continue
            said = subject.answers(_with(subject.rows, variant))
            excess = self.excess(subject, before[places], said)
            worse = excess > worst[places]
            worst[places[worse]] = excess[worse]
            after[places[worse]] = said[worse]
            changes |= {
                int(places[at]): {column: values[at] for column, values in variant.columns.items()}
                for at in np.flatnonzero(worse)
            }
        tried = np.flatnonzero(np.isfinite(worst))
        order = tried[np.argsort(-worst[tried], kind="stable")][:_LOOKED_AT]
        return self._outcome(
            name,
            subject,
            failed=worst[tried] > 0,
            pair=(before[tried], after[tried]),
            note=self.note(subject, [changes[int(at)] for at in tried if worst[at] > 0]),
            cases=different(
                self._case(subject, int(at), changes[int(at)], before[at], after[at], failed=worst[at] > 0)
                for at in order
            ),
        )

    def _outcome(
        self,
        name: str,
        subject: Subject,
        *,
        failed: np.ndarray,
        pair: tuple[np.ndarray, np.ndarray],
        note: str,
        cases: tuple[Case, ...],
    ) -> Outcome:
        rows, failures = len(failed), int(failed.sum())
        seen = rows > 0
        movement = self.movement(subject, *pair)
        flips = int((subject.labels(pair[0]) != subject.labels(pair[1])).sum())
        return Outcome(
            name=name,
            type=self.type,
            words=self.words(subject),
            part=subject.part,
            rows=rows,
            failures=failures,
            share=share_of(rows, failures),
            needed=self.share,
            passed=seen and is_enough(rows, failures, self.share),
            largest=float(movement.max()) if seen else None,
            other_labels=flips if subject.task.is_classification else None,
            note=note if seen else "There was no row to try: no value could be changed.",
            cases=cases,
        )

    def _case(
        self,
        subject: Subject,
        at: int,
        change: Rows,
        before: np.ndarray,
        after: np.ndarray,
        *,
        failed: bool,
    ) -> Case:
        shown = self.class_shown(subject, before, after)
        values = {item.name: plain(subject.rows[item.name][at, 0]) for item in subject.inputs}
        return Case(
            row=int(subject.numbers[at]) + 1,
            failed=bool(failed),
            changed={name: (values.get(name), plain(value[0])) for name, value in change.items()},
            values=values,
            of_class=subject.task.classes[shown] if subject.task.is_classification else None,
            before=float(before[shown]),
            after=float(after[shown]),
        )


def different(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The first few that do not repeat each other: one example of equal rows is enough."""
    found: dict[str, Case] = {}
    for case in cases:
        found.setdefault(case.model_copy(update={"row": None}).model_dump_json(), case)
        if len(found) == SHOWN:
            break
    return tuple(found.values())


def share_of(rows: int, failures: int) -> float:
    """The share of rows that behaved; 0 of none."""
    return (rows - failures) / rows if rows else 0.0


def is_enough(rows: int, failures: int, share: float) -> bool:
    """Whether at least `share` of the rows behaved; 0.99 of 500 rows are 495, whatever the rounding."""
    return failures <= math.floor(rows * (1.0 - share) + 1e-9)


def plain(value: Any) -> Scalar:
    """A raw value for JSON: missing is None, float32 has its own digits."""
    if isinstance(value, str):
        return value or None
    number = float(str(value))
    return number if math.isfinite(number) else None


def _with(rows: Rows, variant: Variant) -> dict[str, np.ndarray]:
    taken = {name: values[variant.places] for name, values in rows.items()}
    return {**taken, **{name: values for name, values in variant.columns.items() if name in taken}}
