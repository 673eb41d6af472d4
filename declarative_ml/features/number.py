"""Numbers: kept as they are for trees, imputed and scaled for linear and neural models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.features.base import Encoded, EncodedBlocks, Feature, Placed, State
from declarative_ml.graph.blocks import Block
from declarative_ml.learning.dataset import Layout
from declarative_ml.learning.monotone import MONOTONE, Direction

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile, NumberStatistics

_LARGEST = 1.5e38
"""Differences of two values up to this size are still finite in float32."""
_CLOSEST = 1e-37
"""Knots nearer than this are one: their slope would not be finite in float32."""
_CLIP = 8.0
"""The standard scale ends this many deviations from the mean."""
_SOFT_CLIP = 4.0
"""The robust scale never passes this height."""
_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0, 15.0, 20.0, 30.0, 60.0, 200.0)
"""Where the robust scale has its knots, in units on both sides of the median."""
_TAILS = (0.0, 0.001, 0.005, 0.01)
"""Shares at which the quantile scale has a knot, beside every fortieth; the upper tail mirrors them."""

Bounded = Annotated[float, Field(allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST)]


class Number(Feature):
    """A number. Infinity counts as missing. Raw: the value, NaN when missing (trees handle it)."""

    type: Literal["number"] = "number"
    missing: Bounded | Literal["median", "mean", "zero"] = Field(
        default="median",
        description="What a missing value becomes. median, mean: in the scaled column only, trees still see "
        "that it is missing. zero or a number: everywhere, as if it had been written",
    )
    scale: Literal["quantile", "standard", "robust", "minmax", "none"] = Field(
        default="robust",
        description="How linear and neural models see it. robust: by median and quartiles, outliers "
        "compressed; quantile: by rank, towards a normal curve; standard: mean 0, deviation 1, cut at 8; "
        "minmax: 0 to 1; none: as it is",
    )
    monotone: Direction | None = Field(default=None, description=MONOTONE)
    raw_dtype: ClassVar[Literal["float32", "string"]] = "float32"

    @classmethod
    def infer(cls, column: ColumnProfile) -> Number | None:
        """Numeric columns; the shelf asks `binary` before."""
        return cls() if column.dtype in ("int64", "float64") else None

    def accumulator(self) -> NumberStatistics:
        """Moments, range, zeros and a sample of the values."""
        from declarative_ml.learning.statistics import NumberStatistics

        return NumberStatistics()

    def fit(self, statistics: NumberStatistics) -> State:  # type: ignore[override]
        """The fill value, the knots of the piecewise-linear scale, and whether values were missing."""
        import numpy as np

        x, y = self._knots(statistics)
        return {
            "fill": float(np.float32(self._fill(statistics))),
            "x": x,
            "y": y,
            "indicator": statistics.missing > 0,
            "min": statistics.min,
            "max": statistics.max,
            "median": float(statistics.quantiles([0.5])[0]) if statistics.present else None,
            "integral": statistics.integral,
        }

    def _fill(self, statistics: NumberStatistics) -> float:
        if isinstance(self.missing, float):
            return self.missing
        if self.missing == "zero" or not statistics.present:
            return 0.0
        value = statistics.mean if self.missing == "mean" else statistics.quantiles([0.5])[0]
        return min(max(float(value or 0.0), -_LARGEST), _LARGEST)

    def _knots(self, statistics: NumberStatistics) -> tuple[list[float], list[float]]:
        """The scale as points (x, y): linear between them, constant outside; none at all = as it is."""
        if self.scale == "none":
            return [], []
        if not statistics.present:
            return [0.0], [0.0]
        if self.scale == "quantile":
            return _normal_scores(statistics)
        if self.scale == "robust":
            return _robust_knots(statistics)
        heights = [0.0, 1.0] if self.scale == "minmax" else [-_CLIP, _CLIP]
        return _distinct_knots([*_straight_ends(statistics, self.scale)], heights)

    def _fills_raw(self) -> bool:
        return self.missing not in ("median", "mean")

    def layout(self, name: str, state: State) -> Layout:
        """raw: the value. scaled: the scaled value, and whether it is missing if any was in training."""
        return Layout(raw=(name,), scaled=(name, f"{name}.missing") if state["indicator"] else (name,))

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode; scaled values are within the range of the state's knots."""
        import numpy as np
        import pyarrow as pa

        number = values.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        missing = ~np.isfinite(number)
        filled = np.where(missing, np.float32(state["fill"]), number)
        raw = filled if self._fills_raw() else np.where(missing, np.float32(np.nan), number)
        scaled = [np.interp(filled, state["x"], state["y"]) if state["x"] else filled]
        if state["indicator"]:
            scaled.append(missing)
        return Encoded(
            raw=raw.astype(np.float32)[:, None],
            scaled=np.stack(scaled, axis=1).astype(np.float32),
            codes=np.empty((len(number), 0), dtype=np.int32),
        )

    @classmethod
    def columns_to_onnx(cls, graph: OnnxGraph, columns: Sequence[Placed]) -> EncodedBlocks:
        """See Feature.columns_to_onnx."""
        import numpy as np

        values = graph.concat([column.tensor for column in columns])
        # x - x is 0 for a finite x, NaN for NaN and both infinities.
        missing = graph.add("IsNaN", [graph.add("Sub", [values, values])])
        fills = np.array([[column.state["fill"] for column in columns]], dtype=np.float32)
        filled = graph.add("Where", [missing, graph.constant(fills), values])
        kept = [column.feature._fills_raw() for column in columns]  # type: ignore[attr-defined]
        raw = filled
        if not all(kept):
            blank = graph.constant(np.where([kept], fills, np.float32(np.nan)))
            raw = graph.add("Where", [missing, blank, values])
        flagged = [number for number, column in enumerate(columns) if column.state["indicator"]]
        scaled = _scaled(graph, filled, columns)
        if flagged:
            flags = graph.cast(missing, "float32")
            flags = flags if len(flagged) == len(columns) else graph.take(flags, flagged)
            scaled.append(Block(flags, tuple(columns[number].places("scaled")[1] for number in flagged)))
        places = tuple(place for column in columns for place in column.places("raw"))
        return EncodedBlocks(raw=[Block(raw, places)], scaled=scaled)

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field; the description tells the range of the training values."""
        if state["median"] is None:
            return {"type": ["number", "null"]}
        whole = int if state["integral"] else float
        low, high, median = (whole(state[key]) for key in ("min", "max", "median"))
        return {
            "type": ["number", "null"],
            "description": f"training values from {low:.6g} to {high:.6g}",
            "examples": [median],
        }

    def reference(self, statistics: NumberStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Twenty bins of about equal counts; see `learning.histograms.quantile_bins`."""
        from declarative_ml.learning.histograms import quantile_bins

        return {"kind": "number", **quantile_bins(statistics)}


def _straight_ends(statistics: NumberStatistics, scale: str) -> tuple[float, float]:
    """Where a linear scale ends: at min and max, or _CLIP deviations from the mean."""
    low, mean, high = (float(value or 0.0) for value in (statistics.min, statistics.mean, statistics.max))
    reach = _CLIP * float(statistics.std or 0.0)
    return (low, high) if scale == "minmax" else (mean - reach, mean + reach)


def _robust_knots(statistics: NumberStatistics) -> tuple[list[float], list[float]]:
    """z / sqrt(1 + (z / 4)^2), with z from median and quartiles: a smooth clip.

    D. Holzmueller et al., "Better by default: strong pre-tuned MLPs", NeurIPS 2024. A column that is
    mostly one value has no quartile distance: its deviation takes the place.
    """
    first, median, third = statistics.quantiles([0.25, 0.5, 0.75]).tolist()
    # 1.349 deviations lie between the quartiles of a normal curve.
    unit = (third - first) / 1.349 or float(statistics.std or 0.0)
    z = [-step for step in reversed(_STEPS)] + [0.0, *_STEPS]
    heights = [value / math.sqrt(1 + (value / _SOFT_CLIP) ** 2) for value in z]
    return _distinct_knots([median + unit * value for value in z], heights)


def _normal_scores(statistics: NumberStatistics) -> tuple[list[float], list[float]]:
    """Knots at quantiles, their heights the normal scores of the middle ranks of their values."""
    import numpy as np

    sample = statistics.sample
    inner = np.linspace(0, 1, 41)[1:-1]
    shares = np.concatenate([_TAILS, inner, 1 - np.array(_TAILS[::-1])])
    x = np.unique(np.quantile(sample, shares, method="closest_observation"))
    below, up_to = np.searchsorted(sample, x, "left"), np.searchsorted(sample, x, "right")
    ranks = (below + up_to) / (2 * len(sample))
    normal = NormalDist()
    return _distinct_knots(x.tolist(), [normal.inv_cdf(float(rank)) for rank in ranks])


def _distinct_knots(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """The knots as float32 values, those that fall together in float32 merged to their mean height."""
    import numpy as np

    knots = np.clip(np.asarray(x), -_LARGEST, _LARGEST).astype(np.float32).astype(np.float64)
    heights = np.asarray(y)
    group = np.concatenate([[0], np.cumsum(np.diff(knots) > _CLOSEST)])
    merged = np.bincount(group, weights=heights) / np.bincount(group)
    first = np.unique(group, return_index=True)[1]
    return knots[first].tolist(), merged.astype(np.float32).astype(np.float64).tolist()


def _scaled(graph: OnnxGraph, filled: str, columns: Sequence[Placed]) -> list[Block]:
    """The scaled values of `filled` [N, columns]: those with knots, and those that stay as they are."""
    blocks = []
    bent = [number for number, column in enumerate(columns) if column.state["x"]]
    plain = [number for number, column in enumerate(columns) if not column.state["x"]]
    for numbers in (bent, plain):
        if not numbers:
            continue
        part = filled if len(numbers) == len(columns) else graph.take(filled, numbers)
        if numbers is bent:
            part = _piecewise(graph, part, [columns[number].state for number in numbers])
        blocks.append(Block(part, tuple(columns[number].places("scaled")[0] for number in numbers)))
    return blocks


def _piecewise(graph: OnnxGraph, tensor: str, states: Sequence[State]) -> str:
    """Each column of `tensor` [N, k] by the piecewise-linear function through its knots.

    That is the sum of what it covers of each segment. Columns with fewer knots get segments of no length.
    """
    import numpy as np

    most = max(2, *(len(state["x"]) for state in states))
    x, y = (
        np.array([state[axis] + state[axis][-1:] * (most - len(state[axis])) for state in states])
        for axis in ("x", "y")
    )
    width = np.diff(x)
    steep = np.divide(np.diff(y), width, out=np.zeros_like(width), where=width > 0)
    slopes = graph.constant(steep, "float32")
    low, high = (graph.constant(ends, "float32") for ends in (x[:, :-1], x[:, 1:]))
    each = graph.add("Unsqueeze", [tensor, graph.constant([2], "int64")])  # [N, k, 1]
    covered = graph.add("Sub", [graph.add("Min", [graph.add("Max", [each, low]), high]), low])
    rises = graph.add("Mul", [covered, slopes])
    rise = graph.add("ReduceSum", [rises, graph.constant([2], "int64")], keepdims=0)
    return graph.add("Add", [rise, graph.constant(y[:, :1].T, "float32")])
