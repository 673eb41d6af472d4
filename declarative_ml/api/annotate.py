"""Rows that nobody has labelled, out to Label Studio: with the model's answers, the least confident first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from declarative_ml.api.label_tasks import Answer, Interface
from declarative_ml.api.predict import model_rows, read
from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.scoring.scorer import Predictions, Scorer
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LabelTasks:
    """The files that Label Studio takes."""

    tasks: Path
    """What is imported: a task for each row."""
    interface: Path
    """The labelling configuration of the project."""
    rows: int
    hidden: tuple[str, ...]
    """Columns that are in the tasks, but cannot be shown: their names are no words."""


def annotate(
    bundle: Bundle,
    data: str | pa.Table,
    output: str | Path,
    *,
    least_confident: int | None = None,
    labelled: bool = False,
) -> LabelTasks:
    """Write the rows of `data` without a label as tasks to `output` (.json), the interface beside it (.xml).

    With `least_confident` only that many: those whose most probable class is least probable (Lewis and Gale
    1994, "A sequential algorithm for training text classifiers"), or whose prediction interval is widest.
    With `labelled` also rows that have a label, which is not in the task. Raises UsageError for a model
    without intervals whose target is a number, DataError when no row is left.
    """
    path = Path(output)
    if path.suffix.lower() != ".json":
        raise UsageError(f"cannot write {path.name}", hint="Label Studio takes .json")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist")
    scorer = Scorer(bundle)
    found = _scored(scorer, read(data), labelled=labelled)
    if least_confident is not None:
        found = _most_doubtful(found, least_confident)
    first = next(found, None)
    if first is None:
        raise DataError("every row has a label already", hint="--labelled also takes rows that have one")
    interface = _interface(bundle, first.rows.schema.names)
    model = f"{bundle.manifest.name}-{bundle.manifest.model_digest[:12]}"
    rows = _write(chain([first], found), path, lambda some: interface.tasks(some.rows, some.answers(), model))
    write_text(path.with_suffix(".xml"), interface.xml())
    return LabelTasks(path, path.with_suffix(".xml"), rows, tuple(interface.hidden))


@dataclass(frozen=True)
class _Scored:
    """Rows as they came, and what the model says of them."""

    rows: pa.RecordBatch
    said: np.ndarray
    """[N] names of classes (object), or numbers."""
    score: np.ndarray
    """[N] float64, the probability of what is said; NaN of a number."""
    doubt: np.ndarray
    """[N] float64, the higher, the less confident; NaN of a number without an interval."""

    def answers(self) -> list[Answer]:
        """What is said of each row, and its probability where it has one."""
        scores = [None if np.isnan(score) else round(score, 6) for score in self.score.tolist()]
        return list(zip(self.said.tolist(), scores, strict=True))

    def take(self, places: np.ndarray) -> _Scored:
        """The rows at these places."""
        return _Scored(self.rows.take(places), self.said[places], self.score[places], self.doubt[places])


def _scored(scorer: Scorer, batches: Iterator[pa.RecordBatch], *, labelled: bool) -> Iterator[_Scored]:
    import pyarrow as pa

    from declarative_ml.scoring.table import raw_inputs

    first = 1
    for batch in batches:
        shaped = pa.concat_batches(list(model_rows(scorer.bundle, iter([batch]))))
        inputs = raw_inputs(scorer, shaped, first_row=first)
        first += batch.num_rows
        wanted = np.flatnonzero(labelled | _is_unlabelled(scorer.bundle, batch))
        if len(wanted):
            answers = scorer.predict_raw({name: values[wanted] for name, values in inputs.items()})
            yield _Scored(batch.take(wanted), *_said(scorer, answers))


def _said(scorer: Scorer, answers: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if answers.probabilities is not None:
        places = [scorer.labels.index(label) for label in answers.prediction.tolist()]
        wide = answers.probabilities.astype(np.float64)
        names = np.array(scorer.task.classes, dtype=object)[places]
        return names, wide[np.arange(len(wide)), places], 1 - wide.max(axis=1)
    none = np.full(len(answers), np.nan)
    # Six digits are all that float32 has: more would look like knowledge.
    numbers = np.array([float(f"{value:.6g}") for value in answers.prediction.tolist()])
    if answers.lower is None or answers.upper is None:
        return numbers, none, none
    return numbers, none, answers.upper.astype(np.float64) - answers.lower


def _is_unlabelled(bundle: Bundle, batch: pa.RecordBatch) -> np.ndarray:
    import pyarrow.compute as pc

    from declarative_ml.core.columns import raw_column, trimmed_texts

    target = bundle.manifest.task.target
    if target not in batch.schema.names:
        return np.ones(batch.num_rows, dtype=bool)
    texts = trimmed_texts(raw_column(batch.column(target), "string"), bundle.manifest.missing)
    missing: np.ndarray = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
    return missing


def _most_doubtful(found: Iterator[_Scored], wanted: int) -> Iterator[_Scored]:
    """The `wanted` rows of the most doubt, of equals the first; no more than those and a batch are held."""
    import pyarrow as pa

    kept: _Scored | None = None
    for some in found:
        if np.isnan(some.doubt).any():
            raise UsageError(
                "this model says nothing of how sure it is: its target is a number, without intervals",
                hint="train it with `evaluate: {interval: 0.9}`, or take all rows",
            )
        if kept is not None:
            parts = [(kept.said, some.said), (kept.score, some.score), (kept.doubt, some.doubt)]
            rows = pa.concat_batches([kept.rows, some.rows])
            some = _Scored(rows, *(np.concatenate(pair) for pair in parts))
        kept = some.take(np.argsort(-some.doubt, kind="stable")[:wanted])
    if kept is not None:
        yield kept


def _interface(bundle: Bundle, names: list[str]) -> Interface:
    """People see what the model sees; all columns where data.sql makes the model's of others."""
    inputs = [column.name for column in bundle.manifest.inputs]
    task = bundle.manifest.task
    is_shaped = all(name in names for name in inputs)
    return Interface(task, inputs if is_shaped else [name for name in names if name != task.target])


def _write(found: Iterable[_Scored], path: Path, tasks: Callable[[_Scored], Iterator[dict[str, Any]]]) -> int:
    """A JSON array, a task a line; it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows = 0
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            for task in chain.from_iterable(map(tasks, found)):
                stream.write(",\n" if rows else "[\n")
                stream.write(json.dumps(task, ensure_ascii=False, allow_nan=False))
                rows += 1
            stream.write("\n]\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows
