"""Encoded rows, as models see them: four arrays with one meaning each.

    raw     [N, R] float32   numbers in their own unit, NaN = missing        (trees split on these)
    scaled  [N, S] float32   finite, about unit scale, missing indicated     (linear and neural models)
    codes   [N, C] int32     0 = missing, 1 = unseen or rare, 2.. = levels   (embeddings, one-hot, tree sets)
    terms   [N, T] float32   sparse: which terms texts hold, and how much    (linear models)

Each feature contributes columns to any of the four; a model reads those it wants. The graph computes the
first three as tensors from the raw columns; `terms` never becomes a tensor there, only its product with
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.graph.blocks import Block
from declarative_ml.learning.disk_rows import DiskRows, rows_at, write_rows
from declarative_ml.learning.selection import Selection
from declarative_ml.learning.terms import Terms, has_terms, open_terms

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

WeighTerms = Callable[["OnnxGraph", "np.ndarray"], str]
"""Adds terms @ weights to the graph, for the terms of one column and weights [T, K]: the tensor [N, K]."""

_BLOCK_ROWS = 1 << 14
"""Rows that are copied at a time."""


class CodeColumn(Section):
    """One column of codes and how many different codes it has, the two reserved ones included."""

    name: str
    cardinality: int


class TermColumn(Section):
    """One column of texts: how many terms it has, and the columns of `scaled` that say the same in short."""

    name: str
    size: int
    summary: tuple[str, ...] = ()


class Layout(Section):
    """The names of the columns of `raw`, `scaled`, `codes` and `terms`, in order."""

    raw: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()
    codes: tuple[CodeColumn, ...] = Field(default=())
    terms: tuple[TermColumn, ...] = Field(default=())

    def __add__(self, other: Layout) -> Layout:
        return Layout(
            raw=self.raw + other.raw,
            scaled=self.scaled + other.scaled,
            codes=self.codes + other.codes,
            terms=self.terms + other.terms,
        )


@dataclass(frozen=True)
class EncodedNames:
    """The same in the graph: three tensor names, None where the feature has no such columns.

    `raw` and `scaled` are float32, `codes` is int64. `terms` has one entry a column of terms.
    """

    raw: str | None = None
    scaled: str | None = None
    codes: str | None = None
    terms: tuple[WeighTerms, ...] = ()
    scaled_blocks: tuple[Block, ...] = ()
    """What `scaled` is joined of, for those that need only some of it."""


@dataclass(frozen=True)
class Dataset:
    """Encoded rows with their targets. `target` is int64 class numbers or float64 values, [N].

    Without `terms` a model has to do with the rest, whatever the layout says.
    """

    layout: Layout
    raw: np.ndarray | DiskRows
    scaled: np.ndarray | DiskRows
    codes: np.ndarray | DiskRows
    target: np.ndarray | DiskRows
    weight: np.ndarray | None = None
    terms: Terms | None = None
    unit: np.ndarray | None = None
    """[N] whole numbers, where rows belong together: who divides rows leaves those of a unit in one part."""

    def __len__(self) -> int:
        return len(self.target)

    def view(self, rows: np.ndarray | Selection) -> Dataset:
        """The rows at ascending positions, or of a mask; what is on disk stays there."""
        import numpy as np

        return Dataset(
            layout=self.layout,
            raw=rows_at(self.raw, rows),
            scaled=rows_at(self.scaled, rows),
            codes=rows_at(self.codes, rows),
            target=rows_at(self.target, rows),
            weight=None if self.weight is None else np.asarray(self.weight[np.asarray(rows)]),
            terms=None if self.terms is None else self.terms.view(rows),
            unit=None if self.unit is None else self.unit[np.asarray(rows)],
        )

    def blocks(self, rows: int) -> Iterator[Dataset]:
        """Stretches of so many rows (the last may have fewer), each in memory."""
        import numpy as np

        for start in range(0, len(self), rows):
            yield self.take(np.arange(start, min(start + rows, len(self))))

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
            terms=None if self.terms is None else self.terms.take(rows),
            unit=None if self.unit is None else self.unit[rows],
        )


def save_dataset(folder: Path, data: Dataset) -> None:
    """Write what `open_dataset` reads, without terms; of rows on disk a block at a time is in memory."""
    folder.mkdir(parents=True)
    starts = range(0, len(data), _BLOCK_ROWS)
    weight = {} if data.weight is None else {"weight": data.weight}
    arrays = {"raw": data.raw, "scaled": data.scaled, "codes": data.codes, "target": data.target, **weight}
    for name, array in arrays.items():
        blocks = (array[start : start + _BLOCK_ROWS] for start in starts)
        write_rows(folder / f"{name}.npy", len(data), blocks)


def open_dataset(folder: Path, layout: Layout) -> Dataset:
    """What the `prepare` step wrote into `folder`; of it, weights are read at once."""
    import numpy as np

    path = folder / "weight.npy"
    weight = np.load(path, allow_pickle=False) if path.exists() else None
    terms = open_terms(folder) if has_terms(folder) else None
    raw, scaled, codes, target = (
        DiskRows(folder / f"{name}.npy") for name in ("raw", "scaled", "codes", "target")
    )
    return Dataset(layout, raw, scaled, codes, target, weight, terms)
