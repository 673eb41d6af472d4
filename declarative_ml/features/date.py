"""Dates: days, calendar parts, and the parts as points on circles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.features.base import Encoded, Feature, State
from declarative_ml.learning.dataset import EncodedNames, Layout
from declarative_ml.learning.monotone import MONOTONE, Direction

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.features.date_graph import DateGraph
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile, DateStatistics

_PERIODS = {"month": 12.0, "weekday": 7.0, "yearday": 365.25, "hour": 24.0}
_CLIP = 4.0
"""Standardised days end this many deviations from their mean."""


class Date(Feature):
    """A date or a moment, as ISO text; other texts are missing.

    Raw: days since 1970-01-01, year, month, day, weekday (0 = Monday), yearday and hour, as far as they
    vary in training; NaN when missing. Scaled: standardised days, sine and cosine of month, weekday,
    yearday and hour, and whether it is missing; 0 when missing. With `monotone`, the days alone: a model that
    sees the month as well can go back and forth within the year.
    """

    type: Literal["date"] = "date"
    monotone: Direction | None = Field(
        default=None, description=f"{MONOTONE}. The parts of the calendar are then not seen"
    )
    raw_dtype: ClassVar[Literal["float32", "string"]] = "string"

    @classmethod
    def infer(cls, column: ColumnProfile) -> Date | None:
        """Columns that were typed as dates."""
        return cls() if column.dtype in ("date", "timestamp") else None

    def accumulator(self) -> DateStatistics:
        """Statistics of the days and the range of each part."""
        from declarative_ml.learning.statistics import DateStatistics

        return DateStatistics()

    def fit(self, statistics: DateStatistics) -> State:  # type: ignore[override]
        """The parts that vary, and the centre and unit of the days."""
        from declarative_ml.learning.iso_dates import PARTS

        days = statistics.days
        wanted = ("days",) if self.monotone else PARTS
        return {
            "parts": [part for part in wanted if statistics.varies(part)],
            "centre": round(days.mean or 0.0),
            "unit": (days.std or 0.0) or 1.0,
            "indicator": statistics.missing > 0,
            "has_time": statistics.has_time,
            "min": days.min,
            "max": days.max,
        }

    def layout(self, name: str, state: State) -> Layout:
        """Columns are called `name.part`; circular ones end in `.sin` and `.cos`."""
        scaled = [f"{name}.days"] if state["parts"] else []
        scaled += [f"{name}.{part}.{curve}" for part in _circular(state) for curve in ("sin", "cos")]
        scaled += [f"{name}.missing"] if state["indicator"] else []
        return Layout(raw=tuple(f"{name}.{part}" for part in state["parts"]), scaled=tuple(scaled))

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode."""
        import numpy as np

        from declarative_ml.learning.iso_dates import PARTS, date_parts

        parts, valid = date_parts(values)
        column = {part: parts[:, index] for index, part in enumerate(PARTS)}
        raw = [np.where(valid, column[part], np.nan) for part in state["parts"]]
        scaled = []
        if state["parts"]:
            standard = (column["days"] - state["centre"]) / state["unit"]
            scaled.append(np.where(valid, np.clip(standard, -_CLIP, _CLIP), 0.0))
        for part in _circular(state):
            angle = column[part] * (2 * math.pi / _PERIODS[part])
            scaled += [np.where(valid, np.sin(angle), 0.0), np.where(valid, np.cos(angle), 0.0)]
        if state["indicator"]:
            scaled.append(~valid)
        codes = np.empty((len(valid), 0), dtype=np.int32)
        return Encoded(_columns(raw, len(valid)), _columns(scaled, len(valid)), codes)

    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """See Feature.to_onnx: the text is split and cast, the calendar is integer arithmetic."""
        from declarative_ml.features.date_graph import DateGraph

        date = DateGraph(graph, tensor)
        raw = scaled = None
        if state["parts"]:
            raw = date.or_else(graph.cast(date.parts(state["parts"]), "float32"), math.nan)
            scaled = date.or_else(self._scaled(graph, date, state), 0.0)
        if state["indicator"]:
            missing = graph.cast(graph.add("Not", [date.valid]), "float32")
            scaled = graph.concat([scaled, missing]) if scaled else missing
        return EncodedNames(raw=raw, scaled=scaled)

    @staticmethod
    def _scaled(graph: OnnxGraph, date: DateGraph, state: State) -> str:
        """The standardised days, without which no part varies, and the points on the circles."""
        circular = _circular(state)
        centres = [[float(state["centre"]), *(0.0 for _ in circular)]]
        units = [[state["unit"], *(_PERIODS[part] / (2 * math.pi) for part in circular)]]
        parts = graph.add("Sub", [date.parts(["days", *circular]), graph.constant(centres, "float64")])
        numbers = graph.cast(graph.add("Div", [parts, graph.constant(units, "float64")]), "float32")
        ends = [graph.constant(end, "float32") for end in (-_CLIP, _CLIP)]
        days = graph.add("Clip", [graph.take(numbers, [0]) if circular else numbers, *ends])
        if not circular:
            return days
        places = range(1, len(circular) + 1)
        angles = graph.take(numbers, places)
        table = graph.concat([days, graph.add("Sin", [angles]), graph.add("Cos", [angles])])
        return graph.take(table, [0, *(at for place in places for at in (place, place + len(circular)))])

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field."""
        from declarative_ml.learning.iso_dates import iso_from_days

        schema: dict[str, Any] = {
            "type": ["string", "null"],
            "description": "YYYY-MM-DDTHH:MM:SS" if state["has_time"] else "YYYY-MM-DD",
        }
        if state["max"] is not None:
            schema["examples"] = [iso_from_days(state["max"], with_time=state["has_time"])]
        return schema

    def reference(self, statistics: DateStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Twenty bins of the days since 1970-01-01; see `learning.histograms.quantile_bins`."""
        from declarative_ml.learning.histograms import quantile_bins

        return {"kind": "date", **quantile_bins(statistics.days)}


def _circular(state: State) -> list[str]:
    return [part for part in _PERIODS if part in state["parts"]]


def _columns(columns: list[np.ndarray], rows: int) -> np.ndarray:
    import numpy as np

    return np.stack(columns, axis=1).astype(np.float32) if columns else np.empty((rows, 0), dtype=np.float32)
