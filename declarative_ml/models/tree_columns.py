"""What tree models share: the columns that they split on, and a number target in its own spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
    from declarative_ml.learning.task import Task


def require_columns(layout: Layout, model: str) -> None:
    """Raise DataError where there is no column to split on."""
    if not layout.raw and not layout.codes:
        raise DataError(
            f"{model} has no column to split on",
            hint="give it a number, date or category column, or choose the model linear",
        )


def matrix(data: Dataset) -> np.ndarray:
    """[N, R + C] float32: numbers with NaN = missing, then codes (exact in float32 below 2^24)."""
    import numpy as np

    return np.concatenate([data.raw, np.asarray(data.codes, dtype=np.float32)], axis=1)


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
    import numpy as np

    if task.is_classification:
        return 0.0, 1.0
    place = float(np.average(train.target, weights=train.weight))
    spread = float(np.sqrt(np.average((train.target - place) ** 2, weights=train.weight)))
    return place, spread or 1.0


def class_shares(train: Dataset, task: Task) -> np.ndarray:
    """The share of each class among the weighted rows [classes], by Laplace's rule: none is 0."""
    import numpy as np

    counts = np.bincount(train.target, weights=train.weight, minlength=len(task.classes)) + 1.0
    found: np.ndarray = counts / counts.sum()
    return found


def in_own_unit(graph: OnnxGraph, margins: str, offset: np.ndarray, scale: np.ndarray) -> str:
    """`margins * scale + offset`, without what changes nothing."""
    if (scale != 1.0).any():
        margins = graph.add("Mul", [margins, graph.constant(scale, "float32")])
    if (offset != 0.0).any():
        margins = graph.add("Add", [margins, graph.constant(offset, "float32")])
    return margins
