"""Rows of a source that may change, written down so that they can be read twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from declarative_ml.core.errors import DataError
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource


def spool(source: Source, path: Path, progress: Callable[[int], None]) -> FileSource:
    """Write all rows to an Arrow file at `path`; the source of that file. Raises DataError for no rows."""
    import pyarrow as pa

    rows = 0
    with path.open("wb") as stream:
        writer = None
        for batch in source.batches():
            if writer is None:
                writer = pa.ipc.new_file(stream, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
            progress(rows)
        if writer is None:
            raise DataError(f"{source.described()}: there are none", hint="check the conditions of the query")
        writer.close()
    return FileSource(type="file", path=str(path))
