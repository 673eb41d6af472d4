"""Batch scoring: rows in, predictions out, streamed, in the order of the rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.api.tables import is_mapping, sink_of, source_of
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.table import score_batches
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.sources.table_writer import kind_of, write_rows
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import pyarrow as pa


def predict(
    bundle: Bundle,
    data: str,
    output: str,
    *,
    keep: Sequence[str] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Score the rows of `data` into `output`: files (format by extension; also s3://…), `-` for CSV streams,
    or mappings such as `{type: sql, url: "${env:DATABASE_URL}", table: answers}`; `data` may be any source.

    Returns the number of rows. The output appears whole or not at all.
    """
    scorer = Scorer(bundle)
    batches = model_rows(bundle, read(data))
    scored = _counted(score_batches(scorer, batches, keep=list(keep)), progress)
    return write(scored, output)


def read(data: str | pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows of what `source_of` takes, of CSV on stdin for `-`, or of a table, which may be empty."""
    if not isinstance(data, str):
        import pyarrow as pa

        return iter(data.to_batches() or [pa.RecordBatch.from_pylist([], schema=data.schema)])
    if data == "-":
        return _stdin()
    return source_of(data).batches()


def model_rows(
    bundle: Bundle, batches: Iterator[pa.RecordBatch], *, shaped: bool = False
) -> Iterator[pa.RecordBatch]:
    """The rows as the model knows them: after a row-wise `data.sql`, where the spec has one.

    SQL that mixes rows or joins sources cannot be re-run on new rows: they must have the shaped columns
    already. Raises DataError when they do not, UsageError when raw and shaped rows look alike. With `shaped`
    the rows are known to have been through it.
    """
    sql = bundle.manifest.sql
    if sql is None or shaped:
        return batches
    from declarative_ml.api.row_sql import apply_row_sql, mixes_rows

    sources = bundle.manifest.sources
    why = "it joins several sources" if len(sources) != 1 else mixes_rows(sql)
    if why is not None:
        return _shaped(bundle, batches, why)
    name, schema = next(iter(sources.items()))
    return apply_row_sql(sql, name, schema, batches, bundle.manifest.task.target)


def _shaped(bundle: Bundle, batches: Iterator[pa.RecordBatch], why: str) -> Iterator[pa.RecordBatch]:
    inputs = [column.name for column in bundle.manifest.inputs]
    refusal = f"data.sql cannot be re-run on new rows ({why})"
    if any(schema.columns.keys() >= set(inputs) for schema in bundle.manifest.sources.values()):
        raise UsageError(
            f"{refusal}, and its columns are named as those of a source",
            hint="rename a column in data.sql, so that rows before and after it can be told apart",
        )
    for batch in batches:
        missing = [name for name in inputs if name not in batch.schema.names]
        if missing:
            raise DataError(
                f"{refusal}, and the rows lack '{missing[0]}'",
                hint="give rows that have its result's columns: " + ", ".join(inputs),
            )
        yield batch


def write(batches: Iterator[pa.RecordBatch], output: str) -> int:
    """Write batches as csv, tsv, parquet, jsonl or arrow, or to a sink. Returns the number of rows."""
    if is_mapping(output) or REMOTE_PATH.match(output):
        return sink_of(output).write(batches)
    if output == "-":
        return write_rows(batches, sys.stdout.buffer, "csv")
    path = Path(output)
    kind = kind_of(path)
    if not path.resolve().parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            rows = write_rows(batches, stream, kind)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _stdin() -> Iterator[pa.RecordBatch]:
    """CSV from stdin, spooled to a file first: a pipe cannot be sniffed and read again."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dml-") as folder:
        path = Path(folder) / "stdin.csv"
        with path.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        if path.stat().st_size == 0:
            raise DataError("stdin is empty")
        yield from FileSource(type="file", path=str(path)).batches()


def _counted(batches: Iterator[pa.RecordBatch], progress: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        progress(done)
