"""What every statistic of a stream of column blocks does. See learning.statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Accumulator(ABC):
    """Statistics of one column. Blocks arrive in row order; `merge` takes the block(s) that follow."""

    rows: int = 0
    missing: int = 0

    @abstractmethod
    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block: its values [N] and the uint64 hashes [N] of their rows."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""

    @property
    def present(self) -> int:
        """Rows that hold a value."""
        return self.rows - self.missing
