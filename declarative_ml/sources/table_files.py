"""What sources of tables in files have in common, wherever the files are: how they are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.sources.base import Source

Format = Literal["csv", "tsv", "jsonl", "parquet", "arrow", "excel"]


class TableFiles(Source):
    """Options of how tables in files are read."""

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    path: str | tuple[str, ...] = Field(description="Where the files are")
    format: Format | None = Field(default=None, description="By the file's ending when absent")
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="csv: found in the first lines when absent"
    )
    encoding: str = Field(default="utf-8", description="csv: character encoding, such as latin-1")
    sheet: str | Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="excel: name or number of the sheet; the first when absent"
    )
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    def reading(self) -> dict[str, Any]:
        """The options without the path."""
        return {name: getattr(self, name) for name in ("format", "delimiter", "encoding", "sheet", "select")}
