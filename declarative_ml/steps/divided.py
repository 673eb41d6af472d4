"""The rows of a split, as later steps ask for them: by part and fold, and where they are in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.selection import BLOCK_ROWS, Selection

if TYPE_CHECKING:
    import numpy as np


def chosen(split: Path, wanted: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Selection:
    """The rows of a split artifact, in its order, for whose parts and folds `wanted` gives true."""
    part, fold = (DiskRows(split / f"{name}.npy") for name in ("part", "fold"))
    stretches = (slice(start, start + BLOCK_ROWS) for start in range(0, len(part), BLOCK_ROWS))
    return Selection(wanted(part[stretch], fold[stretch]) for stretch in stretches)


def of_part(split: Path, part: int) -> Selection:
    """The rows of one part."""
    return chosen(split, lambda parts, _: parts == part)


def in_table(split: Path, rows: np.ndarray) -> np.ndarray:
    """The positions in the table of rows of the split [n]."""
    return DiskRows(split / "order.npy")[rows]


@dataclass(frozen=True)
class Chosen:
    """Chosen rows of a split artifact, in its order."""

    split: Path
    rows: Selection

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def positions(self) -> DiskRows:
        """Where they are in the table, int64 [n]."""
        return DiskRows(self.split / "order.npy").view(self.rows)

    @property
    def target(self) -> DiskRows:
        """Their targets [n]."""
        return DiskRows(self.split / "target.npy").view(self.rows)

    def __getitem__(self, stretch: slice) -> np.ndarray:
        """Of a stretch of the table, the place of each row among these, int64 [n]; -1 for others."""
        import numpy as np

        found = DiskRows(self.split / "place.npy")[stretch]
        return np.where(found < 0, -1, self.rows.numbers(np.maximum(found, 0)))
