"""Partitioned folders: columns that stand in the names of folders, such as `year=2024/month=05/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and DuckDB write for a missing value."""

Partition = dict[str, str | None]


def partition_of(file: Path, written: Sequence[str]) -> Partition:
    """Column -> value, from the names of the folders of `file` below the paths `written` in the spec."""
    found: Partition = {}
    for folder in _below(file, written):
        name, sign, value = folder.partition("=")
        if sign and name:
            found[unquote(name)] = None if value == _NULL else unquote(value)
    return found


def check_partitions(partitions: Sequence[Partition], files: Sequence[Path]) -> list[str]:
    """The names of the partition columns. Raises DataError when the files' folders name different ones."""
    first = list(partitions[0])
    for partition, file in zip(partitions, files, strict=True):
        if set(partition) != set(first):
            raise DataError(
                f"{file} lies in folders that name {_said(partition)}, {files[0]} in such that name "
                f"{_said(partitions[0])}",
                hint="files that are read together need the same partitions",
            )
    return first


def with_partition(batch: pa.RecordBatch, partition: Partition) -> pa.RecordBatch:
    """The batch with a text column for each part of the folder's name that it has no column for."""
    import pyarrow as pa

    arrays, names = list(batch.columns), list(batch.schema.names)
    for name, value in partition.items():
        if name not in names:
            arrays.append(pa.repeat(pa.scalar(value, pa.string()), batch.num_rows))
            names.append(name)
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _below(file: Path, written: Sequence[str]) -> list[str]:
    """The folders between what a path of the spec says without wildcards and the file."""
    for text in written:
        path = Path(text).expanduser()
        fixed = path
        while any(letter in fixed.as_posix() for letter in "*?["):
            fixed = fixed.parent
        if file != path and file.is_relative_to(fixed):
            return list(file.relative_to(fixed).parts[:-1])
    return []


def _said(partition: Partition) -> str:
    return ", ".join(map(repr, partition)) or "none"
