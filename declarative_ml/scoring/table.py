"""Arrow record batches in, record batches with predictions out: batch scoring in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.scoring.scorer import Predictions, Scorer, Unfit, missing_columns

if TYPE_CHECKING:
    import pyarrow as pa


def score_batches(
    scorer: Scorer,
    batches: Iterator[pa.RecordBatch],
    keep: Sequence[str] = (),
    *,
    strict: bool = True,
    misfits: Counter[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Score text or typed batches, in order: the columns of `keep`, then those of `score_fields`.

    Columns that the model does not take are passed over. `strict=False` counts values that do not fit
    as missing, and adds their number by column to `misfits`. Raises DataError for a column that is
    absent and, when strict, for values that do not fit, with row numbers from 1 over all batches.
    """
    row = 1
    for batch in batches:
        yield score_batch(scorer, batch, keep, strict=strict, misfits=misfits, first_row=row)
        row += batch.num_rows


def score_batch(
    scorer: Scorer,
    batch: pa.RecordBatch,
    keep: Sequence[str] = (),
    *,
    strict: bool = True,
    misfits: Counter[str] | None = None,
    first_row: int = 1,
) -> pa.RecordBatch:
    """Score one batch; see `score_batches`."""
    import pyarrow as pa

    inputs = raw_inputs(scorer, batch, strict=strict, misfits=misfits, first_row=first_row)
    fields = score_fields(scorer, batch.schema, keep)
    kept = [batch.column(name) for name in keep]
    arrays = [*kept, *_answer_arrays(scorer, scorer.predict_raw(inputs))]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def answer_batch(scorer: Scorer, schema: pa.Schema, scored: Predictions) -> pa.RecordBatch:
    """The answers to rows of `schema` as a batch of the columns of `score_fields`."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        _answer_arrays(scorer, scored), schema=pa.schema(score_fields(scorer, schema))
    )


def raw_inputs(
    scorer: Scorer,
    batch: pa.RecordBatch,
    *,
    strict: bool = True,
    misfits: Counter[str] | None = None,
    first_row: int = 1,
) -> dict[str, np.ndarray]:
    """The graph's inputs [N, 1] from a batch of text or typed columns."""
    return scorer.readers.read(
        unread_inputs(scorer, batch, strict=strict, misfits=misfits, first_row=first_row)
    )


def unread_inputs(
    scorer: Scorer,
    batch: pa.RecordBatch,
    *,
    strict: bool = True,
    misfits: Counter[str] | None = None,
    first_row: int = 1,
) -> dict[str, np.ndarray]:
    """As `raw_inputs`, with texts as they are where the graph takes readings of them."""
    from declarative_ml.core.columns import raw_column, read_column

    present = batch.schema.names
    if absent := [name for name in scorer.columns if name not in present]:
        raise missing_columns(absent, "the data", [name for name in present if name not in scorer.columns])
    inputs = {}
    unfit: list[Unfit] = []
    for column in scorer.inputs:
        given = batch.column(column.name)
        plain = scorer.plain_array(column, given)
        if plain is not None:
            inputs[column.name] = plain
            continue
        rule = column.rule
        if column.dtype == "float32" and rule.type == "text":
            rule = ColumnRule(type="number")
        typed, lost = read_column(given, rule, scorer.bundle.manifest.missing)
        unfit += [Unfit(first_row - 1 + row, column.name, given[row].as_py()) for row in lost.tolist()]
        inputs[column.name] = raw_column(typed, column.dtype).to_numpy(zero_copy_only=False).reshape(-1, 1)
    if unfit and strict:
        raise scorer.unfit_error(unfit)
    if misfits is not None:
        misfits.update(bad.column for bad in unfit)
    return inputs


def score_fields(scorer: Scorer, schema: pa.Schema, keep: Sequence[str] = ()) -> list[pa.Field]:
    """The output columns: those of `keep`, `prediction`, and for classes `probability` (binary: of the
    positive class, multiclass: of the predicted one) and `probability_<class>` each; for a number `lower`
    and `upper` where the model gives intervals.

    Raises DataError for a column to keep that is absent, or that has the name of an answer.
    """
    import pyarrow as pa

    if absent := [name for name in keep if name not in schema.names]:
        known = f"The data has {', '.join(schema.names)}."
        raise DataError(
            f"cannot keep the column(s) {', '.join(map(repr, absent))}: not in the data", hint=known
        )
    answers = [pa.field("prediction", _prediction_type(scorer))]
    if scorer.task.is_classification:
        names = ["probability", *(f"probability_{name}" for name in scorer.task.classes)]
        answers += [pa.field(name, pa.float32()) for name in names]
    elif scorer.bundle.manifest.interval is not None:
        answers += [pa.field(name, pa.float32()) for name in ("lower", "upper")]
    taken = {field.name for field in answers}
    if clash := [name for name in keep if name in taken]:
        raise DataError(
            f"cannot keep the column(s) {', '.join(map(repr, clash))}: predictions take these names",
            hint="Rename them in the data.",
        )
    return [*(schema.field(name) for name in keep), *answers]


def _prediction_type(scorer: Scorer) -> pa.DataType:
    import pyarrow as pa

    if not scorer.task.is_classification:
        return pa.float32()
    kinds = {type(label) for label in scorer.labels}
    return {frozenset({bool}): pa.bool_(), frozenset({int}): pa.int64()}.get(frozenset(kinds), pa.string())


def _answer_arrays(scorer: Scorer, scored: Predictions) -> list[pa.Array]:
    import pyarrow as pa

    kind = _prediction_type(scorer)
    if scored.probabilities is None:
        numbers = [scored.prediction, scored.lower, scored.upper]
        return [pa.array(values, kind) for values in numbers if values is not None]
    labels = scored.prediction
    if kind == pa.string() and not scorer.names_classes:
        labels = np.array([str(label) for label in labels.tolist()], dtype=object)
    wide = scored.probabilities
    shown = wide.max(axis=1, initial=0.0) if scorer.positive_index is None else wide[:, scorer.positive_index]
    columns = [shown, *(wide[:, number] for number in range(wide.shape[1]))]
    return [pa.array(labels, kind), *(pa.array(np.ascontiguousarray(column)) for column in columns)]
