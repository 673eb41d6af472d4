"""What every feature type knows, all in its one file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from declarative_ml.core.component import Component
from declarative_ml.graph.blocks import Block, join
from declarative_ml.learning.dataset import EncodedNames, Layout, WeighTerms

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from scipy.sparse import csr_matrix

    from declarative_ml.core.reading import AnyReading
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import Accumulator, ColumnProfile

KINDS = ("raw", "scaled", "codes")
"""Of columns that the graph holds as tensors."""

State = dict[str, Any]
"""What `fit` learned from the training rows: plain JSON."""


@dataclass(frozen=True)
class Encoded:
    """One feature's columns for the arrays of a Dataset; widths as in its layout (0 allowed)."""

    raw: np.ndarray
    scaled: np.ndarray
    codes: np.ndarray
    terms: csr_matrix | None = None
    """Where the layout has a column of terms: float32 [N, its size], what a row holds in any order."""


@dataclass(frozen=True)
class Placed:
    """A column in the graph: its feature, its raw input, and where its encoding goes in the whole layout."""

    feature: Feature
    tensor: str
    state: State
    layout: Layout
    starts: Mapping[str, int] = field(default_factory=dict)
    """By kind, the place of the first column of `layout` among those of all."""
    number: int = 0
    """Its own place among the columns of the table."""

    def places(self, kind: str) -> tuple[int, ...]:
        """Where the columns of a kind of its layout go."""
        start = self.starts.get(kind, 0)
        return tuple(range(start, start + len(getattr(self.layout, kind))))


@dataclass(frozen=True)
class EncodedBlocks:
    """What several columns add to the graph: blocks with their places, and terms with their columns'."""

    raw: list[Block] = field(default_factory=list)
    scaled: list[Block] = field(default_factory=list)
    codes: list[Block] = field(default_factory=list)
    terms: list[tuple[int, WeighTerms]] = field(default_factory=list)


class Feature(Component):
    """A column's type. `fit` sees training rows only; `encode` and `to_onnx` must agree bit for bit
    in `codes` and to float32 rounding in `raw`, `scaled` and `terms`."""

    type: str

    raw_dtype: ClassVar[Literal["float32", "string"]]
    """The dtype of the raw column in the graph: float32 with NaN, or string with "" for missing."""

    @classmethod
    @abstractmethod
    def infer(cls, column: ColumnProfile) -> Self | None:
        """The feature with the options that suit this column, or None when it is of another type."""

    def reading(self) -> AnyReading | None:
        """What turns a raw value into the string that `encode` and the graph take; None: nothing does."""
        return None

    @abstractmethod
    def accumulator(self) -> Accumulator:
        """A fresh, mergeable accumulator of the statistics that `fit` needs."""

    @abstractmethod
    def fit(self, statistics: Accumulator) -> State:
        """Turn the training rows' statistics into the state (JSON)."""

    @abstractmethod
    def layout(self, name: str, state: State) -> Layout:
        """The columns that this feature, of the column `name`, adds to a Dataset."""

    def term_digests(self, state: State) -> np.ndarray:
        """What its terms stand for, uint64 [size]: equal for equal terms of different columns."""
        import numpy as np

        return np.zeros(0, dtype=np.uint64)

    @abstractmethod
    def encode(self, values: pa.Array, state: State) -> Encoded:
        """Encode a block of raw values: float32 with nulls or NaN, or string with nulls or ""."""

    def block_encoder(self, state: State) -> Callable[[pa.Array], Encoded]:
        """`encode` for many blocks: a type whose state takes time to read reads it once."""
        return lambda values: self.encode(values, state)

    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """Add the same encoding to the graph, reading the raw input `tensor` [N, 1].

        A type has this, or `columns_to_onnx`.
        """
        found = self.columns_to_onnx(graph, [Placed(self, tensor, state, self.layout("", state))])
        return EncodedNames(
            raw=join(graph, found.raw), scaled=join(graph, found.scaled), codes=join(graph, found.codes)
        )

    @classmethod
    def columns_to_onnx(cls, graph: OnnxGraph, columns: Sequence[Placed]) -> EncodedBlocks:
        """The same for several columns of this type at once: a row's time goes by the nodes of the graph."""
        found = EncodedBlocks()
        for column in columns:
            names = column.feature.to_onnx(graph, column.tensor, column.state)
            for kind in KINDS:
                if (tensor := getattr(names, kind)) is not None:
                    getattr(found, kind).append(Block(tensor, column.places(kind)))
            found.terms.extend((column.number, weigh) for weigh in names.terms)
        return found

    @abstractmethod
    def field(self, state: State) -> dict[str, Any]:
        """JSON Schema of the column in a request, with examples and, for few levels, `enum`."""

    @abstractmethod
    def reference(self, statistics: Accumulator, state: State) -> dict[str, Any]:
        """The training histogram that drift is measured against (JSON): bins or levels, counts, missing."""
