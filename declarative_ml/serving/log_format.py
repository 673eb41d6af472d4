"""The columns of a prediction log, and its finished files as Parquet."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.atomic import sync_folder
from declarative_ml.store.bundle import Manifest

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 4 << 20
"""Bytes of lines that become one row group."""


def log_schema(manifest: Manifest) -> pa.Schema:
    """The columns of the log of a model; `inputs` and `probabilities` are structs."""
    import pyarrow as pa

    kinds = {"float32": pa.float32(), "string": pa.string()}
    inputs = pa.struct([(column.name, kinds[column.dtype]) for column in manifest.inputs])
    fields = [("time", pa.timestamp("ms", "UTC")), ("id", pa.string())]
    fields += [("model", pa.string()), ("digest", pa.string()), ("redacted", pa.list_(pa.string()))]
    fields += [("inputs", inputs)]
    if manifest.task.is_classification:
        classes = pa.struct([(name, pa.float32()) for name in manifest.task.classes])
        return pa.schema([*fields, ("prediction", pa.string()), ("probabilities", classes)])
    names = ["prediction", *(("lower", "upper") if manifest.interval is not None else ())]
    return pa.schema([*fields, *((name, pa.float32()) for name in names)])


def write_parquet(lines: Path, target: Path, manifest: Manifest) -> None:
    """The JSON lines as a Parquet file, which appears whole. Raises OSError."""
    import pyarrow.parquet as pq

    schema = log_schema(manifest)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                for block in line_blocks(lines):
                    writer.write_table(read_lines(block, schema))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def line_blocks(path: Path) -> Iterator[bytes]:
    """The lines of a file, some megabytes at a time."""
    with path.open("rb") as stream:
        while content := stream.read(_BLOCK):
            yield content + stream.readline()


def read_lines(block: bytes, schema: pa.Schema) -> pa.Table:
    """Lines of a log as a table of its schema. Raises ArrowInvalid for lines that are none."""
    import pyarrow as pa
    import pyarrow.json

    as_written = pa.schema([("time", pa.string()), *(field for field in schema if field.name != "time")])
    found = pyarrow.json.read_json(
        io.BytesIO(block),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=2 * _BLOCK + len(block)),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=as_written, unexpected_field_behavior="ignore"
        ),
    )
    return found.select(schema.names).cast(schema)
