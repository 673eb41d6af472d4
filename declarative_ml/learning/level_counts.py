"""How often each text of a stream occurs: exact, as Arrow arrays, and mergeable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.row_hash import hash_values
from declarative_ml.learning.sketches import DistinctCount

if TYPE_CHECKING:
    import pyarrow as pa

_WAITING_BYTES = 16 << 20


class LevelCounts:
    """Counts of texts. At most so many, of so many characters in total, are held, first come first held.

    After that only those are counted, and `truncated` says so. New texts wait, until they are a quarter of
    what is held: each text is then looked up a few times in all, however many blocks there are.
    """

    def __init__(self, most: int, most_characters: int) -> None:
        self._limits = most, most_characters
        self._parts: list[tuple[pa.Array, np.ndarray]] = []
        """Texts, different ones within a part, and their counts. The first part holds those joined last."""
        self._joined_bytes = self._waiting_bytes = 0
        self._truncated = False
        self._all = DistinctCount()
        """Of all texts, held or not, once some are not held."""

    def merge(self, other: LevelCounts) -> None:
        """Count everything that `other` has seen."""
        other._join()
        for texts, counts in other._parts:
            self.add(texts, counts)
        self._truncated |= other._truncated
        self._all.merge(other._all)

    def add(self, texts: pa.Array, counts: np.ndarray) -> None:
        """Count different strings, none of them null, each so often as `counts` [N] says."""
        if not len(texts):
            return
        self._parts.append((texts, counts))
        self._waiting_bytes += texts.nbytes
        if self._waiting_bytes > max(_WAITING_BYTES, self._joined_bytes // 4):
            self._join()

    def _join(self) -> None:
        """Make one part of all, its texts in the order in which they came, cut to the limits."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(self._parts) < 2 and not self._waiting_bytes:
            return
        counts = np.concatenate([part[1] for part in self._parts])
        every = pa.concat_arrays([part[0] for part in self._parts])
        self._parts = []
        coded = every.dictionary_encode()
        texts = coded.dictionary
        counts = np.bincount(coded.indices.to_numpy(), weights=counts).astype(np.int64)
        most, most_characters = self._limits
        ends = np.cumsum(pc.utf8_length(texts).to_numpy(), dtype=np.int64)
        held = min(int(np.searchsorted(ends, most_characters)) + 1, most)
        self._truncated |= held < len(texts)
        if self._truncated:
            self._all.update_hashes(hash_values(texts))
        if held < len(texts):
            texts, counts = pa.concat_arrays([texts.slice(0, held)]), counts[:held]
        self._parts = [(texts, counts)]
        self._joined_bytes, self._waiting_bytes = texts.nbytes, 0

    @property
    def truncated(self) -> bool:
        """Whether there were texts beyond the limits."""
        self._join()
        return self._truncated

    @property
    def distinct(self) -> int:
        """The number of different texts; an estimate where some are not held."""
        held = len(self.arrays[0])
        return max(held, self._all.count) if self._truncated else held

    @property
    def arrays(self) -> tuple[pa.Array, np.ndarray]:
        """The held texts in the order in which they came, and their counts, int64 [K]."""
        import pyarrow as pa

        self._join()
        return self._parts[0] if self._parts else (pa.array([], pa.string()), np.zeros(0, dtype=np.int64))

    @property
    def ranked(self) -> tuple[pa.Array, np.ndarray]:
        """The same, the most frequent first, then by name."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts, counts = self.arrays
        keys = [("count", "descending"), ("text", "ascending")]
        order = pc.sort_indices(pa.table({"text": texts, "count": counts}), sort_keys=keys)
        return texts.take(order), counts[order.to_numpy()]
