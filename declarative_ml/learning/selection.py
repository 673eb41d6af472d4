"""Chosen rows of many, one bit for each of them all: what is in memory of who learns and who is held out.

Two bits more a row where it is asked which of the chosen rows one is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BLOCK_ROWS = 1 << 16
"""Rows whose bits are unpacked at a time; a multiple of 8."""


class Selection:
    """Ascending positions of chosen rows. Sliced and indexed like an array of them, int64 [n]."""

    def __init__(self, masks: Iterable[np.ndarray]) -> None:
        """`masks`: whether each row is chosen, bool, in blocks of BLOCK_ROWS rows (the last may be less)."""
        import numpy as np

        self._bits, counts = [], [0]
        for mask in masks:
            self._bits.append(np.packbits(mask, bitorder="little"))
            counts.append(int(mask.sum()))
        self._starts = np.cumsum(counts)
        """How many rows are chosen before each block, and in all."""

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, wanted: slice | np.ndarray) -> np.ndarray:
        """The positions of the chosen rows with these numbers: a slice, or integers in any order."""
        import numpy as np

        if isinstance(wanted, slice):
            start, stop, step = wanted.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
            last = int(np.searchsorted(self._starts, stop)) if stop > start else first
            found = [np.zeros(0, np.int64), *(self._positions(block) for block in range(first, last))]
            skipped = start - int(self._starts[first])
            return np.concatenate(found)[skipped : skipped + max(stop - start, 0)]
        places = np.searchsorted(self._starts, wanted, side="right") - 1
        positions = np.empty(len(wanted), np.int64)
        for block in np.unique(places).tolist():
            inside = places == block
            positions[inside] = self._positions(block)[wanted[inside] - self._starts[block]]
        return positions

    def numbers(self, positions: np.ndarray) -> np.ndarray:
        """The number of each position [n] among the chosen rows, int64; -1 where it is not one of them."""
        import numpy as np

        words, before = self._words
        word, place = positions >> 6, (positions & 63).astype(np.uint64)
        found = words[word]
        bit = np.uint64(1) << place
        number = before[word] + np.bitwise_count(found & (bit - np.uint64(1)))
        return np.where(found & bit, number, -1)

    @cached_property
    def _words(self) -> tuple[np.ndarray, np.ndarray]:
        """The bits in words of 64 rows, and how many rows are chosen before each word."""
        import numpy as np

        bits = np.concatenate([np.zeros(0, np.uint8), *self._bits])
        words = np.pad(bits, (0, -len(bits) % 8)).view("<u8")
        counts = np.bitwise_count(words)
        return words, np.cumsum(counts, dtype=np.int64) - counts

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)

    def _positions(self, block: int) -> np.ndarray:
        import numpy as np

        return np.flatnonzero(np.unpackbits(self._bits[block], bitorder="little")) + block * BLOCK_ROWS
