"""The terms that texts hold, as a sparse matrix on disk: most texts hold few of many terms.

terms.bounds.npy    int64 [N, 2]   where the terms of each row begin and end in the next two
terms.places.npy    int32 [K]      columns of the matrix, ascending within a row
terms.values.npy    float32 [K]    how much each counts
terms.digests.npy   uint64 [T]     what each column stands for

The entries stand in the order of the rows, so that a stretch of rows is a stretch of each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from declarative_ml.learning.buckets import between
from declarative_ml.learning.disk_rows import DiskRows, rows_at
from declarative_ml.learning.selection import Selection

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

_PIECE_ROWS = 1 << 15
"""Rows that are brought into order at a time."""


@dataclass(frozen=True, eq=False)
class Terms:
    """A sparse matrix [N, T] of the weights of terms in texts; see the module for the arrays."""

    bounds: np.ndarray | DiskRows
    places: np.ndarray | DiskRows
    values: np.ndarray | DiskRows
    digests: np.ndarray
    """Equal for equal terms of different columns."""

    def __len__(self) -> int:
        return len(self.bounds)

    def take(self, rows: np.ndarray) -> Terms:
        """The given rows (integer positions or a boolean mask), in their order; entries are not copied."""
        import numpy as np

        return Terms(np.asarray(self.bounds[rows]), self.places, self.values, self.digests)

    def view(self, rows: np.ndarray | Selection) -> Terms:
        """The rows at ascending positions (or of a mask); nothing that is on disk is read."""
        return Terms(rows_at(self.bounds, rows), self.places, self.values, self.digests)

    def matrix(self) -> csr_matrix:
        """The same as a matrix of scipy in memory, float32 [N, T]."""
        import numpy as np
        from scipy.sparse import csr_matrix

        bounds = np.asarray(self.bounds[:])
        sizes = bounds[:, 1] - bounds[:, 0]
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        found = np.arange(ends[-1]) + np.repeat(bounds[:, 0] - ends[:-1], sizes)
        shape = len(self), len(self.digests)
        return csr_matrix((self.values[found], self.places[found], ends), shape=shape)


def terms_of(matrix: csr_matrix, digests: np.ndarray) -> Terms:
    """The terms in memory, from a matrix [N, T] and what its columns stand for."""
    import numpy as np

    ends = matrix.indptr.astype(np.int64)
    bounds = np.stack([ends[:-1], ends[1:]], axis=1)
    return Terms(bounds, matrix.indices.astype(np.int32), matrix.data.astype(np.float32), digests)


def term_digests(terms: Sequence[str]) -> np.ndarray:
    """64 bits of a hash of each term, uint64 [T]."""
    import hashlib

    import numpy as np

    joined = b"".join(hashlib.blake2b(term.encode(), digest_size=8).digest() for term in terms)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


def has_terms(folder: Path) -> bool:
    """Whether a TermWriter wrote into `folder`."""
    return _path(folder, "bounds").exists()


def open_terms(folder: Path) -> Terms:
    """What a TermWriter wrote into `folder`; only the digests are read."""
    import numpy as np

    bounds, places, values = (DiskRows(_path(folder, name)) for name in ("bounds", "places", "values"))
    return Terms(bounds, places, values, np.load(_path(folder, "digests"), allow_pickle=False))


def _path(folder: Path, name: str) -> Path:
    return folder / f"terms.{name}.npy"


class TermWriter:
    """Writes the terms of `rows` rows into a folder, block by block; to be used in a `with`.

    Blocks go to rough pieces by where their rows belong, and each piece is put in order at the end: memory
    holds one block and one piece. A row that is never added has no terms.
    """

    def __init__(self, folder: Path, rows: int, digests: np.ndarray) -> None:
        import numpy as np

        self._folder, self._rows = folder, rows
        self._rough = _path(folder, "rough")
        self._kept: list[list[tuple[int, int, int]]] = [[] for _ in range(-(-rows // _PIECE_ROWS))]
        """Of each piece: where its stretches begin in the rough file, their rows and their entries."""
        self._offset = 0
        np.save(_path(folder, "digests"), digests)

    def __enter__(self) -> Self:
        self._stream = self._rough.open("wb+")
        return self

    def add(self, rows: np.ndarray, block: csr_matrix) -> None:
        """Write a block [n, T], whose rows belong at the positions `rows` [n]."""
        import numpy as np

        order = np.argsort(rows, kind="stable")
        rows, block = rows[order], block[order]
        block.sort_indices()
        edges = np.arange(1, len(self._kept)) * _PIECE_ROWS
        for piece, (start, stop) in enumerate(between(np.searchsorted(rows, edges), len(rows))):
            if stop == start:
                continue
            first, last = int(block.indptr[start]), int(block.indptr[stop])
            content = b"".join(
                [
                    rows[start:stop].astype("<i8").tobytes(),
                    np.diff(block.indptr[start : stop + 1]).astype("<i8").tobytes(),
                    block.indices[first:last].astype("<i4").tobytes(),
                    block.data[first:last].astype("<f4").tobytes(),
                ]
            )
            self._kept[piece].append((self._offset, stop - start, last - first))
            self._stream.write(content)
            self._offset += len(content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put_in_order()
        finally:
            self._stream.close()
            self._rough.unlink(missing_ok=True)

    def _put_in_order(self) -> None:
        names = ("bounds", "places", "values")
        bounds, places, values = (_path(self._folder, name).open("wb") for name in names)
        with bounds, places, values:
            _write_head(bounds, "<i8", (self._rows, 2))
            _write_head(places, "<i4", (0,))
            _write_head(values, "<f4", (0,))
            written = 0
            for piece in range(len(self._kept)):
                found, piece_places, piece_values = self._piece(piece)
                bounds.write((found + written).tobytes())
                places.write(piece_places.tobytes())
                values.write(piece_values.tobytes())
                written += len(piece_places)
            _write_head(places, "<i4", (written,))
            _write_head(values, "<f4", (written,))

    def _piece(self, piece: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds from 0 on [rows, 2], places and values of one piece, in order."""
        import numpy as np

        first = piece * _PIECE_ROWS
        sizes = np.zeros(min(_PIECE_ROWS, self._rows - first), dtype=np.int64)
        parts = [self._stretch(*kept) for kept in self._kept[piece]]
        for rows, counts, _, _ in parts:
            sizes[rows - first] = counts
        ends = np.cumsum(sizes)
        places, values = np.empty(int(sizes.sum()), "<i4"), np.empty(int(sizes.sum()), "<f4")
        for rows, counts, found, strengths in parts:
            starts = (ends - sizes)[rows - first]
            before = np.cumsum(counts) - counts
            target = np.arange(len(found)) + np.repeat(starts - before, counts)
            places[target], values[target] = found, strengths
        return np.stack([ends - sizes, ends], axis=1), places, values

    def _stretch(
        self, offset: int, rows: int, entries: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, their sizes, and their entries' places and values."""
        import numpy as np

        self._stream.seek(offset)
        kinds = (("<i8", rows), ("<i8", rows), ("<i4", entries), ("<f4", entries))
        places, sizes, found, values = (
            np.frombuffer(self._stream.read(np.dtype(kind).itemsize * count), kind) for kind, count in kinds
        )
        return places, sizes, found, values


def _write_head(stream: BinaryIO, kind: str, shape: tuple[int, ...]) -> None:
    """Write the head of a file; it keeps its length whatever the number of entries."""
    import numpy as np

    stream.seek(0)
    head = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, head)
