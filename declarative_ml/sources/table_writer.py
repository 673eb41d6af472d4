"""Rows into a file: CSV, TSV, Parquet, JSON lines or Arrow, by the ending of its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
}
"""How files that are written end, and what they are."""


def kind_of(path: PurePath) -> str:
    """What a file of this name is. Raises UsageError for what cannot be written."""
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"cannot write {path.name}", hint=f"use an extension of {', '.join(ENDINGS)}")
    return kind


def write_rows(batches: Iterable[pa.RecordBatch], stream: Any, kind: str) -> int:
    """Write batches to a binary stream and return the number of rows; without a batch nothing is written."""
    writer: Any = None
    rows = 0
    for batch in batches:
        if writer is None:
            writer = _writer(batch.schema, stream, kind)
        writer.write_batch(batch)
        rows += batch.num_rows
    if writer is not None:
        writer.close()
    return rows


def json_rows(batch: pa.RecordBatch) -> Iterable[bytes]:
    """Each row as one JSON object. JSON has neither NaN nor infinities: they are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column
        for column in batch.columns
    ]
    for row in pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist():
        yield json.dumps(row, ensure_ascii=False, default=str).encode()


def _writer(schema: pa.Schema, stream: Any, kind: str) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as papq

    if kind in ("csv", "tsv"):
        delimiter = "\t" if kind == "tsv" else ","
        stream.write(_header(schema.names, delimiter))
        options = pacsv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="needed")
        return pacsv.CSVWriter(stream, schema, write_options=options)
    if kind == "parquet":
        return papq.ParquetWriter(stream, schema)
    if kind == "arrow":
        return pa.ipc.new_file(stream, schema)
    return _JsonLines(stream)


def _header(names: list[str], delimiter: str) -> bytes:
    """The header line, quoted only where needed (pyarrow quotes every name)."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


class _JsonLines:
    """Writes each row as one JSON object a line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""
        for row in json_rows(batch):
            self._stream.write(row + b"\n")

    def close(self) -> None:
        """Nothing is left to write."""
