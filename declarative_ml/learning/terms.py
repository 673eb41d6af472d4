"""The terms that texts hold, as a sparse matrix on disk: most texts hold few of many terms.

terms.bounds.npy    int64 [N, 2]   where the terms of each row begin and end in the next two
terms.places.npy    int32 [K]      columns of the matrix, ascending within a row
terms.values.npy    float32 [K]    how much each counts
terms.digests.npy   uint64 [T]     what each column stands for

The entries stand in the order in which they were written, which need not be that of the rows: they are
written in one pass, block by block, whatever the order of the rows is to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Terms:
    """A sparse matrix [N, T] of the weights of terms in texts; see the module for the arrays."""

    bounds: np.ndarray
    places: np.ndarray
    values: np.ndarray
    digests: np.ndarray
    """Equal for equal terms of different columns."""

    def __len__(self) -> int:
        return len(self.bounds)

    def take(self, rows: np.ndarray) -> Terms:
        """The given rows (integer positions or a boolean mask), in their order; entries are not copied."""
        import numpy as np

        return Terms(np.asarray(self.bounds[rows]), self.places, self.values, self.digests)

    def matrix(self) -> csr_matrix:
        """The same as a matrix of scipy in memory, float32 [N, T]."""
        import numpy as np
        from scipy.sparse import csr_matrix

        sizes = self.bounds[:, 1] - self.bounds[:, 0]
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        found = np.arange(ends[-1]) + np.repeat(self.bounds[:, 0] - ends[:-1], sizes)
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
    """Memory-map what a TermWriter wrote into `folder`."""
    import numpy as np

    def load(name: str) -> np.ndarray:
        array: np.ndarray = np.load(_path(folder, name), mmap_mode="r", allow_pickle=False)
        return array

    return Terms(load("bounds"), load("places"), load("values"), load("digests"))


def _path(folder: Path, name: str) -> Path:
    return folder / f"terms.{name}.npy"


class TermWriter:
    """Writes the terms of `rows` rows into a folder, block by block; to be used in a `with`.

    Memory holds one block, and 16 bytes a row. A row that is never added has no terms.
    """

    def __init__(self, folder: Path, rows: int, digests: np.ndarray) -> None:
        import numpy as np

        self._folder = folder
        self._bounds = np.zeros((rows, 2), dtype=np.int64)
        self._written = 0
        np.save(_path(folder, "digests"), digests)

    def __enter__(self) -> Self:
        self._places = _path(self._folder, "places").open("wb")
        self._values = _path(self._folder, "values").open("wb")
        self._head()
        return self

    def add(self, rows: np.ndarray, block: csr_matrix) -> None:
        """Write a block [n, T], whose rows belong at the positions `rows` [n]."""
        import numpy as np

        block.sort_indices()
        ends = self._written + block.indptr.astype(np.int64)
        self._bounds[rows, 0], self._bounds[rows, 1] = ends[:-1], ends[1:]
        self._written = int(ends[-1])
        self._places.write(block.indices.astype("<i4").tobytes())
        self._values.write(block.data.astype("<f4").tobytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import numpy as np

        self._head()
        self._places.close()
        self._values.close()
        np.save(_path(self._folder, "bounds"), self._bounds)

    def _head(self) -> None:
        """Write the head of each file; it keeps its length whatever the number of entries."""
        for stream, kind in ((self._places, "<i4"), (self._values, "<f4")):
            _write_head(stream, kind, self._written)


def _write_head(stream: BinaryIO, kind: str, size: int) -> None:
    import numpy as np

    stream.seek(0)
    head = {"descr": kind, "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(stream, head)
