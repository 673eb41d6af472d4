"""Minimum functionality: rows whose answer is known, from the spec or from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from declarative_ml.behaviour.amount import Amount, in_words, limits, slack
from declarative_ml.behaviour.base import (
    SHOWN,
    Behaviour,
    Case,
    Outcome,
    Scalar,
    Subject,
    is_enough,
    share_of,
)
from declarative_ml.behaviour.values import class_index, raw_column_of
from declarative_ml.core.component import Section
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 10_000
"""Of a file with expected answers."""


class Range(Section):
    """Where a number must lie."""

    min: float | None = Field(default=None, description="Not below this")
    max: float | None = Field(default=None, description="Not above this")

    @model_validator(mode="after")
    def _some_end(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max', or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max: no number lies between them")
        return self

    def misses(self, value: float, slack: float) -> float:
        """How far outside the value lies; 0 inside."""
        low = 0.0 if self.min is None else self.min - slack - value
        high = 0.0 if self.max is None else value - self.max - slack
        return max(low, high, 0.0)

    def in_words(self) -> str:
        """at least 0.8, at most 3, between 1 and 2."""
        if self.min is not None and self.max is not None:
            return f"between {in_words(self.min)} and {in_words(self.max)}"
        return (
            f"at least {in_words(self.min)}" if self.min is not None else f"at most {in_words(self.max or 0)}"
        )


class Probability(Range):
    """Where the probability of a class must lie."""

    of_class: str | None = Field(
        default=None, description="Whose probability; that of the positive one of two when absent"
    )


class Expected(Section):
    """A row and what the model must say of it."""

    given: dict[str, Scalar] = Field(description="Column: value; columns that are not named are missing")
    prediction: Scalar = Field(
        default=None, description="The class; or the number, as near as the test's tolerance says"
    )
    probability: Probability | None = Field(default=None, description="Where the probability must lie")
    number: Range | None = Field(default=None, description="Where the predicted number must lie")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.prediction is None and self.probability is None and self.number is None:
            raise ValueError("say what is expected: 'prediction', 'probability' or 'number'")
        return self


class Expectation(Behaviour):
    """Rows whose answer is known."""

    type: Literal["expect"] = "expect"
    rows: tuple[Expected, ...] = Field(default=(), description="Rows and what the model must say of them")
    file: str | None = Field(
        default=None,
        min_length=1,
        description="A table of rows with the expected value in the target's column; relative to the spec",
    )
    tolerance: Amount = Field(
        default=0.0, description="Of a predicted number: how far it may be from the expected one"
    )

    @model_validator(mode="after")
    def _some_rows(self) -> Self:
        if (self.file is None) == (not self.rows):
            raise ValueError("give either 'rows' or 'file'")
        return self

    def resolved(self, base: Path) -> Expectation:
        """See Behaviour.resolved."""
        if self.file is None:
            return self
        return self.model_copy(update={"file": str(base / Path(self.file).expanduser())})

    def columns_named(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """See Behaviour.columns_named."""
        for number, row in enumerate(self.rows):
            yield from ((("rows", number, "given", name), name) for name in row.given)

    def with_rows(self, rows: Sequence[Mapping[str, Any]], target: str) -> Expectation:
        """The same with the rows of its file. Raises DataError for too many, and without the target."""
        if not rows or len(rows) > MOST_ROWS:
            told = "has no rows" if not rows else f"has more than {MOST_ROWS:,} rows"
            raise DataError(f"tests: {self.file} {told}", hint="give some rows whose answer is known")
        if target not in rows[0]:
            hint = f"its columns: {', '.join(rows[0])}"
            raise DataError(
                f"tests: {self.file} has no column '{target}' with the expected answers", hint=hint
            )
        known = [row for row in rows if row[target] not in (None, "")]
        if not known:
            hint = f"fill in the column '{target}'"
            raise DataError(f"tests: {self.file} has no row with an expected answer", hint=hint)
        cases = tuple(
            Expected(
                given={name: _scalar(value) for name, value in row.items() if name != target},
                prediction=_scalar(row[target]),
            )
            for row in known
        )
        return self.model_copy(update={"rows": cases, "file": None})

    def words(self, subject: Subject) -> str:
        """See Behaviour.words."""
        near = "" if self.tolerance in (0.0, "0%") else f", within {in_words(self.tolerance)}"
        return f"Rows whose answer is known must get that answer{near}."

    def check(self, name: str, subject: Subject) -> Outcome:
        """See Behaviour.check."""
        import numpy as np

        answers = subject.answers(self._inputs(subject))
        labels = subject.labels(answers)
        found = [self._judge(subject, row, answers[at], int(labels[at])) for at, row in enumerate(self.rows)]
        misses = np.array([miss for miss, _ in found])
        failures = int((misses > 0).sum())
        order = np.argsort(-misses, kind="stable")[:SHOWN]
        unseen = dict.fromkeys(key for row in self.rows for key in row.given if subject.input(key) is None)
        return Outcome(
            name=name,
            type=self.type,
            words=self.words(subject),
            part="given",
            rows=len(self.rows),
            failures=failures,
            share=share_of(len(self.rows), failures),
            needed=self.share,
            passed=is_enough(len(self.rows), failures, self.share),
            note=f"The model does not take {', '.join(unseen)}." if unseen else "",
            cases=tuple(found[at][1] for at in order.tolist()),
        )

    def _inputs(self, subject: Subject) -> dict[str, np.ndarray]:
        return {
            item.name: raw_column_of(subject, item.name, [row.given.get(item.name) for row in self.rows])
            for item in subject.inputs
        }

    def _judge(self, subject: Subject, row: Expected, answer: np.ndarray, label: int) -> tuple[float, Case]:
        """How far the answer is off, and the case."""
        misses, wanted = [0.0], []
        task = subject.task
        shown: tuple[str | None, float | str] = (None, float(answer[0]))
        if task.is_classification:
            shown = (None, f"{task.classes[label]} ({answer[label]:.3g})")
        if row.prediction is not None:
            miss, words = self._from_prediction(subject, row.prediction, answer, label)
            misses.append(miss)
            wanted.append(words)
        if row.number is not None:
            if task.is_classification:
                raise DataError(f"tests: 'number' is for number targets, and {task.target} is a class")
            misses.append(row.number.misses(float(answer[0]), float(slack(task, answer[:1])[0])))
            wanted.append(row.number.in_words())
        if row.probability is not None:
            index = class_index(subject, row.probability.of_class)
            misses.append(row.probability.misses(float(answer[index]), float(slack(task, answer[:1])[0])))
            wanted.append(f"probability of {task.classes[index]} {row.probability.in_words()}")
            shown = (task.classes[index], float(answer[index]))
        miss = max(misses)
        values = {key: value for key, value in row.given.items() if value is not None}
        return miss, Case(
            row=None, failed=miss > 0, changed={}, values=values, of_class=shown[0], before=None,
            after=shown[1], expected=", ".join(wanted),
        )  # fmt: skip

    def _from_prediction(
        self, subject: Subject, wanted: Scalar, answer: np.ndarray, label: int
    ) -> tuple[float, str]:
        """How far the answer is from the class or number that is wanted, and that in words."""
        task = subject.task
        if task.is_classification:
            name = _class_name(subject, wanted)
            lacking = 1.0 - float(answer[task.classes.index(name)])
            return (0.0 if task.classes[label] == name else max(lacking, 1e-9)), name
        number = _number(subject, wanted)
        allowed = limits(self.tolerance, task, answer[:1]) + slack(task, answer[:1])
        off = abs(float(answer[0]) - number) - float(allowed[0])
        return max(off, 0.0), f"{number:g}"


def _scalar(value: Any) -> Scalar:
    """A cell of a typed table: dates as ISO text."""
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise DataError(f"tests: {value!r} is no value of a column")


def _class_name(subject: Subject, wanted: Scalar) -> str:
    from declarative_ml.scoring.parse import raw_values

    rule = subject.target_rule or ColumnRule(type="text")
    found, _ = raw_values([wanted], "string", rule, subject.missing)
    name = str(found[0, 0])
    if name not in subject.task.classes:
        hint = f"it knows {', '.join(subject.task.classes[:10])}"
        raise DataError(f"tests: the model knows no class '{wanted}'", hint=hint)
    return name


def _number(subject: Subject, wanted: Scalar) -> float:
    from declarative_ml.scoring.parse import raw_values

    rule = subject.target_rule or ColumnRule(type="number")
    found, misfits = raw_values([wanted], "float32", rule, subject.missing)
    if misfits or found[0, 0] != found[0, 0]:
        raise DataError(f"tests: {wanted!r} is no number to expect of {subject.task.target}")
    return float(found[0, 0])
