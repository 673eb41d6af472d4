"""Encoded rows, as models see them: three arrays with one meaning each.

    raw     [N, R] float32   numbers in their own unit, NaN = missing        (trees split on these)
    scaled  [N, S] float32   finite, about unit scale, missing indicated     (linear and neural models)
    codes   [N, C] int32     0 = missing, 1 = unseen or rare, 2.. = levels   (embeddings, one-hot, tree sets)

Each feature contributes columns to any of the three; a model reads those it wants. The graph
computes the same three tensors from the raw columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from declarative_ml.core.component import Section

if TYPE_CHECKING:
    import numpy as np


class CodeColumn(Section):
    """One column of codes and how many different codes it has, the two reserved ones included."""

    name: str
    cardinality: int


class Layout(Section):
    """The names of the columns of `raw`, `scaled` and `codes`, in order."""

    raw: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()
    codes: tuple[CodeColumn, ...] = Field(default=())

    def __add__(self, other: Layout) -> Layout:
        return Layout(
            raw=self.raw + other.raw, scaled=self.scaled + other.scaled, codes=self.codes + other.codes
        )


@dataclass(frozen=True)
class EncodedNames:
    """The same three as tensor names in the graph; None where the feature has no such columns.

    `raw` and `scaled` are float32, `codes` is int64 [N, 1].
    """

    raw: str | None = None
    scaled: str | None = None
    codes: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Encoded rows with their targets. `target` is int64 class numbers or float64 values, [N]."""

    layout: Layout
    raw: np.ndarray
    scaled: np.ndarray
    codes: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: np.ndarray) -> Dataset:
        """The given rows (integer positions or a boolean mask), copied into memory."""
        import numpy as np

        return Dataset(
            layout=self.layout,
            raw=np.asarray(self.raw[rows]),
            scaled=np.asarray(self.scaled[rows]),
            codes=np.asarray(self.codes[rows]),
            target=np.asarray(self.target[rows]),
            weight=None if self.weight is None else np.asarray(self.weight[rows]),
        )


def open_dataset(folder: Path, layout: Layout) -> Dataset:
    """Memory-map the arrays that the `prepare` step wrote into `folder`."""
    import numpy as np

    def load(name: str) -> np.ndarray:
        array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array

    weight = load("weight") if (folder / "weight.npy").exists() else None
    return Dataset(layout, load("raw"), load("scaled"), load("codes"), load("target"), weight)
