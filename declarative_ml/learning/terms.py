"""The terms that texts hold, as a sparse matrix on disk: most texts hold few of many terms.

terms.bounds.npy    int64 [N, 2]   where the terms of each row begin and end in the next two
terms.places.npy    int32 [K]      columns of the matrix, ascending within a row
terms.values.npy    float32 [K]    how much each counts
terms.digests.npy   uint64 [T]     what each column stands for

The entries stand in the order of the rows, so that a stretch of rows is a stretch of each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from declarative_ml.learning.disk_rows import DiskRows, RowWriter, rows_at, write_head
from declarative_ml.learning.selection import Selection

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix


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
    """Writes the terms of rows into a folder, block by block in their order; to be used in a `with`."""

    def __init__(self, folder: Path, rows: int, digests: np.ndarray) -> None:
        import numpy as np

        self._folder, self._rows = folder, rows
        self._written = 0
        """Entries so far."""
        self._open = ExitStack()
        np.save(_path(folder, "digests"), digests)

    def __enter__(self) -> Self:
        self._bounds = self._open.enter_context(
            RowWriter(_path(self._folder, "bounds"), (self._rows, 2), "<i8")
        )
        self._entries = {
            kind: self._open.enter_context(_path(self._folder, name).open("wb"))
            for name, kind in (("places", "<i4"), ("values", "<f4"))
        }
        self._write_heads()
        return self

    def add(self, block: csr_matrix) -> None:
        """Write the terms of the next rows [n, T]."""
        import numpy as np

        block.sort_indices()
        ends = block.indptr.astype(np.int64) + self._written
        self._bounds.add(np.stack([ends[:-1], ends[1:]], axis=1))
        for (kind, stream), entries in zip(self._entries.items(), (block.indices, block.data), strict=True):
            stream.write(np.ascontiguousarray(entries, kind).data)
        self._written += block.nnz

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_heads()
        self._open.__exit__(kind, error, trace)

    def _write_heads(self) -> None:
        import numpy as np

        for kind, stream in self._entries.items():
            write_head(stream, np.dtype(kind), (self._written,))
