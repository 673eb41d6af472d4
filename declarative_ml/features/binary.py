"""Binary columns: two values, one of them the positive one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from declarative_ml.core.errors import DataError
from declarative_ml.features.base import Encoded, EncodedBlocks, Feature, Placed, State
from declarative_ml.features.look_up import look_up
from declarative_ml.graph.blocks import Block
from declarative_ml.learning.dataset import Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile, LevelStatistics

_AFFIRMATIVE = frozenset({"yes", "y", "true", "t", "1", "on", "positive", "present"})


class Binary(Feature):
    """Two values: texts, booleans or whole numbers. Raw: 0, 1, NaN. Scaled: -1, +1; 0 missing, unseen."""

    type: Literal["binary"] = "binary"
    raw_dtype: ClassVar[Literal["float32", "string"]] = "string"

    @classmethod
    def infer(cls, column: ColumnProfile) -> Binary | None:
        """Booleans, and texts or whole numbers with exactly two values."""
        two = column.distinct == 2 and column.distinct_exact
        return cls() if column.dtype == "bool" or (two and column.dtype in ("int64", "string")) else None

    def accumulator(self) -> LevelStatistics:
        """Counts of the values."""
        from declarative_ml.learning.statistics import LevelStatistics

        return LevelStatistics()

    def fit(self, statistics: LevelStatistics) -> State:  # type: ignore[override]
        """Which value is 0 and which is 1. Raises DataError for a third value in the training rows."""
        values = sorted(statistics.counts)
        if len(values) > 2:
            shown = ", ".join(repr(value) for value, _ in statistics.levels[:3])
            raise DataError(
                f"it is binary and has {len(values)} different values in the training rows: {shown}, …",
                hint="declare the column as `category`",
            )
        ordered = sorted(values, key=lambda value: value.strip().lower() in _AFFIRMATIVE)
        return {"values": ordered}

    def layout(self, name: str, state: State) -> Layout:
        """One raw and one scaled column."""
        return Layout(raw=(name,), scaled=(name,))

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        known = pa.array(state["values"], type=pa.string())
        found = pc.index_in(values, value_set=known).fill_null(2).to_numpy()
        nothing = [np.nan] * (3 - len(known))
        raw = np.array([*_numbers(state), *nothing], dtype=np.float32)
        scaled = np.nan_to_num(2 * raw - 1, nan=0.0)
        return Encoded(
            raw=raw[found][:, None],
            scaled=scaled[found][:, None],
            codes=np.empty((len(values), 0), dtype=np.int32),
        )

    @classmethod
    def columns_to_onnx(cls, graph: OnnxGraph, columns: Sequence[Placed]) -> EncodedBlocks:
        """See Feature.columns_to_onnx: two table look-ups."""
        tensors = [column.tensor for column in columns]
        keys = [["", *column.state["values"]] for column in columns]
        numbers = [_numbers(column.state) for column in columns]

        def looked_up(kind: str, values: Sequence[list[float]], default: float) -> Block:
            flat = [value for column in values for value in (default, *column)]
            found = look_up(graph, tensors, keys, values_floats=flat, default_float=default)
            return Block(found, tuple(place for column in columns for place in column.places(kind)))

        raw = looked_up("raw", numbers, float("nan"))
        scaled = looked_up("scaled", [[2 * value - 1 for value in column] for column in numbers], 0.0)
        return EncodedBlocks(raw=[raw], scaled=[scaled])

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field."""
        return {"type": ["string", "null"], "examples": state["values"], "enum": [*state["values"], None]}

    def reference(self, statistics: LevelStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Training counts of the two values."""
        seen = statistics.counts
        return {
            "kind": "category",
            "levels": state["values"],
            "counts": [seen[value] for value in state["values"]],
            "other": 0,
            "missing": statistics.missing,
            "rows": statistics.rows,
        }


def _numbers(state: State) -> list[float]:
    """The number of each value: 0 and 1; a lone affirmative value is 1."""
    values = state["values"]
    if len(values) == 1:
        return [float(values[0].strip().lower() in _AFFIRMATIVE)]
    return [0.0, 1.0][: len(values)]
