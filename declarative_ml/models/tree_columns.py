"""What tree models share: the columns that they split on, a number target in its own spread, the graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.learning import sums
from declarative_ml.models.base import Model, State
from declarative_ml.models.target_statistics import TargetStatistics, learn_statistics, level_starts
from declarative_ml.models.tree_graph import Tree, add_tree_ensemble, gain_by_feature
from declarative_ml.models.tree_order import order_by_rows

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
    from declarative_ml.learning.task import Task


_BLOCK_ROWS = 1 << 15
_STATISTICS = "statistics"
"""The entry of a state that holds the statistics of categories [L, K]; absent where trees do not see them."""


def require_columns(layout: Layout, model: str) -> None:
    """Raise DataError where there is no column to split on."""
    if not layout.raw and not layout.codes:
        raise DataError(
            f"{model} has no column to split on",
            hint="give it a number, date or category column, or choose the model linear",
        )


@dataclass(frozen=True)
class TreeRows:
    """Rows as trees see them: numbers, codes of categories, statistics of the target by category."""

    data: Dataset
    codes: bool = True
    """Whether the codes are among the columns."""
    statistics: TargetStatistics | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def kinds(self) -> list[str]:
        """Of each column: `q` for a number, `c` for codes of categories."""
        numbers = 0 if self.statistics is None else self.statistics.width
        return ["q"] * self.data.raw.shape[1] + ["c"] * self._codes + ["q"] * numbers

    @property
    def size(self) -> int:
        """The number of values."""
        return len(self) * len(self.kinds)

    @property
    def _codes(self) -> int:
        return int(self.data.codes.shape[1]) if self.codes else 0

    def matrix(self, chosen: slice = slice(None)) -> np.ndarray:
        """[n, columns] float32 of a stretch of rows: NaN = missing, codes exact below 2^24."""
        import numpy as np

        first, last, _ = chosen.indices(len(self))
        found = np.empty((max(last - first, 0), len(self.kinds)), dtype=np.float32)
        ends = np.cumsum([self.data.raw.shape[1], self._codes])
        for start in range(first, last, _BLOCK_ROWS):
            rows = slice(start, min(start + _BLOCK_ROWS, last))
            numbers, levels, means = np.split(found[start - first : rows.stop - first], ends, axis=1)
            numbers[:] = self.data.raw[rows]
            if self._codes or self.statistics is not None:
                codes = self.data.codes[rows]
                levels[:] = codes[:, : self._codes]
                if self.statistics is not None:
                    means[:] = self.statistics.of(codes, start)
        return found

    def directions(self, monotone: Mapping[str, int]) -> list[int]:
        """The direction of each column; 0 where none is asked for."""
        numbers = [monotone.get(name, 0) for name in self.data.layout.raw]
        return numbers + [0] * (len(self.kinds) - len(numbers))


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
    """A sum of trees over the columns of TreeRows, times the `scale` of the state, plus its `offset`."""

    categories: Literal["native", "target", "both"] = Field(
        default="native",
        description="What trees see of categories: levels (`native`), how the target is in them on average,"
        " as known from other rows (`target`), or both",
    )
    target_smoothing: float | None = Field(
        default=None,
        gt=0.0,
        description="`target`, `both`: rows with the mean of the whole table that are added to each level's;"
        " absent: estimated for each column",
    )

    @abstractmethod
    def forest(self, state: State) -> list[Tree]:
        """The trees of a fit: tree i adds to column i % width of the margins."""

    def learn_rows(self, train: Dataset, task: Task) -> tuple[TreeRows, State]:
        """The rows of a fit as its trees see them, and what of it belongs to the state."""
        if self.categories == "native" or not train.layout.codes:
            return TreeRows(train), {}
        whole, own = learn_statistics(train, task, self.target_smoothing)
        return TreeRows(train, self.categories == "both", own), {_STATISTICS: whole.tables[0]}

    def rows(self, data: Dataset, state: State) -> TreeRows:
        """Other rows as the trees of a fit see them."""
        if _STATISTICS not in state:
            return TreeRows(data)
        seen = TargetStatistics(state[_STATISTICS][None], level_starts(data.layout))
        return TreeRows(data, self.categories == "both", seen)

    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """See Model.to_onnx."""
        return self.mean_to_onnx(graph, [state], names, layout, task)

    def mean_to_onnx(
        self, graph: OnnxGraph, states: Sequence[State], names: EncodedNames, layout: Layout, task: Task
    ) -> str:
        """See Model.mean_to_onnx: one TreeEnsemble holds the trees of all fits.

        Statistics are looked up for all fits at once: of each column and output, those of all fits.
        """
        import numpy as np

        means = len(self._columns(states[0], layout)) - self._plain(states[0], layout)
        scaled: list[Tree] = []
        for number, state in enumerate(states):
            factor, plain = state["scale"] / len(states), self._plain(state, layout)
            place = np.arange(plain + means)
            place[plain:] = plain + (place[plain:] - plain) * len(states) + number
            for tree in self.forest(state):
                scaled.append(replace(tree, leaf=tree.leaf * factor, feature=place[tree.feature]))
        columns = self._plain(states[0], layout) + means * len(states)
        tensor, ordered = order_by_rows(graph, self._tensor(graph, states, names, layout), scaled, columns)
        margins = add_tree_ensemble(graph, tensor, ordered, task.width)
        offset = np.mean([np.broadcast_to(state["offset"], (task.width,)) for state in states], axis=0)
        if not offset.any():
            return margins
        return graph.add("Add", [margins, graph.constant(offset.reshape(1, -1), "float32")])

    def _tensor(self, graph: OnnxGraph, states: Sequence[State], names: EncodedNames, layout: Layout) -> str:
        """The columns of TreeRows for several fits."""
        import numpy as np

        parts = [names.raw] if names.raw is not None else []
        if names.codes is not None and self._sees_codes(states[0]):
            parts.append(graph.cast(names.codes, "float32"))
        if names.codes is not None and _STATISTICS in states[0]:
            table = np.stack([state[_STATISTICS] for state in states], axis=2)  # [L, K, fits]
            starts = graph.constant(level_starts(layout).reshape(1, -1), "int64")
            levels = graph.add("Add", [names.codes, starts])
            found = graph.add("Gather", [graph.constant(table.reshape(len(table), -1), "float32"), levels])
            width = len(layout.codes) * table[0].size
            parts.append(graph.add("Reshape", [found, graph.constant([-1, width], "int64")]))
        return graph.concat(parts)

    def _sees_codes(self, state: State) -> bool:
        return _STATISTICS not in state or self.categories == "both"

    def _plain(self, state: State, layout: Layout) -> int:
        """How many columns are no statistics."""
        return len(layout.raw) + (len(layout.codes) if self._sees_codes(state) else 0)

    def _columns(self, state: State, layout: Layout) -> list[str]:
        """The column of the layout that each column of TreeRows comes from."""
        names = [column.name for column in layout.codes]
        plain = [*layout.raw, *(names if self._sees_codes(state) else [])]
        if _STATISTICS not in state:
            return plain
        return plain + [name for name in names for _ in range(state[_STATISTICS].shape[1])]

    def importance(self, state: State, layout: Layout) -> dict[str, float]:
        """The share of the total gain that each column's splits brought; sums to 1 if any split exists."""
        columns = self._columns(state, layout)
        gains = self.gains(state, len(columns))
        found: dict[str, float] = {}
        for name, share in zip(columns, (gains / max(float(gains.sum()), 1e-300)).tolist(), strict=True):
            found[name] = found.get(name, 0.0) + share
        return found

    def gains(self, state: State, columns: int) -> np.ndarray:
        """The total gain of the splits on each of so many columns of TreeRows."""
        return gain_by_feature(self.forest(state), columns)
