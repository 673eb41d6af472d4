"""Excel and OpenDocument sheets: cells as the text that a CSV file would hold; types come afterwards."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require
from declarative_ml.sources.delimited import check_names

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
_MIDNIGHT = " 00:00:00"


def sheet_columns(path: Path, sheet: str | int | None) -> list[str]:
    """The column names: the first row that holds anything. Raises DataError for no or double names."""
    return _names(_cells(path, sheet, rows=1), path)


def read_sheet(path: Path, sheet: str | int | None) -> Iterator[pa.RecordBatch]:
    """All rows as strings; an empty cell is null, a row of empty cells is left out.

    A column of days without a time of day is written YYYY-MM-DD.
    """
    import pyarrow as pa

    cells = _cells(path, sheet, rows=None)
    names = _names(cells, path)
    columns = [_days(column.slice(1)) for column in cells.columns]
    table = pa.RecordBatch.from_arrays([column.cast(pa.string()) for column in columns], names=names)
    filled = _filled(table)
    for start in range(0, filled.num_rows, _BATCH_ROWS):
        yield filled.slice(start, _BATCH_ROWS)


def _cells(path: Path, sheet: str | int | None, rows: int | None) -> pa.RecordBatch:
    """The used cells of the sheet as text, the header with them."""
    fastexcel = require("fastexcel", "excel")
    try:
        book = fastexcel.read_excel(str(path))
        chosen = _chosen(book.sheet_names, sheet, path)
        return book.load_sheet(chosen, header_row=None, n_rows=rows, dtypes="string").to_arrow()
    except fastexcel.FastExcelError as problem:
        said = str(problem).partition("\n")[0]
        raise DataError(f"{path} is not a readable Excel file: {said}", hint="check the file") from problem


def _chosen(names: list[str], sheet: str | int | None, path: Path) -> str | int:
    if sheet is None:
        return 0
    if isinstance(sheet, int) and sheet <= len(names):
        return sheet - 1
    if isinstance(sheet, str) and sheet in names:
        return sheet
    near = difflib.get_close_matches(str(sheet), names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"its sheets: {', '.join(names[:8])}"
    raise DataError(f"{path} has no sheet {sheet!r}", hint=hint)


def _names(cells: pa.RecordBatch, path: Path) -> list[str]:
    if not cells.num_rows:
        raise DataError(f"{path} is empty", hint="the first row must name the columns")
    names = [str(column[0].as_py() or "").strip() for column in cells.columns]
    check_names(names, path)
    return names


def _days(column: Any) -> Any:
    """A column of moments at midnight, as Excel keeps days, without their time of day."""
    import pyarrow.compute as pc

    if pc.all(pc.ends_with(column, _MIDNIGHT)).as_py():
        return pc.replace_substring(column, _MIDNIGHT, "")
    return column


def _filled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without the rows that have no value at all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not batch.num_columns:
        return batch
    found = pa.array([False] * batch.num_rows)
    for column in batch.columns:
        found = pc.or_(found, pc.is_valid(column))
    return batch.filter(found)
