"""Read the sources, infer each column's type from all of its values, and write typed blocks.

Two passes over the source, both streamed: the first looks, the second writes. A type therefore never
rests on a sample, and memory stays bounded by a few blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import TableSchema
from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import write_table

if TYPE_CHECKING:
    import pyarrow as pa

_PARTS = {"validation": 1, "test": 2}


def run(context: StepContext) -> None:
    """Write the table artifact (see steps.table)."""
    named = {name: SOURCES.parse(options) for name, options in context.step.outside["sources"].items()}
    sources = {
        name: _kept(source, name, context) if source.remote else source for name, source in named.items()
    }
    schema, rows, notes = infer(sources, tuple(context.params["missing"]), context)
    write(sources, schema, rows, notes, context)


def _kept(source: Source, name: str, context: StepContext) -> Source:
    """A copy of the rows on disk: both passes must see the same, and a database is asked only once."""
    import pyarrow as pa

    path = context.scratch / f"{name}.arrow"
    rows = 0
    with path.open("wb") as stream:
        writer = None
        for batch in source.batches():
            if writer is None:
                writer = pa.ipc.new_file(stream, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
            context.progress(0.0, f"reading · {rows:,} rows")
        if writer is None:
            raise DataError(f"{name}: the query gives no rows", hint="check the conditions of the query")
        writer.close()
    return FileSource(type="file", path=str(path))


def infer(
    sources: dict[str, Source], missing: tuple[str, ...], context: StepContext
) -> tuple[TableSchema, dict[str, int], list[str]]:
    """The common schema of all parts, the number of rows of each, and notes for a person."""
    from declarative_ml.sources.inference import RuleInference

    inference = RuleInference(missing)
    rows = dict.fromkeys(sources, 0)
    columns: list[str] | None = None
    for name, source in sources.items():
        for batch in source.batches():
            columns = batch.schema.names if columns is None else columns
            inference.update(_aligned(batch, columns, name))
            rows[name] += batch.num_rows
            context.progress(0.0, f"looking at the types · {sum(rows.values()):,} rows")
        if not rows[name]:
            raise DataError(f"{name}: the data has no rows", hint="the file holds a header only, or nothing")
    return inference.schema(), rows, inference.notes


def write(
    sources: dict[str, Source],
    schema: TableSchema,
    rows: dict[str, int],
    notes: list[str],
    context: StepContext,
) -> None:
    """Second pass: type every value by the schema and write it down."""
    import numpy as np

    from declarative_ml.core.columns import typed_batches

    columns = list(schema.columns)
    total = sum(rows.values())

    def aligned() -> Iterator[pa.RecordBatch]:
        for name, source in sources.items():
            yield from (_aligned(batch, columns, name) for batch in source.batches())

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in batches:
            yield batch
            done += batch.num_rows
            context.progress(done / total, f"{done:,} of {total:,} rows")

    write_table(context.out, counted(typed_batches(aligned(), schema)), schema, notes)
    if len(sources) > 1:
        parts = chain.from_iterable([[_PARTS.get(name, 0)] * count for name, count in rows.items()])
        np.save(context.out / "part.npy", np.fromiter(parts, dtype=np.uint8, count=total))


def _aligned(batch: pa.RecordBatch, columns: list[str], name: str) -> pa.RecordBatch:
    """The batch with exactly `columns`. Raises DataError when one of them is absent."""
    if batch.schema.names == columns:
        return batch
    absent = [column for column in columns if column not in batch.schema.names]
    if absent:
        raise DataError(
            f"the {name} file lacks the columns {', '.join(absent[:10])}",
            hint="all files of one table need the same columns",
        )
    return batch.select(columns)
