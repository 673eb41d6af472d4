"""Rows put aside on disk by the piece of the result that they belong to, and read back piece by piece.

What makes an order out of rows that come in another one: memory holds one block of those that come and one
piece of those that go, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

if TYPE_CHECKING:
    import numpy as np


class Buckets:
    """Stretches of arrays, each in a bucket; to be used in a `with`, which removes the file."""

    def __init__(self, path: Path, buckets: int, kinds: Sequence[Any]) -> None:
        """`kinds`: the type of the values of each array of a stretch."""
        import numpy as np

        self._path = path
        self.kinds = [np.dtype(kind) for kind in kinds]
        self._kept: list[list[tuple[int, list[int]]]] = [[] for _ in range(buckets)]
        """Of each bucket: where its stretches begin in the file, and how many values each array has."""
        self._written = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __enter__(self) -> Self:
        self._stream: BinaryIO = self._path.open("wb+")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def add(self, bucket: int, arrays: Sequence[np.ndarray]) -> None:
        """Put a stretch into a bucket. All are added before any is read."""
        import numpy as np

        parts = [np.ascontiguousarray(array, kind) for array, kind in zip(arrays, self.kinds, strict=True)]
        content = b"".join(part.tobytes() for part in parts)
        self._kept[bucket].append((self._written, [part.size for part in parts]))
        self._stream.write(content)
        self._written += len(content)

    def stretches(self, bucket: int) -> Iterator[list[np.ndarray]]:
        """What was put into a bucket, in the order of coming; the arrays are flat."""
        import numpy as np

        for offset, sizes in self._kept[bucket]:
            self._stream.seek(offset)
            yield [
                np.frombuffer(self._stream.read(kind.itemsize * size), kind)
                for kind, size in zip(self.kinds, sizes, strict=True)
            ]

    def whole(self, bucket: int) -> list[np.ndarray]:
        """All of a bucket: each array joined."""
        import numpy as np

        found = list(self.stretches(bucket))
        if not found:
            return [np.zeros(0, kind) for kind in self.kinds]
        return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]


def between(cuts: np.ndarray, end: int) -> list[tuple[int, int]]:
    """The stretches from 0 to `end` that ascending `cuts` leave."""
    edges = [0, *cuts.tolist(), end]
    return list(pairwise(edges))
