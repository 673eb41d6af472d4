"""Rows for `mlp` as tensors: all of them held in memory, or as many at a time as a pool holds.

Which of the two is decided by the size of the rows alone, so that a result does not depend on the memory of
the machine. Rows come in the order of their hashes, and so every stretch of them is a sample of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.learning.row_order import STRETCHES

if TYPE_CHECKING:
    import torch

POOL_BYTES = 128 << 20
"""What scaled columns and codes of the rows in a pool take."""


def pool_rows(layout: Layout, batch_size: int) -> int:
    """The rows of a pool, a multiple of STRETCHES and no less than a batch."""
    row = 4 * len(layout.scaled) + 8 * len(layout.codes)
    return max(POOL_BYTES // max(row, 1) // STRETCHES, -(-batch_size // STRETCHES)) * STRETCHES


class Rows:
    """Scaled, codes (offset into the table), target and weight (mean 1) of rows, as tensors.

    Rows beyond one pool are read in stretches. `take` must then be asked for the rows of one pool after
    those of another, as `row_order.epoch_order` orders them.
    """

    def __init__(
        self, data: Dataset, offsets: np.ndarray, most: int, as_target: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """`most`: the rows of a pool; `as_target` makes of targets what the loss takes."""
        import torch

        self._data, self._offsets, self._as_target = data, offsets, as_target
        self._stretch = most // STRETCHES
        self._mean_weight = None if data.weight is None else np.mean(data.weight)
        self.whole = len(data) <= most
        self.numbers, *self._others = self._read(0, len(data) if self.whole else 0)
        if self.whole:
            return
        self.numbers, *self._others = (
            torch.empty(most, *tensor.shape[1:], dtype=tensor.dtype)
            for tensor in (self.numbers, *self._others)
        )
        self._held = torch.full((-(-len(data) // self._stretch),), -1)
        """Where each stretch of rows is in the pool, counted in stretches; -1: it is not there."""
        self._filled = 0

    def __len__(self) -> int:
        return len(self._data)

    def take(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The rows at the positions `rows` [n], in any order."""
        import torch

        places = rows if self.whole else self._placed(rows)
        if places is None:  # some rows are of the pool before, and some of the next one
            there = self._held[rows // self._stretch] >= 0
            order = torch.cat([torch.nonzero(there)[:, 0], torch.nonzero(~there)[:, 0]])
            parts = [self.take(rows[there]), self.take(rows[~there])]
            back = torch.argsort(order)
            return tuple(torch.cat(tensors).index_select(0, back) for tensors in zip(*parts, strict=True))
        return tuple(tensor.index_select(0, places) for tensor in (self.numbers, *self._others))

    def between(self, start: int, stop: int) -> tuple[torch.Tensor, ...]:
        """The rows from `start` to before `stop`, whatever the pool holds."""
        stop = min(stop, len(self))
        if self.whole:
            return tuple(tensor[start:stop] for tensor in (self.numbers, *self._others))
        return self._read(start, stop)

    def _placed(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Where the rows are in the pool, filled as needed; None where that would lose some of them."""
        import torch

        stretches = rows // self._stretch
        held = self._held[stretches]
        missing = torch.unique(stretches[held < 0]).tolist()
        if missing:
            if self._filled + len(missing) > STRETCHES:
                if bool((held >= 0).any()):
                    return None
                self._held.fill_(-1)
                self._filled = 0
            self._fill(missing)
            held = self._held[stretches]
        return held * self._stretch + rows % self._stretch

    def _fill(self, stretches: list[int]) -> None:
        for stretch in stretches:
            start = stretch * self._stretch
            found = self._read(start, min(start + self._stretch, len(self)))
            place = self._filled * self._stretch
            for tensor, rows in zip((self.numbers, *self._others), found, strict=True):
                tensor[place : place + len(rows)] = rows
            self._held[stretch] = self._filled
            self._filled += 1

    def _read(self, start: int, stop: int) -> tuple[torch.Tensor, ...]:
        import torch

        rows = slice(start, stop)
        scaled = np.array(self._data.scaled[rows], dtype=np.float32)
        codes = (self._data.codes[rows] + self._offsets).astype(np.int64)
        target = self._as_target(np.asarray(self._data.target[rows]))
        weight = np.ones(stop - start, dtype=np.float32)
        if self._data.weight is not None:
            weight = (self._data.weight[rows] / self._mean_weight).astype(np.float32)
        return tuple(torch.from_numpy(array) for array in (scaled, codes, target, weight))
