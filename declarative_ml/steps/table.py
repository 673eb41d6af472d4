"""The table artifact: typed Arrow blocks, the schema that typed them, and which part each row came from.

table.arrow   Arrow IPC file, blocks of BLOCK_ROWS rows, in order of arrival
schema.json   TableSchema: the rule of each column
info.json     {"rows", "notes"}
part.npy      uint8 [rows], only when the test or validation rows came from files of their own
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import TableSchema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

TABLE = "table.arrow"


@contextmanager
def open_table(folder: Path, columns: Sequence[str] | None = None, *, mapped: bool = False) -> Iterator[Any]:
    """The Arrow IPC file of a table artifact (pyarrow.ipc.RecordBatchFileReader), or some of its columns.

    A block is read when it is asked for. `mapped`: a memory map, for those that take the table as a whole;
    what they have touched counts as this process's memory.
    """
    import pyarrow as pa

    path = str(folder / TABLE)
    with pa.memory_map(path) if mapped else pa.OSFile(path) as stream:
        if not columns:
            yield pa.ipc.open_file(stream)
            return
        names = pa.ipc.open_file(stream).schema.names
        require_columns(names, list(columns))
        chosen = sorted({names.index(name) for name in columns})
        yield pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=chosen))


def read_schema(folder: Path) -> TableSchema:
    """The rules by which the table's text was typed."""
    return TableSchema.model_validate(read_json(folder / "schema.json"))


def blocks(folder: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(position of the first row, block) in order of arrival."""
    start = 0
    with open_table(folder) as reader:
        for number in range(reader.num_record_batches):
            block = reader.get_batch(number)
            yield start, block
            start += block.num_rows


def read_rows(folder: Path, rows: np.ndarray, columns: list[str]) -> pa.Table:
    """The given rows (positions, in the order wanted) of the given columns."""
    import numpy as np
    import pyarrow as pa

    order = np.argsort(rows, kind="stable")
    wanted, taken = rows[order], []
    with open_table(folder, columns) as reader:
        schema = pa.schema([reader.schema.field(name) for name in columns])
        start = 0
        for number in range(reader.num_record_batches):
            block = reader.get_batch(number)
            low, high = np.searchsorted(wanted, [start, start + block.num_rows])
            if high > low:
                taken.append(block.select(columns).take(pa.array(wanted[low:high] - start)))
            start += block.num_rows
        table = pa.Table.from_batches(taken, schema)
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = np.arange(len(rows))
    return table.take(pa.array(inverse))


@contextmanager
def column_blocks(folder: Path, name: str) -> Iterator[tuple[pa.DataType, Iterator[pa.Array]]]:
    """The type of one column, and its blocks. Raises DataError as `read_column` does."""
    with open_table(folder, [name]) as reader:
        numbers = range(reader.num_record_batches)
        yield reader.schema.field(name).type, (reader.get_batch(number).column(name) for number in numbers)


def read_column(folder: Path, name: str) -> pa.ChunkedArray:
    """One whole column. Raises DataError naming the nearest column when it is absent."""
    import pyarrow as pa

    with open_table(folder, [name]) as reader:
        chunks = [reader.get_batch(number).column(name) for number in range(reader.num_record_batches)]
        return pa.chunked_array(chunks, type=reader.schema.field(name).type)


def require_columns(present: list[str], wanted: list[str]) -> None:
    """Raise DataError when a wanted column is not among those present."""
    from difflib import get_close_matches

    for name in wanted:
        if name not in present:
            near = get_close_matches(name, present, 1)
            shown = ", ".join(present[:20]) + (" …" if len(present) > 20 else "")
            hint = f"did you mean '{near[0]}'?" if near else f"the columns are: {shown}"
            raise DataError(f"the data has no column '{name}'", hint=hint)


def write_table(
    folder: Path, batches: Iterator[pa.RecordBatch], schema: TableSchema, notes: list[str]
) -> int:
    """Write typed batches as a table artifact. Returns the number of rows. Raises DataError for none."""
    import pyarrow as pa

    rows, writer = 0, None
    with (folder / TABLE).open("wb") as stream:
        for batch in batches:
            if writer is None:
                writer = pa.ipc.new_file(stream, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
        if writer is not None:
            writer.close()
    if not rows:
        raise DataError("the data has no rows", hint="check the source, and the filters in data.sql")
    write_json(folder / "schema.json", schema.model_dump(mode="json"))
    write_json(folder / "info.json", {"rows": rows, "notes": notes})
    return rows
