"""Tables that come in from any library and go out in the form they came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.plain_columns import is_list, plain_columns, require_single

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 20
"""Rows that a notebook shows of a table."""
_LONGEST = 60


class Rows:
    """Rows of a table, in Arrow. Every library that reads Arrow takes them: `polars.DataFrame(rows)`."""

    def __init__(self, arrow: pa.Table, *, shaped: bool = False) -> None:
        self.arrow = arrow
        """The table itself; `rows.arrow.to_pandas()` is a DataFrame."""
        self.shaped = shaped
        """Whether `data.sql` has been applied: the rows of a run, not those of a file."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.arrow.column_names)

    def to_pylist(self) -> list[dict[str, Any]]:
        """One dict of column to value a row."""
        rows: list[dict[str, Any]] = self.arrow.to_pylist()
        return rows

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __getitem__(self, cut: slice) -> Rows:
        import pyarrow as pa

        if not isinstance(cut, slice):
            raise TypeError("rows are cut by a slice, such as rows[:5]; to_pylist() gives them one by one")
        places = pa.array(range(*cut.indices(len(self))), pa.int64())
        return Rows(self.arrow.take(places), shaped=self.shaped)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"<Rows: {len(self):,} of {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, paragraph, table

        shown = self[:SHOWN].arrow
        texts = [place for place, field in enumerate(shown.schema) if not _is_number(field.type)]
        cells = zip(*([_cell(value) for value in column.to_pylist()] for column in shown.columns))
        more = [paragraph(f"{len(self) - SHOWN:,} more rows")] if len(self) > SHOWN else []
        return box(table(self.columns, cells, left=texts), *more)


def as_arrow(given: Any, names: Sequence[str], *, whole: bool = False) -> pa.Table:
    """A table of pandas, polars or any library that speaks Arrow, a mapping of column to values (or to one
    value each: one row), a list of mappings, or a 2-D numpy array with the columns `names` in order.

    `names` are the columns that are wanted; `whole` keeps the others too. Raises DataError for what is no
    table, and for rows that lack a column.
    """
    import pyarrow as pa

    if isinstance(given, Rows):
        given = given.arrow
    if isinstance(given, pa.RecordBatch):
        given = pa.Table.from_batches([given])
    if isinstance(given, pa.Table):
        require_single(given.column_names)
        return given if whole else given.select([name for name in given.column_names if name in names])
    if hasattr(given, "__arrow_c_stream__"):
        found = _of_frame(given, names, whole=whole)
        if found is not None:
            return found
    if _is_row(given):
        given = [given]
    if whole and isinstance(given, Sequence):
        names = list(dict.fromkeys(name for row in given if isinstance(row, Mapping) for name in row))
    columns = plain_columns(given, names)
    _require_equal({name: columns[name] for name in columns if whole or name in names})
    return pa.table({name: _array(columns[name]) for name in columns if whole or name in names})


def in_form_of(given: Any, answer: pa.Table) -> Any:
    """The answers as what was asked with: a DataFrame for a DataFrame (with its index), an Arrow table for
    one, a dict for a row, a list of dicts for such, a dict of lists for such; `Rows` for everything else."""
    import pyarrow as pa

    library = type(given).__module__.partition(".")[0]
    if library == "pandas":
        frame = answer.to_pandas()
        frame.index = given.index
        return frame
    if library == "polars":
        return type(given)(answer)
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        return answer
    if _is_row(given):
        return answer.to_pylist()[0]
    if isinstance(given, Mapping):
        return answer.to_pydict()
    if isinstance(given, Sequence) and not isinstance(given, str):
        return answer.to_pylist()
    return Rows(answer)


def is_shaped(given: Any) -> bool:
    """Whether `data.sql` must not be applied to these rows."""
    return isinstance(given, Rows) and given.shaped


def source_of(given: Any, names: Sequence[str], *, whole: bool = False) -> str | pa.Table:
    """What `api.predict.read` takes: the path of a file as it is, any table in Arrow."""
    return str(given) if isinstance(given, (str, Path)) else as_arrow(given, names, whole=whole)


def _of_frame(frame: Any, names: Sequence[str], *, whole: bool) -> pa.Table | None:
    """The wanted columns of a DataFrame in Arrow; None where Arrow cannot take them as they are."""
    import pyarrow as pa

    if hasattr(frame, "columns"):
        wanted = [name for name in frame.columns if whole or str(name) in names]
        require_single([str(name) for name in wanted])
        frame = frame[wanted]
    try:
        table = pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])


def _is_row(given: Any) -> bool:
    """Whether it is one row: a mapping of column to one value each."""
    return isinstance(given, Mapping) and bool(given) and not any(map(is_list, given.values()))


def _require_equal(columns: Mapping[str, Sequence[Any]]) -> None:
    """Raise DataError for columns of unequal length, which no table has."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DataError(
            f"the columns have unequal numbers of rows ({listed})",
            hint="Give each column as many values, None where one is not known.",
        )


def _array(values: Sequence[Any]) -> pa.Array:
    """Values as one Arrow column; those of several kinds as text, which the model's reader takes."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _cell(value: Any) -> str:
    from declarative_ml.report.wording import number, shortened

    if value is None:
        return ""
    return (
        number(value, 6).rstrip("0").rstrip(".") if _is_fraction(value) else shortened(str(value), _LONGEST)
    )


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer() and abs(value) < 1e9
