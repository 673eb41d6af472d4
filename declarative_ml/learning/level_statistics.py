"""Mergeable counts of the levels of a column of texts, and of how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

import numpy as np

from declarative_ml.core.row_hash import hash_values
from declarative_ml.learning.accumulator import Accumulator
from declarative_ml.learning.sketches import DistinctCount

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LEVELS = 1_000_000
MAX_LEVEL_CHARACTERS = 256_000_000
MAX_LENGTH = 10_000
"""Longer texts count as this long in the distribution of lengths."""


class LevelStatistics(Accumulator):
    """Exact counts of texts, and of their lengths. Null and "" are missing.

    At most MAX_LEVELS different texts of MAX_LEVEL_CHARACTERS in total are held, first come first
    held; after that only those are counted, `truncated` says so, and `distinct` is an estimate.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.truncated = False
        self.characters = 0
        """Total length of the present texts."""
        self.lengths = np.zeros(0, dtype=np.int64)
        """How many of the present texts have 0, 1, … up to MAX_LENGTH characters."""
        self._held = 0
        self._beyond: DistinctCount | None = None
        """Of all texts, once some of them are not held."""

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block of strings."""
        import pyarrow.compute as pc

        self.rows += len(values)
        present = values.filter(pc.fill_null(pc.not_equal(values, ""), False))
        self.missing += len(values) - len(present)
        found = pc.value_counts(present)
        texts, counts = found.field("values"), found.field("counts").to_numpy()
        lengths = pc.utf8_length(texts).to_numpy().astype(np.int64)
        self.characters += int(lengths @ counts)
        self._count_lengths(np.bincount(np.minimum(lengths, MAX_LENGTH), weights=counts).astype(np.int64))
        self._count(zip(texts.to_pylist(), counts.tolist(), strict=True))
        if self.truncated:
            self._all_texts().update_hashes(hash_values(texts))

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.characters += other.characters
        self.truncated = self.truncated or other.truncated
        self._count_lengths(other.lengths)
        self._count(other.counts.items())
        if self.truncated:
            self._all_texts().merge(other._all_texts())

    def _count(self, pairs: Iterable[tuple[str, int]]) -> None:
        counts = self.counts
        for text, count in pairs:
            if text in counts:
                counts[text] += count
            elif len(counts) < MAX_LEVELS and self._held < MAX_LEVEL_CHARACTERS:
                counts[text] = count
                self._held += len(text)
            else:
                self.truncated = True

    def _count_lengths(self, counts: np.ndarray) -> None:
        if len(counts) > len(self.lengths):
            self.lengths = np.pad(self.lengths, (0, len(counts) - len(self.lengths)))
        self.lengths[: len(counts)] += counts

    def _all_texts(self) -> DistinctCount:
        """The count of all texts seen. Up to the first that was not held, that is of those held."""
        import pyarrow as pa

        if self._beyond is None:
            self._beyond = DistinctCount()
            self._beyond.update_hashes(hash_values(pa.array(list(self.counts), pa.string())))
        return self._beyond

    @property
    def distinct(self) -> int:
        """The number of different texts; an estimate (0.6 %) when `truncated`."""
        return max(len(self.counts), self._all_texts().count) if self.truncated else len(self.counts)

    @property
    def levels(self) -> list[tuple[str, int]]:
        """All held levels with their counts: most frequent first, then by name."""
        return sorted(self.counts.items(), key=lambda level: (-level[1], level[0]))

    @property
    def mean_length(self) -> float | None:
        """Mean number of characters of the present texts."""
        return self.characters / self.present if self.present else None
