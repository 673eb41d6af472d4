"""Shape the table by the SQL of the spec, in an embedded DuckDB that sees its declared sources only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule, TableSchema
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.sql_tree import unrepeatable
from declarative_ml.steps.table import open_table, read_schema, write_table

if TYPE_CHECKING:
    import pyarrow as pa


def run(context: StepContext) -> None:
    """Write the table artifact of the query's result."""
    import numpy as np

    from declarative_ml.core.columns import typed_batches

    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(open_table(folder, mapped=True))
            for name, folder in context.inputs.items()
        }
        parts = {name: folder / "part.npy" for name, folder in context.inputs.items()}
        known = {name: rule for folder in context.inputs.values() for name, rule in rules(folder).items()}
        _require_repeatable(context.params["sql"], tables)
        part_file = next((path for path in parts.values() if path.exists()), None)
        sources = {name: _batches(reader) for name, reader in tables.items()}
        if part_file is not None:
            sources = {name: _with_part(table, np.load(part_file)) for name, table in sources.items()}
        spill = None if context.memory is None else Spill(max(context.memory, _LEAST_MEMORY), context.scratch)
        result = query(context.params["sql"], sources, with_part=part_file is not None, spill=spill)
        schema = _schema(result.schema, known, tuple(context.params["missing"]))
        taken: list[np.ndarray] = []
        batches = _without_part(result, taken) if part_file is not None else iter(result)
        rows = write_table(context.out, typed_batches(batches, schema), schema, _notes(context))
    if part_file is not None:
        np.save(context.out / "part.npy", np.concatenate(taken))
    context.progress(1.0, f"{rows:,} rows")


def _notes(context: StepContext) -> list[str]:
    """What is worth saying of the sources; with several, by their names."""
    found = {name: context.read(name, "info.json")["notes"] for name in context.inputs}
    if len(found) == 1:
        return list(found.popitem()[1])
    return [f"{name}.{note}" for name, notes in found.items() for note in notes]


def _require_repeatable(sql: str, tables: dict[str, Any]) -> None:
    why = unrepeatable(sql, {name for table in tables.values() for name in table.schema.names})
    if why is not None:
        raise DataError(
            f"data.sql gives other rows each time: it uses {why}",
            hint="a model must be trainable again: use a column, a constant, or data.sample",
        )


def _read(result: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The result's batches. Raises DataError for a value on which the SQL fails."""
    try:
        yield from result
    except OSError as error:  # DuckDB's words, wrapped by Arrow
        raise DataError(f"data.sql fails on a row: {error}", hint="TRY_CAST gives null instead") from error


_PART = "__dml_part"


_LEAST_MEMORY = 128 << 20


@dataclass(frozen=True)
class Spill:
    """The memory of the engine in bytes, and the folder where it keeps what is more than that."""

    memory: int
    folder: Path


def query(
    sql: str, tables: dict[str, Any], *, with_part: bool = False, spill: Spill | None = None
) -> pa.RecordBatchReader:
    """Run one SELECT over Arrow tables, with no access to files, network or settings.

    With `with_part` the tables carry the column that says which part a row belongs to; the query runs
    once per part, so that no row of one part can reach another. Raises DataError with the engine's
    words when the SQL does not run.
    """
    import pyarrow as pa

    if not with_part:
        return _execute(sql, tables, spill)
    results = []
    for part in (0, 1, 2):
        chosen = {name: _only(table, part) for name, table in tables.items()}
        if all(table.num_rows == 0 for table in chosen.values()):
            continue
        result = _execute(sql, chosen, spill).read_all()
        results.append(result.append_column(_PART, pa.array([part] * result.num_rows, pa.uint8())))
    joined = pa.concat_tables(results)
    return pa.RecordBatchReader.from_batches(joined.schema, joined.to_batches())


def _execute(sql: str, tables: dict[str, Any], spill: Spill | None) -> pa.RecordBatchReader:
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect(":memory:", config={"threads": 1, "autoinstall_known_extensions": False})
    try:
        if spill is not None:
            spill.folder.mkdir(parents=True, exist_ok=True)
            connection.execute("SET temp_directory = ?", [str(spill.folder)])
            connection.execute("SET memory_limit = ?", [f"{spill.memory}B"])
        connection.execute("SET enable_external_access = false")
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(
                "data.sql must be one SELECT", hint="tables are named as the sources, or `source`"
            )
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET lock_configuration = true")
        result = connection.sql(sql).to_arrow_reader(65_536)
    except duckdb.Error as error:
        raise DataError(f"data.sql does not run: {error}", hint="the table is called `source`") from error
    return pa.RecordBatchReader.from_batches(result.schema, _read(result))


def rules(folder: Any) -> dict[str, ColumnRule]:
    """Column -> rule of a table artifact."""
    return read_schema(folder).columns


def _batches(reader: Any) -> Any:
    return reader.read_all()


def _with_part(table: pa.Table, part: Any) -> pa.Table:
    import pyarrow as pa

    return table.append_column(_PART, pa.array(part))


def _only(table: pa.Table, part: int) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.equal(table[_PART], part)).drop_columns([_PART])


def _without_part(batches: Any, taken: list[Any]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        taken.append(batch.column(_PART).to_numpy())
        yield batch.select([name for name in batch.schema.names if name != _PART])


def _schema(schema: pa.Schema, known: dict[str, ColumnRule], missing: tuple[str, ...]) -> TableSchema:
    """Columns that keep name and type keep their rule (a request may bring them as text)."""
    from declarative_ml.sources.inference import rule_of_type

    columns = {}
    for field in schema:
        if field.name == _PART:
            continue
        native = rule_of_type(field.type)
        rule = known.get(field.name)
        columns[field.name] = rule if rule is not None and rule.type == native.type else native
    return TableSchema(missing=missing, columns=columns)
