"""The one reference scorer: bundle in, predictions out. Needs onnxruntime and numpy, nothing heavier.

Serving, batch prediction, evaluation, explanations and the formats' parity checks all run through
`Scorer.predict_raw`, so every number that is reported comes from the file that ships.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.scoring.parse import raw_values
from declarative_ml.scoring.plain_arrays import read_array
from declarative_ml.scoring.plain_rows import PlainRows
from declarative_ml.scoring.readings import Readers
from declarative_ml.scoring.session import BATCH_ROWS, open_session, quick_run
from declarative_ml.store.bundle import MODEL, Bundle, Input

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 5
_NAMED = 20
"""Absent or unknown columns that an error names."""
_LONGEST = 80
"""Characters of a value that an error repeats."""

Label = str | int | bool


@dataclass(frozen=True)
class Unfit:
    """A value that could not be read as its column's type and was counted as missing."""

    row: int
    """Counts from 0."""
    column: str
    value: Any


@dataclass(frozen=True)
class Predictions:
    """Answers for N rows, in the order of the rows."""

    prediction: np.ndarray
    """[N]: labels (object: str, int or bool, as in the training data), or float32 numbers."""
    probabilities: np.ndarray | None
    """[N, C] float32 in the order of `Scorer.labels`; None for a number."""
    unfit: tuple[Unfit, ...] = ()
    lower: np.ndarray | None = None
    """[N] float32, never above the prediction; None where the model gives no intervals."""
    upper: np.ndarray | None = None
    """[N] float32, never below the prediction."""

    def __len__(self) -> int:
        return len(self.prediction)

    def part(self, start: int, end: int) -> Predictions:
        """The answers to the rows from `start` to before `end`; nothing is copied."""
        cut = slice(start, end)
        arrays = (self.probabilities, self.lower, self.upper)
        wide, lower, upper = (None if array is None else array[cut] for array in arrays)
        return Predictions(self.prediction[cut], wide, (), lower, upper)


class Scorer:
    """Runs a bundle's graph. Safe to share between threads; opens the session once."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        """Load the graph. Raises DataError when it is damaged or does not match the manifest."""
        self.bundle = bundle
        self.task: Task = bundle.manifest.task
        self.inputs: tuple[Input, ...] = bundle.manifest.inputs
        self.columns: tuple[str, ...] = tuple(column.name for column in self.inputs)
        self.labels: tuple[Label, ...] = _labels(bundle)
        self._label_of: dict[str, Label] = dict(zip(self.task.classes, self.labels))
        self.names_classes: bool = self.labels == tuple(self.task.classes)
        """Whether the labels are the classes' names, texts that the graph answers with."""
        self._session = open_session(bundle.read(MODEL), threads=threads, name=f"{bundle.path}: {MODEL}")
        _check_session(self._session, bundle)
        self._outputs = _outputs(bundle)
        self._quick_run = quick_run(self._session)
        self._plain = PlainRows(self.inputs, bundle.manifest.missing)

    @cached_property
    def readers(self) -> Readers:
        """What reads the texts that the graph cannot read alone. Raises MissingDependency without it."""
        return Readers(self.inputs, self.bundle.path, self.bundle.read)

    @property
    def positive_index(self) -> int | None:
        """Column of the positive class in the probabilities of a binary task."""
        return 1 if self.task.type == "binary" else None

    def predict_raw(self, inputs: Mapping[str, np.ndarray]) -> Predictions:
        """Score what the graph takes: per input an array [N, 1] or [N], float32 (NaN = missing) or str.

        A column with a `reading` in the manifest holds readings, as `raw_rows` and `raw_columns` make them.

        Raises DataError for a missing column or columns of unequal length.
        """
        rows = self._row_count(inputs)
        return self.answers([self.run(feed) for feed in self._feeds(inputs, rows)])

    def run(self, columns: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The graph's outputs to raw columns [N, 1] of its types, for `answers`; nothing is checked."""
        return self._quick_run(self._outputs, columns)

    def answers(self, parts: Sequence[Sequence[np.ndarray]]) -> Predictions:
        """What the outputs of `run`, in parts, say."""
        if not self.task.is_classification:
            return self._as_numbers(parts)
        if len(parts) == 1:
            labels, probabilities = parts[0][0], parts[0][1]
        elif parts:
            labels, probabilities = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        else:
            labels, probabilities = np.empty(0, object), np.empty((0, len(self.labels)), np.float32)
        return Predictions(self._as_labels(labels.reshape(-1)), probabilities)

    def predict_rows(
        self, rows: Sequence[Mapping[str, Any]], *, ignore_extra: bool = False, strict: bool = True
    ) -> Predictions:
        """Score rows as they come from JSON or CSV: dicts of column to value, null for missing.

        `ignore_extra` passes over columns that the model does not take; without it they are errors.
        `strict=False` counts values that do not fit as missing and lists them in `unfit`.
        Raises DataError naming row, column and value.
        """
        inputs, unfit = self.raw_rows(rows, ignore_extra=ignore_extra, strict=strict)
        return replace(self.predict_raw(inputs), unfit=unfit)

    def predict_columns(
        self, columns: Mapping[str, Sequence[Any]], *, ignore_extra: bool = False, strict: bool = True
    ) -> Predictions:
        """Score columns of plain values; the options are those of `predict_rows`."""
        inputs, unfit = self.raw_columns(columns, ignore_extra=ignore_extra, strict=strict)
        return replace(self.predict_raw(inputs), unfit=unfit)

    def raw_rows(
        self, rows: Sequence[Mapping[str, Any]], *, ignore_extra: bool = False, strict: bool = True
    ) -> tuple[dict[str, np.ndarray], tuple[Unfit, ...]]:
        """What the graph takes of `rows`, and the values that did not fit."""
        if rows and (plain := self._plain.read(rows)) is not None:
            return self.readers.read(plain), ()
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(f"row {number + 1} is {_short(row)}, not an object of column: value")
            self._check_names(row, f"row {number + 1}", ignore_extra)
        columns = {name: [row[name] for row in rows] for name in self.columns}
        return self.raw_columns(columns, strict=strict)

    def raw_columns(
        self,
        columns: Mapping[str, Sequence[Any] | np.ndarray],
        *,
        ignore_extra: bool = False,
        strict: bool = True,
    ) -> tuple[dict[str, np.ndarray], tuple[Unfit, ...]]:
        """What the graph takes of `columns`, and the values that did not fit."""
        self._check_names(columns, "the data", ignore_extra)
        missing = self.bundle.manifest.missing
        arrays: dict[str, np.ndarray] = {}
        unfit: list[Unfit] = []
        for column in self.inputs:
            values = columns[column.name]
            plain = self._plain.read_column(column, values)
            if plain is not None:
                arrays[column.name] = plain
                continue
            arrays[column.name], bad = raw_values(values, column.dtype, column.rule, missing)
            unfit.extend(Unfit(row, column.name, value) for row, value in bad)
        if unfit and strict:
            raise self.unfit_error(unfit)
        return self.readers.read(arrays), tuple(unfit)

    def plain_array(self, column: Input, array: pa.Array) -> np.ndarray | None:
        """The raw column [N, 1] of an Arrow array, None where it takes a closer look; see `plain_arrays`."""
        return read_array(column, array, self._plain.texts)

    def explained_output(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """What explanations explain, [N, K] float64: the positive class's probability (K = 1),
        every class's probability (K = C), or the number (K = 1)."""
        scored = self.predict_raw(inputs)
        if scored.probabilities is None:
            return scored.prediction.astype(np.float64).reshape(-1, 1)
        wide = scored.probabilities.astype(np.float64)
        return wide[:, 1:2] if self.task.type == "binary" else wide

    def _row_count(self, inputs: Mapping[str, np.ndarray]) -> int:
        absent = [name for name in self.columns if name not in inputs]
        if absent:
            raise missing_columns(absent, "the data")
        lengths = {name: len(inputs[name]) for name in self.columns}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise DataError(f"the columns have unequal numbers of rows ({listed})")
        return next(iter(lengths.values()), 0)

    def _feeds(self, inputs: Mapping[str, np.ndarray], rows: int) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, rows, BATCH_ROWS):
            cut = slice(start, min(start + BATCH_ROWS, rows))
            yield {column.name: _as_tensor(inputs[column.name][cut], column.dtype) for column in self.inputs}

    def _as_numbers(self, parts: Sequence[Sequence[np.ndarray]]) -> Predictions:
        values = {
            name: np.concatenate([part[place].reshape(-1) for part in parts] or [np.empty(0, np.float32)])
            for place, name in enumerate(self._outputs)
        }
        return Predictions(values["prediction"], None, lower=values.get("lower"), upper=values.get("upper"))

    def _as_labels(self, answers: np.ndarray) -> np.ndarray:
        """Class names [N] as they stand in the training data."""
        if self.names_classes and answers.dtype == object:
            return answers
        labels = np.empty(len(answers), dtype=object)
        labels[:] = [self._label_of.get(answer, answer) for answer in answers.tolist()]
        return labels

    def _check_names(self, given: Mapping[str, Any], where: str, ignore_extra: bool) -> None:
        absent = [name for name in self.columns if name not in given]
        extra = [] if ignore_extra else [name for name in given if name not in self.columns]
        if absent:
            raise missing_columns(absent, where, extra)
        if extra:
            raise DataError(
                f"{where} has columns that the model does not take: {', '.join(map(_short, extra[:_NAMED]))}"
                + (f", and {len(extra) - _NAMED} more" if len(extra) > _NAMED else ""),
                hint=_nearest(extra, self.columns) or f"It takes {', '.join(self.columns)}.",
            )

    def unfit_error(self, unfit: Sequence[Unfit]) -> DataError:
        """The error that lists values which do not fit; rows count from 1 in its text."""
        rules = {column.name: column.rule.type for column in self.inputs}
        shown = "; ".join(
            f"column {bad.column!r}, row {bad.row + 1}: "
            f"{_short(bad.value)} is not {_KINDS[rules[bad.column]]}"
            for bad in unfit[:_SHOWN]
        )
        more = f"; and {len(unfit) - _SHOWN} more" if len(unfit) > _SHOWN else ""
        return DataError(
            f"{len(unfit)} value(s) do not fit: {shown}{more}",
            hint="Correct them, or send null (an empty cell) where the value is not known.",
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "text": "text",
}


def _as_tensor(values: np.ndarray, dtype: str) -> np.ndarray:
    column = np.asarray(values).reshape(-1, 1)
    # onnxruntime takes strings as object arrays; fixed-width ones would be copied cell by cell anyway.
    return column.astype(np.float32 if dtype == "float32" else object, copy=False)


def _labels(bundle: Bundle) -> tuple[Label, ...]:
    rule = bundle.manifest.target_rule
    kind = rule.type if rule is not None else "text"
    return tuple(_as_label(name, kind) for name in bundle.manifest.task.classes)


def _as_label(name: str, kind: str) -> Label:
    if kind == "boolean" and name.lower() in {"true", "false"}:
        return name.lower() == "true"
    if kind == "integer":
        try:
            return int(name)
        except ValueError:
            return name
    return name


def _outputs(bundle: Bundle) -> list[str]:
    """The outputs that answers are made from."""
    if bundle.manifest.task.is_classification:
        return ["prediction", "probabilities"]
    return ["prediction"] if bundle.manifest.interval is None else ["prediction", "lower", "upper"]


def _check_session(session: Any, bundle: Bundle) -> None:
    kinds = {"tensor(float)": "float32", "tensor(string)": "string"}
    found = {node.name: kinds.get(node.type, node.type) for node in session.get_inputs()}
    wanted = {column.name: column.dtype for column in bundle.manifest.inputs}
    if found != wanted:
        raise DataError(f"{bundle.path}: {MODEL} takes {found}, the manifest says {wanted}")
    outputs = {node.name for node in session.get_outputs()}
    needed = set(_outputs(bundle))
    if absent := sorted(needed - outputs):
        raise DataError(f"{bundle.path}: {MODEL} has no output {', '.join(absent)}")


def missing_columns(absent: Sequence[str], where: str, extra: Sequence[str] = ()) -> DataError:
    """The error for columns that the model needs and `where` lacks; `extra` are candidates for typos."""
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    return DataError(
        f"{where} lacks the column(s) {', '.join(map(repr, absent[:_NAMED]))}{more}",
        hint=_nearest(extra, absent) or "Send null where a value is not known.",
    )


def _nearest(given: Sequence[str], known: Sequence[str]) -> str | None:
    hints = []
    for name in given[:_SHOWN]:
        if len(name) <= _LONGEST and (close := difflib.get_close_matches(name, known, n=1, cutoff=0.6)):
            hints.append(f"{name!r}: did you mean {close[0]!r}?")
    return " ".join(hints) or None
