"""What tree models share: the columns that they split on, a number target in its own spread, the graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.learning import sums
from declarative_ml.models.base import Model, State
from declarative_ml.models.tree_graph import Tree, add_tree_ensemble, gain_by_feature

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
    from declarative_ml.learning.task import Task


_BLOCK_ROWS = 1 << 15


def require_columns(layout: Layout, model: str) -> None:
    """Raise DataError where there is no column to split on."""
    if not layout.raw and not layout.codes:
        raise DataError(
            f"{model} has no column to split on",
            hint="give it a number, date or category column, or choose the model linear",
        )


def matrix(data: Dataset, chosen: slice = slice(None)) -> np.ndarray:
    """[N, R + C] float32 of a stretch of rows: numbers with NaN = missing, then codes (exact in float32 below
    2^24)."""
    import numpy as np

    split = data.raw.shape[1]
    first, last, _ = chosen.indices(len(data))
    found = np.empty((max(last - first, 0), split + data.codes.shape[1]), dtype=np.float32)
    for start in range(first, last, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, last))
        block = found[start - first : rows.stop - first]
        block[:, :split], block[:, split:] = data.raw[rows], data.codes[rows]
    return found


def matrix_tensor(graph: OnnxGraph, names: EncodedNames) -> str:
    """The same as a tensor of the graph."""
    parts = [names.raw] if names.raw is not None else []
    if names.codes is not None:
        parts.append(graph.cast(names.codes, "float32"))
    return graph.concat(parts)


def shares(gains: np.ndarray, layout: Layout) -> dict[str, float]:
    """The share of the total of `gains` [R + C] that each column has; sums to 1 if any gain is above 0."""
    columns = [*layout.raw, *(column.name for column in layout.codes)]
    found: dict[str, float] = {}
    for name, share in zip(columns, (gains / max(float(gains.sum()), 1e-300)).tolist(), strict=True):
        found[name] = found.get(name, 0.0) + share
    return found


def place_and_scale(train: Dataset, task: Task) -> tuple[float, float]:
    """Mean and standard deviation (1 where it is 0) of a number target; 0 and 1 for classes."""
    if task.is_classification:
        return 0.0, 1.0
    place, spread = sums.place_and_scale(train.target, train.weight)
    return place, spread or 1.0


def class_shares(train: Dataset, task: Task) -> np.ndarray:
    """The share of each class among the weighted rows [classes], by Laplace's rule: none is 0."""
    import numpy as np

    counts = np.bincount(np.asarray(train.target), weights=train.weight, minlength=len(task.classes)) + 1.0
    found: np.ndarray = counts / counts.sum()
    return found


class TreeModel(Model):
    """A model that is a sum of trees over [raw | codes], times the state's `scale`, plus its `offset`."""

    @abstractmethod
    def forest(self, state: State) -> list[Tree]:
        """The trees of a fit: tree i adds to column i % width of the margins."""

    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """See Model.to_onnx."""
        return self.mean_to_onnx(graph, [state], names, layout, task)

    def mean_to_onnx(
        self, graph: OnnxGraph, states: Sequence[State], names: EncodedNames, layout: Layout, task: Task
    ) -> str:
        """See Model.mean_to_onnx: one TreeEnsemble holds the trees of all fits."""
        import numpy as np

        scaled: list[Tree] = []
        for state in states:
            factor = state["scale"] / len(states)
            scaled += [replace(tree, leaf=tree.leaf * factor) for tree in self.forest(state)]
        margins = add_tree_ensemble(graph, matrix_tensor(graph, names), scaled, task.width)
        offset = np.mean([np.broadcast_to(state["offset"], (task.width,)) for state in states], axis=0)
        if not offset.any():
            return margins
        return graph.add("Add", [margins, graph.constant(offset.reshape(1, -1), "float32")])

    def importance(self, state: State, layout: Layout) -> dict[str, float]:
        """The share of the total gain that each column's splits brought; sums to 1 if any split exists."""
        return shares(gain_by_feature(self.forest(state), len(layout.raw) + len(layout.codes)), layout)
