"""Categories: texts with a limited number of levels, as codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.features.base import Encoded, EncodedBlocks, Feature, Placed, State
from declarative_ml.features.look_up import look_up
from declarative_ml.graph.blocks import Block
from declarative_ml.learning.dataset import CodeColumn, Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile, LevelStatistics

MISSING, OTHER, FIRST = 0, 1, 2
"""The codes of a missing value, of a rare or unseen level, and of the first known level."""
_LEAST_ABSENT, _LEAST_ABSENT_SHARE = 20, 0.01
"""Rows without a value, and with one, from which on a column of names says something by having one: films
have a director, series do not."""
_LISTED = 50
"""Most levels that a request's schema lists."""


class Category(Feature):
    """One of a limited number of levels. Codes: 0 missing, 1 rare or unseen, 2.. by falling count."""

    type: Literal["category"] = "category"
    max_levels: int = Field(default=255, ge=1, le=100_000, description="Keep at most this many, by count")
    min_count: int | None = Field(
        default=None,
        ge=1,
        description="Levels with fewer training rows count as other; absent: 2, growing slowly with the rows",
    )
    unseen: Literal["other", "missing"] = Field(
        default="other", description="What a level that training did not keep becomes"
    )
    raw_dtype: ClassVar[Literal["float32", "string"]] = "string"

    @classmethod
    def infer(cls, column: ColumnProfile) -> Category | None:
        """Texts and booleans that repeat, or that are missing at times; a column with a name or code of its
        own in each row is of no type here."""
        if column.dtype not in ("string", "bool"):
            return None
        repeats = column.distinct_exact and column.distinct <= max(column.rows / 2, 1)
        absent = max(_LEAST_ABSENT, _LEAST_ABSENT_SHARE * column.rows)
        return cls() if repeats or min(column.missing, column.present) >= absent else None

    def accumulator(self) -> LevelStatistics:
        """Counts of the levels."""
        from declarative_ml.learning.statistics import LevelStatistics

        return LevelStatistics()

    def fit(self, statistics: LevelStatistics) -> State:  # type: ignore[override]
        """The kept levels, in the order of their codes."""
        least = self.min_count or default_min_count(statistics.present)
        levels, counts = statistics.ranked
        kept = min(int((counts >= least).sum()), self.max_levels)
        return {"levels": levels[:kept].to_pylist()}

    def layout(self, name: str, state: State) -> Layout:
        """One column of codes."""
        return Layout(codes=(CodeColumn(name=name, cardinality=FIRST + len(state["levels"])),))

    def _default(self) -> int:
        return OTHER if self.unseen == "other" else MISSING

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        levels = pa.array(state["levels"], type=pa.string())
        found = pc.index_in(values, value_set=levels).fill_null(-1).to_numpy()
        present = pc.fill_null(pc.not_equal(values, ""), False).to_numpy(zero_copy_only=False)
        codes = np.where(found >= 0, found + FIRST, np.where(present, self._default(), MISSING))
        empty = np.empty((len(values), 0), dtype=np.float32)
        return Encoded(raw=empty, scaled=empty, codes=codes.astype(np.int32)[:, None])

    @classmethod
    def columns_to_onnx(cls, graph: OnnxGraph, columns: Sequence[Placed]) -> EncodedBlocks:
        """See Feature.columns_to_onnx: one table look-up for all that treat unseen levels alike."""
        blocks = []
        for unseen, default in (("other", OTHER), ("missing", MISSING)):
            part = [column for column in columns if column.feature.unseen == unseen]  # type: ignore[attr-defined]
            if part:
                codes = look_up(
                    graph,
                    [column.tensor for column in part],
                    [["", *column.state["levels"]] for column in part],
                    values_int64s=[
                        code
                        for column in part
                        for code in (MISSING, *range(FIRST, FIRST + len(column.state["levels"])))
                    ],
                    default_int64=default,
                )
                places = tuple(place for column in part for place in column.places("codes"))
                blocks.append(Block(codes, places))
        return EncodedBlocks(codes=blocks)

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field; up to 50 kept levels are listed."""
        schema: dict[str, Any] = {"type": ["string", "null"], "examples": state["levels"][:3]}
        if len(state["levels"]) <= _LISTED:
            schema["enum"] = [*state["levels"], None]
        return schema

    def reference(self, statistics: LevelStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Training counts of the kept levels; `other`: rows of all the rest."""
        seen = statistics.counts
        counts = [seen.get(level, 0) for level in state["levels"]]
        return {
            "kind": "category",
            "levels": state["levels"],
            "counts": counts,
            "other": statistics.present - sum(counts),
            "missing": statistics.missing,
            "rows": statistics.rows,
        }


def default_min_count(rows: int) -> int:
    """2 up to about 6,500 rows, 5 for 100,000, 10 for a million: a third of the fourth root."""
    return max(2, int(rows**0.25 / 3))
