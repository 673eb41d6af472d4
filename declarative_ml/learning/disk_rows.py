"""Rows of arrays on disk, read where they are asked for, and written in their order.

A memory map would do as much with less code, but the pages that it has touched count as the process's own
memory until the system takes them back, and a memory ceiling is about what counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, overload

from declarative_ml.learning.selection import Selection

if TYPE_CHECKING:
    import numpy as np

_READ_BYTES = 16 << 20
"""About so much is read at a time where single rows are picked."""


class DiskRows:
    """Some rows of an array [N, …] in a .npy file: sliced and indexed by rows like an array in memory.

    What comes back is always a copy in memory. `view` chooses rows without reading any.
    """

    def __init__(self, path: Path, rows: np.ndarray | Selection | None = None) -> None:
        """`rows`: ascending positions in the file; None: all."""
        import numpy as np

        self._path, self._rows = path, rows
        with path.open("rb") as stream:
            shape, fortran, self.dtype = _read_head(stream)
            self._start = stream.tell()
        if fortran and len(shape) > 1 and min(shape) > 1:
            raise ValueError(f"{path} is in Fortran order")
        self._held = shape[0]
        self._tail = tuple(shape[1:])
        self._row_bytes = int(np.prod(self._tail, dtype=np.int64)) * self.dtype.itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (self._held if self._rows is None else len(self._rows), *self._tail)

    @property
    def size(self) -> int:
        """The number of values."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def __len__(self) -> int:
        return self.shape[0]

    def view(self, rows: np.ndarray | Selection) -> DiskRows:
        """The rows at ascending positions (or of a mask) of this one; nothing is read."""
        import numpy as np

        if not isinstance(rows, Selection) and rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return DiskRows(self._path, rows if self._rows is None else self._rows[np.asarray(rows)])

    def __getitem__(self, rows: slice | np.ndarray | Selection) -> np.ndarray:
        import numpy as np

        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1 and self._rows is None:
                return self._stretch(start, stop)
            places = np.arange(start, stop, step) if self._rows is None else self._rows[start:stop:step]
            return self._picked(places) if step > 0 else self[np.arange(start, stop, step)]
        if isinstance(rows, Selection):
            rows = rows[:]
        elif rows.dtype == bool:
            rows = np.flatnonzero(rows)
        places = rows if self._rows is None else self._rows[rows]
        if len(places) > 1 and (np.diff(places) < 0).any():
            order = np.argsort(places, kind="stable")
            found = np.empty((len(places), *self._tail), self.dtype)
            found[order] = self._picked(places[order])
            return found
        return self._picked(places)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)

    def _stretch(self, start: int, stop: int) -> np.ndarray:
        import numpy as np

        rows = max(stop - start, 0)
        if not rows or not self._row_bytes:
            return np.empty((rows, *self._tail), self.dtype)
        values = rows * self._row_bytes // self.dtype.itemsize
        offset = self._start + start * self._row_bytes
        return np.fromfile(self._path, self.dtype, values, offset=offset).reshape(rows, *self._tail)

    def _picked(self, places: np.ndarray) -> np.ndarray:
        """The rows at ascending places of the file, by stretches: few large reads beat many small ones."""
        import numpy as np

        if len(places) and (np.diff(places) == 1).all():
            return self._stretch(int(places[0]), int(places[-1]) + 1)
        found = np.empty((len(places), *self._tail), self.dtype)
        most = max(1, _READ_BYTES // max(self._row_bytes, 1))
        done = 0
        while done < len(places):
            first = int(places[done])
            end = int(np.searchsorted(places, first + most))
            taken = self._stretch(first, int(places[end - 1]) + 1)
            found[done:end] = taken[places[done:end] - first]
            done = end
        return found


@overload
def rows_at(array: np.ndarray, rows: np.ndarray | Selection) -> np.ndarray: ...
@overload
def rows_at(array: DiskRows, rows: np.ndarray | Selection) -> DiskRows: ...
def rows_at(array: np.ndarray | DiskRows, rows: np.ndarray | Selection) -> np.ndarray | DiskRows:
    """The rows at ascending positions: without reading any where they are on disk."""
    import numpy as np

    return array.view(rows) if isinstance(array, DiskRows) else array[np.asarray(rows)]


class RowWriter:
    """Writes an array [N, …] to a .npy file, its rows in their order; to be used in a `with`."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        import numpy as np

        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._written = 0

    def __enter__(self) -> Self:
        self._stream: BinaryIO = self._path.open("wb")
        write_head(self._stream, self._dtype, self._shape)
        return self

    def add(self, rows: np.ndarray) -> None:
        """Write the next rows [n, …]."""
        import numpy as np

        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._written += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if kind is None and self._written == self._shape[0]:
            return
        self._path.unlink()
        if kind is None:
            raise ValueError(f"{self._path.name}: {self._written} rows are written of {self._shape[0]}")


def write_rows(path: Path, rows: int, parts: Iterable[np.ndarray]) -> DiskRows:
    """Write an array [rows, …] that comes part by part, at least one."""
    waiting = iter(parts)
    first = next(waiting)
    with RowWriter(path, (rows, *first.shape[1:]), first.dtype) as writer:
        writer.add(first)
        for part in waiting:
            writer.add(part)
    return DiskRows(path)


def write_head(stream: BinaryIO, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write the head of a .npy file at its start; it keeps its length whatever the number of rows."""
    import numpy as np

    stream.seek(0)
    head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, head)


def _read_head(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    import numpy as np

    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
