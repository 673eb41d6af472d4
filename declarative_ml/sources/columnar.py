"""Parquet and Arrow files: native types in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.columns import plain_array
from declarative_ml.core.errors import DataError
from declarative_ml.sources.delimited import check_names, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536


def parquet_columns(path: Path) -> list[str]:
    """The column names, from the file's footer."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return _checked(parquet.read_schema(path).names, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, "Parquet", problem) from problem


def read_parquet(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """All rows in plain types. Raises DataError for nested or binary columns and damaged files."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False):
                yield _plain(batch, names, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, "Parquet", problem) from problem


def arrow_columns(path: Path) -> list[str]:
    """The column names of an Arrow IPC file or stream."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            return _checked(_open(source).schema.names, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, "Arrow", problem) from problem


def read_arrow(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """All rows of an Arrow IPC file or stream in plain types, in batches of bounded size."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            reader = _open(source)
            if isinstance(reader, pa.RecordBatchFileReader):
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            else:
                batches = iter(reader)
            for batch in batches:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield _plain(batch.slice(start, _BATCH_ROWS), names, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, "Arrow", problem) from problem


def _open(source: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    import pyarrow as pa

    start = source.read(6)
    source.seek(0)
    return pa.ipc.open_file(source) if start == b"ARROW1" else pa.ipc.open_stream(source)


def _plain(batch: pa.RecordBatch, names: list[str], path: Path) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = []
    for name in names:
        try:
            arrays.append(plain_array(batch.column(name)))
        except DataError as problem:
            raise DataError(f"{path}: column {name!r}: {problem.message}", hint=problem.hint) from problem
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _checked(names: list[str], path: Path) -> list[str]:
    check_names(names, path)
    return names


def _damaged(path: Path, kind: str, problem: Exception) -> DataError:
    if isinstance(problem, PermissionError):
        return unreadable(path)
    return DataError(f"{path} is not a readable {kind} file: {problem}", hint="check the file and its format")
