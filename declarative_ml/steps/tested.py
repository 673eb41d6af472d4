"""The test rows and what the shipped graph says of them, as `evaluate` leaves them for the steps after it.

truth.npy        int64 class numbers or float64 values [n], in the order of the split
prediction.npy   probabilities [n, classes] or values [n]
rows.npy         int64 [n]: positions in the table
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from declarative_ml.learning.disk_rows import DiskRows

SHOWN = 400_000
"""Pictures are drawn of rows with so many predicted numbers (rows x classes) at most."""


@dataclass(frozen=True)
class AnsweredRows:
    """Rows on disk, of which each step reads what it needs."""

    truth: DiskRows
    prediction: DiskRows
    rows: DiskRows

    def __len__(self) -> int:
        return len(self.rows)


def read_tested(folder: Path) -> AnsweredRows:
    """What the artifact of `evaluate` holds."""
    return AnsweredRows(*(DiskRows(folder / f"{name}.npy") for name in ("truth", "prediction", "rows")))


def shown_rows(tested: AnsweredRows) -> int:
    """How many of the test rows pictures are drawn of: the first."""
    width = max(1, tested.prediction.size // max(len(tested), 1))
    return min(len(tested), SHOWN // width)
