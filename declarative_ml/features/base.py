"""What every feature type knows, all in its one file."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from declarative_ml.core.component import Component
from declarative_ml.learning.dataset import EncodedNames, Layout

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from scipy.sparse import csr_matrix

    from declarative_ml.core.reading import Reading
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import Accumulator, ColumnProfile

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


class Feature(Component):
    """A column's type. `fit` sees training rows only; `encode` and `to_onnx` must agree bit for bit
    in `codes` and to float32 rounding in `raw`, `scaled` and `terms`."""

    raw_dtype: ClassVar[Literal["float32", "string"]]
    """The dtype of the raw column in the graph: float32 with NaN, or string with "" for missing."""

    @classmethod
    @abstractmethod
    def infer(cls, column: ColumnProfile) -> Self | None:
        """The feature with the options that suit this column, or None when it is of another type."""

    def reading(self) -> Reading | None:
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

    @abstractmethod
    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """Add the same encoding to the graph, reading the raw input `tensor` [N, 1]."""

    @abstractmethod
    def field(self, state: State) -> dict[str, Any]:
        """JSON Schema of the column in a request, with examples and, for few levels, `enum`."""

    @abstractmethod
    def reference(self, statistics: Accumulator, state: State) -> dict[str, Any]:
        """The training histogram that drift is measured against (JSON): bins or levels, counts, missing."""
