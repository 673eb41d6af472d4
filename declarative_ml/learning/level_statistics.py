"""Mergeable counts of the levels of a column of texts, and of how long they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from declarative_ml.learning.accumulator import Accumulator
from declarative_ml.learning.level_counts import LevelCounts

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
        self._counts = LevelCounts(MAX_LEVELS, MAX_LEVEL_CHARACTERS)
        self.characters = 0
        """Total length of the present texts."""
        self.lengths = np.zeros(0, dtype=np.int64)
        """How many of the present texts have 0, 1, … up to MAX_LENGTH characters."""

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block of strings."""
        import pyarrow.compute as pc

        found = pc.value_counts(values)
        texts, counts = found.field("values"), found.field("counts").to_numpy()
        present = pc.fill_null(pc.not_equal(texts, ""), False)
        kept = present.to_numpy(zero_copy_only=False)
        if not kept.all():
            texts, counts = texts.filter(present), counts[kept]
        self.rows += len(values)
        self.missing += len(values) - int(counts.sum())
        lengths = pc.utf8_length(texts).to_numpy().astype(np.int64)
        self.characters += int(lengths @ counts)
        self._count_lengths(np.bincount(np.minimum(lengths, MAX_LENGTH), weights=counts).astype(np.int64))
        self._counts.add(texts, counts)

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.characters += other.characters
        self._count_lengths(other.lengths)
        self._counts.merge(other._counts)

    def _count_lengths(self, counts: np.ndarray) -> None:
        if len(counts) > len(self.lengths):
            self.lengths = np.pad(self.lengths, (0, len(counts) - len(self.lengths)))
        self.lengths[: len(counts)] += counts

    @property
    def truncated(self) -> bool:
        """Whether some texts are not held."""
        return self._counts.truncated

    @property
    def distinct(self) -> int:
        """The number of different texts; an estimate (0.6 %) when `truncated`."""
        return self._counts.distinct

    @property
    def counts(self) -> dict[str, int]:
        """All held levels with their counts, made anew at each call."""
        texts, counts = self._counts.arrays
        return dict(zip(texts.to_pylist(), counts.tolist(), strict=True))

    @property
    def ranked(self) -> tuple[pa.Array, np.ndarray]:
        """All held levels and their counts [K]: most frequent first, then by name."""
        return self._counts.ranked

    @property
    def levels(self) -> list[tuple[str, int]]:
        """The same as pairs."""
        texts, counts = self.ranked
        return list(zip(texts.to_pylist(), counts.tolist(), strict=True))

    @property
    def mean_length(self) -> float | None:
        """Mean number of characters of the present texts."""
        return self.characters / self.present if self.present else None
