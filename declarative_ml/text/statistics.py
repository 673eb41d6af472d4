"""Mergeable statistics of a text column: how long the texts are, and a sample of them.

The sample takes the place of exact counts of terms, which have no bound and whose approximations
(lossy counting, space-saving) depend on the order and on how the stream is cut. It is the longest
run of rows in the order of their hashes that fits the limits: uniform, mergeable, and all rows of a
small table (Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). Frequencies of
terms come from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from declarative_ml.learning.statistics import Accumulator, NumberStatistics

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_TEXTS = 50_000
MAX_BYTES = 16 << 20


class TextStatistics(Accumulator):
    """Texts. Null and "" are missing. Memory is bounded by the limits of the sample, and one text."""

    def __init__(self, max_texts: int = MAX_TEXTS, max_bytes: int = MAX_BYTES) -> None:
        self.lengths = NumberStatistics()
        """Of the present texts, in characters."""
        self._limits = max_texts, max_bytes
        self._parts: list[tuple[np.ndarray, pa.Array]] = []
        self._pending = [0, 0]
        """Texts and bytes in the parts."""
        self._last: np.uint64 | None = None
        """No row with a larger hash can be in the sample."""

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block of strings."""
        import numpy as np
        import pyarrow.compute as pc

        present = pc.fill_null(pc.not_equal(values, ""), False)
        kept = present.to_numpy(zero_copy_only=False)
        self.rows += len(values)
        self.missing += len(values) - int(np.count_nonzero(kept))
        texts = values.filter(present)
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.float64)
        self.lengths.update_numbers(lengths, hashes[kept])
        self._offer(hashes[kept], texts)

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.lengths.merge(other.lengths)
        for hashes, texts in other._parts:
            self._offer(hashes, texts)

    def _offer(self, hashes: np.ndarray, texts: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._last is not None:
            near = hashes <= self._last
            hashes, texts = hashes[near], texts.filter(pa.array(near))
        if not len(texts):
            return
        self._parts.append((hashes, texts))
        self._pending[0] += len(texts)
        self._pending[1] += pc.sum(pc.binary_length(texts)).as_py()
        # Twice the limits, so that a long stream is not sorted again for every block.
        if any(held > 2 * limit for held, limit in zip(self._pending, self._limits, strict=True)):
            self._join()

    def _join(self) -> None:
        """Make one part of all, in the order of hashes (of equal ones, of texts), cut to the limits."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        hashes = np.concatenate([part[0] for part in self._parts])
        texts = pa.concat_arrays([part[1] for part in self._parts])
        keys = [("hash", "ascending"), ("text", "ascending")]
        order = pc.sort_indices(pa.table({"hash": hashes, "text": texts}), sort_keys=keys)
        sizes = np.cumsum(pc.binary_length(texts.take(order)).to_numpy(zero_copy_only=False), dtype=np.int64)
        most_texts, most_bytes = self._limits
        kept = max(min(int(np.searchsorted(sizes, most_bytes, side="right")), most_texts), 1)
        if kept < len(order):
            self._last = hashes[order[kept].as_py()]
        order = order.slice(0, kept)
        hashes = hashes[order.to_numpy()]
        self._parts = [(hashes, texts.take(order))]
        self._pending = [kept, int(sizes[kept - 1])]

    @property
    def sample(self) -> pa.Array:
        """The sampled texts in the order of their hashes; all present ones within the limits."""
        import pyarrow as pa

        if not self._parts:
            return pa.array([], pa.string())
        self._join()
        return self._parts[0][1]
