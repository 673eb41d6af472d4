"""A table in a database to write to: all rows, or none of them when anything fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.core.optional import require
from declarative_ml.core.secret import Secret
from declarative_ml.sources.databases import (
    EXTRA,
    UnknownDatabase,
    connect,
    path_of,
    postgresql_address,
    quoted,
    scheme_of,
)
from declarative_ml.sources.sink import Mode, Sink

if TYPE_CHECKING:
    import pyarrow as pa


class SqlSink(Sink):
    """A table that predictions are written to, in one transaction."""

    type: Literal["sql"] = "sql"
    url: Secret = Field(description="Reference to the address of the database")
    table: str = Field(min_length=1, description="The table, such as shop.predictions")
    mode: Mode = Field(
        default="create", description="create: a new table; append: behind its rows; replace: in their place"
    )

    def resolved(self, base: Path) -> SqlSink:
        """The same with the path of the secret's file made absolute against `base`."""
        return self.model_copy(update={"url": self.url.resolved(base)})

    def send(self, rows: pa.RecordBatchReader) -> None:
        """Write all rows in one transaction."""
        url = self.url.reveal()
        try:
            _WRITERS.get(scheme_of(url), _other)(url, self.table, self.mode, rows)
        except UnknownDatabase:
            raise DataError(f"the address in {self.url.reference} is none of a database") from None

    def refused(self, error: Exception) -> DataError:
        """What the database said, with nothing of its address."""
        said = one_line(self.url.redact(str(getattr(error, "orig", None) or error)))
        return DataError(
            f"the database refuses the rows for {self.table}: {said}",
            hint=f"the address is in {self.url.reference}; mode: create, append or replace",
        )


def _adbc(connection: Any, table: str, mode: Mode, reader: pa.RecordBatchReader) -> None:
    schema, _, name = table.rpartition(".")
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.adbc_ingest(name, reader, mode=mode, db_schema_name=schema or None)
        connection.commit()


def _sqlite(url: str, table: str, mode: Mode, reader: pa.RecordBatchReader) -> None:
    driver = require("adbc_driver_sqlite.dbapi", EXTRA)
    _adbc(driver.connect(path_of(url).absolute().as_uri()), table, mode, reader)


def _postgresql(url: str, table: str, mode: Mode, reader: pa.RecordBatchReader) -> None:
    driver = require("adbc_driver_postgresql.dbapi", EXTRA)
    _adbc(driver.connect(postgresql_address(url, "")), table, mode, reader)


def _duckdb(url: str, table: str, mode: Mode, reader: pa.RecordBatchReader) -> None:
    import duckdb

    name = quoted(table, url)
    create = f"CREATE {'OR REPLACE ' if mode == 'replace' else ''}TABLE {name} AS SELECT * FROM dml_rows"
    with closing(duckdb.connect(str(path_of(url)))) as connection:
        connection.register("dml_rows", reader)
        connection.begin()
        connection.execute(
            f"INSERT INTO {name} BY NAME SELECT * FROM dml_rows" if mode == "append" else create
        )
        connection.commit()


def _other(url: str, table: str, mode: Mode, reader: pa.RecordBatchReader) -> None:
    """A database of SQLAlchemy. Creating a table may end a transaction: a new one is dropped on failure."""
    with closing(connect(url)) as connection:
        import sqlalchemy

        schema, _, name = table.rpartition(".")
        columns = [sqlalchemy.Column(field.name, _column_type(field.type)) for field in reader.schema]
        there = sqlalchemy.inspect(connection).has_table(name, schema=schema or None)
        made = sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns, schema=schema or None)
        if mode == "create" or (mode == "replace" and not there):
            made.create(connection)
        try:
            if mode == "replace" and there:
                connection.execute(made.delete())
            for batch in reader:
                connection.execute(made.insert(), batch.to_pylist())
            connection.commit()
        except Exception:
            connection.rollback()
            if not there and mode != "append":
                made.drop(connection, checkfirst=True)
                connection.commit()
            raise


def _column_type(kind: pa.DataType) -> Any:
    import pyarrow as pa
    import sqlalchemy

    types = pa.types
    if types.is_boolean(kind):
        return sqlalchemy.Boolean()
    if types.is_integer(kind):
        return sqlalchemy.BigInteger()
    if types.is_floating(kind):
        return sqlalchemy.Double()
    if types.is_date(kind):
        return sqlalchemy.Date()
    if types.is_timestamp(kind):
        return sqlalchemy.DateTime()
    return sqlalchemy.Text()


_WRITERS: dict[str, Callable[[str, str, Mode, Any], None]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "duckdb": _duckdb,
}
