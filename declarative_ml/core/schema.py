"""How the text of a table becomes typed columns: recorded once, applied the same way ever after."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from declarative_ml.core.component import Section

ColumnType = Literal["integer", "number", "boolean", "date", "text"]

BLOCK_ROWS = 65_536
"""Tables are re-cut to blocks of this many rows, so that results do not depend on a source's chunks."""

DEFAULT_MISSING = ("", " ", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")


class ColumnRule(Section):
    """How one column's text is read. Arrow types: int64, float64, bool, date32 or timestamp[us], string."""

    type: ColumnType = Field(description="What the text is read as")
    formats: tuple[str, ...] = Field(
        default=(), description="date: strptime patterns, the first that fits wins"
    )
    has_time: bool = Field(default=False, description="date: whether any value carries a time of day")
    thousands: str | None = Field(default=None, description="number: character between groups of thousands")
    decimal: str = Field(default=".", description="number: decimal mark")
    prefix: str = Field(default="", description="number: text in front, such as '$'")
    suffix: str = Field(default="", description="number: unit behind, such as 'kg'")


class TableSchema(Section):
    """The typed columns of a table, and the spellings that count as missing."""

    missing: tuple[str, ...] = Field(default=DEFAULT_MISSING, description="Spellings of a missing value")
    columns: dict[str, ColumnRule] = Field(description="By name, in the order of the table")
