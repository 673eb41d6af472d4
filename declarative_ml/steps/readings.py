"""Readings of a run's texts: made once, by `prepare`, and used by every step that feeds a graph.

readings/table.arrow  in the artifact of `prepare`: the columns that the graph takes as readings, with the
                      rows and blocks of the run's table. Absent where no column needs one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.reading import AnyReading
from declarative_ml.scoring.readings import TextReader, text_reader
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import TABLE, blocks, open_table, read_rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FOLDER = "readings"
_TEXTS_AT_ONCE = 512
"""Between two lines of progress: a pipeline or a model reads some hundred texts a second."""


def write_readings(context: StepContext, wanted: Mapping[str, AnyReading]) -> dict[str, AnyReading]:
    """Read the texts of the columns `wanted`, and return their readings with the versions at work.

    Raises MissingDependency without spaCy, the pipeline or the model, DataError for one that does not do.
    """
    import pyarrow as pa

    if not wanted:
        return {}
    readers = readers_of(context, wanted)
    (context.out / FOLDER).mkdir()
    schema = pa.schema([(name, pa.string()) for name in readers])
    table = context.inputs["table"]
    rows = context.read("table", "info.json")["rows"]
    with (
        pa.OSFile(str(context.out / FOLDER / TABLE), "wb") as stream,
        pa.ipc.new_file(stream, schema) as writer,
    ):
        for start, block in blocks(table):
            columns = [
                _read(context, reader, block.column(name), start, rows) for name, reader in readers.items()
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return {name: reader.described for name, reader in readers.items()}


def readers_of(context: StepContext, wanted: Mapping[str, AnyReading]) -> dict[str, TextReader]:
    """What reads the texts of columns in a step of a run, from the folder of the spec."""
    if not wanted:
        return {}
    folder = Path(context.step.outside["texts"]["folder"])
    return {name: text_reader(item, [folder], threads=context.threads) for name, item in wanted.items()}


def _read(context: StepContext, reader: TextReader, column: pa.Array, start: int, rows: int) -> pa.Array:
    """The readings of one block's texts, those of different texts only."""
    import pyarrow as pa

    from declarative_ml.core.columns import raw_column

    encoded = raw_column(column, "string").fill_null("").dictionary_encode()
    texts, found = encoded.dictionary.to_pylist(), []
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        found += reader.read(texts[first : first + _TEXTS_AT_ONCE])
        done = start + len(column) * len(found) // len(texts)
        context.progress(0.5 * done / rows, f"{reader.described.reader} · {done:,} of {rows:,} rows")
    return pa.array(found, pa.string()).take(encoded.indices)


def blocks_as_read(table: Path, prepared: Path | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """See `steps.table.blocks`: with readings in place of texts, where there are any."""
    if prepared is None or not (prepared / FOLDER).is_dir():
        yield from blocks(table)
        return
    with open_table(prepared / FOLDER) as reader:
        for number, (start, block) in enumerate(blocks(table)):
            readings = reader.get_batch(number)
            for name in readings.schema.names:
                place = block.schema.names.index(name)
                block = block.set_column(place, name, readings.column(name))
            yield start, block


def rows_as_read(table: Path, prepared: Path | None, rows: np.ndarray, columns: list[str]) -> pa.Table:
    """See `steps.table.read_rows`: with readings in place of texts, where there are any."""
    found = read_rows(table, rows, columns)
    if prepared is None or not (prepared / FOLDER).is_dir():
        return found
    with open_table(prepared / FOLDER) as reader:
        read = [name for name in reader.schema.names if name in columns]
    readings = read_rows(prepared / FOLDER, rows, read)
    for name in read:
        found = found.set_column(columns.index(name), name, readings.column(name))
    return found
