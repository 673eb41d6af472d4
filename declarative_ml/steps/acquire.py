"""Read the sources, infer each column's type from all of its values, and write typed blocks.

Two passes over the source, both streamed: the first looks, the second writes. A type therefore never
rests on a sample, and memory stays bounded by a few blocks. A small table is kept from the first pass to the
second, where there is memory for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import TableSchema
from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.sources.spool import spool
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import write_table

if TYPE_CHECKING:
    import pyarrow as pa

_PARTS = {"validation": 1, "test": 2}
_MOST_KEPT = 256 << 20
"""Bytes of batches that are kept in memory rather than read again."""


def run(context: StepContext) -> None:
    """Write the table artifact (see steps.table)."""
    named = {name: SOURCES.parse(options) for name, options in context.step.outside["sources"].items()}
    sources = _bound(named, context)
    kept = _Kept(sources, _MOST_KEPT if context.memory is None else min(_MOST_KEPT, context.memory))
    schema, rows, notes = infer(kept, tuple(context.params["missing"]), context)
    write(kept, schema, rows, notes, context)


class _Kept:
    """The batches of sources: as they were read the first time while they are few, else read anew."""

    def __init__(self, sources: dict[str, Source], most: int) -> None:
        """`most`: bytes of memory that may be used."""
        self.sources = sources
        self._left = most
        self._batches: dict[str, list[pa.RecordBatch]] = {}

    def first(self, name: str) -> Iterator[pa.RecordBatch]:
        """The batches of a source, which are kept if there is room for all of every source."""
        from declarative_ml.core.columns import recut

        found: list[pa.RecordBatch] = []
        for batch in recut(self.sources[name].batches()):
            self._left -= batch.nbytes
            if self._left >= 0:
                found.append(batch)
            else:
                found.clear()
                self._batches.clear()
            yield batch
        if self._left >= 0:
            self._batches[name] = found

    def again(self, name: str) -> Iterator[pa.RecordBatch]:
        """The same batches once more, for the last time."""
        found = self._batches.pop(name, None)
        if found is None:
            yield from self.sources[name].batches()
            return
        while found:
            yield found.pop(0)


def _bound(named: dict[str, Source], context: StepContext) -> dict[str, Source]:
    """Sources whose rows stay the same for both passes; the lock keeps what tells which rows they are."""
    recorded = context.pinned.get("sources", {})
    found = {name: source.bound(recorded.get(name, {})) for name, source in named.items()}
    if facts := {name: said for name, (_, said) in found.items() if said}:
        context.pin({"sources": facts})
    return {
        name: _kept(source, name, context) if source.remote else source for name, (source, _) in found.items()
    }


def _kept(source: Source, name: str, context: StepContext) -> Source:
    """A copy of the rows on disk: both passes must see the same, and a database is asked only once."""

    def progress(rows: int) -> None:
        context.progress(0.0, f"reading · {rows:,} rows")

    return spool(source, context.scratch / f"{name}.arrow", progress)


def infer(
    kept: _Kept, missing: tuple[str, ...], context: StepContext
) -> tuple[TableSchema, dict[str, int], list[str]]:
    """The common schema of all parts, the number of rows of each, and notes for a person."""
    from declarative_ml.sources.inference import RuleInference

    inference = RuleInference(missing)
    rows = dict.fromkeys(kept.sources, 0)
    columns: list[str] | None = None
    for name in kept.sources:
        for batch in kept.first(name):
            columns = batch.schema.names if columns is None else columns
            inference.update(_aligned(batch, columns, name))
            rows[name] += batch.num_rows
            context.progress(0.0, f"looking at the types · {sum(rows.values()):,} rows")
        if not rows[name]:
            raise DataError(f"{name}: the data has no rows", hint="the file holds a header only, or nothing")
    return inference.schema(), rows, inference.notes


def write(
    kept: _Kept,
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
        for name in kept.sources:
            yield from (_aligned(batch, columns, name) for batch in kept.again(name))

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in batches:
            yield batch
            done += batch.num_rows
            context.progress(done / total, f"{done:,} of {total:,} rows")

    write_table(context.out, counted(typed_batches(aligned(), schema)), schema, notes)
    if len(kept.sources) > 1:
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
