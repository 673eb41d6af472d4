"""Ways into databases: Arrow-native drivers for PostgreSQL, SQLite and DuckDB, SQLAlchemy for all others.

Every way opens the database for reading only, streams the rows, and gives a pyarrow.RecordBatchReader. One
statement reads one snapshot of the database, whatever others write meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require
from declarative_ml.sources.query_params import Value, bind

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536
EXTRA = "sql"
_PATIENCE = "10"
"""Seconds to wait for a server to answer at all."""
_MYSQL = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
"""SQLAlchemy's own default is a driver that has to be compiled."""
_READ_ONLY = {
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
    "postgresql": ("SET TRANSACTION READ ONLY",),
    "oracle": ("SET TRANSACTION READ ONLY",),
    "sqlite": ("PRAGMA query_only = 1",),
}

Driver = Callable[[str, str, Mapping[str, Value]], AbstractContextManager[Any]]


class UnknownDatabase(Exception):
    """The address begins with no database that can be read."""


def driver_of(url: str) -> Driver:
    """The way into the database of this address. Raises UnknownDatabase."""
    scheme = scheme_of(url)
    if not scheme:
        raise UnknownDatabase
    return _DRIVERS.get(scheme, _other)


def scheme_of(url: str) -> str:
    """What stands before ://, in lower case; "" where nothing does."""
    scheme, sign, _ = url.partition("://")
    return scheme.lower() if sign else ""


def quoted(table: str, url: str) -> str:
    """The name of a table, such as shop.orders, as the database of this address quotes it."""
    mark = "`" if scheme_of(url).startswith(("mysql", "mariadb")) else '"'
    return ".".join(f"{mark}{part.replace(mark, mark * 2)}{mark}" for part in table.split("."))


@contextmanager
def _sqlite(url: str, query: str, params: Mapping[str, Value]) -> Iterator[Any]:
    driver = require("adbc_driver_sqlite.dbapi", EXTRA)
    text, values = bind(query, params, "qmark")
    with closing(driver.connect(f"{file_of(url).absolute().as_uri()}?mode=ro")) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute(text, values)
            yield cursor.fetch_record_batch()


@contextmanager
def _postgresql(url: str, query: str, params: Mapping[str, Value]) -> Iterator[Any]:
    driver = require("adbc_driver_postgresql.dbapi", EXTRA)
    text, values = bind(query, params, "dollar")
    address = postgresql_address(url, "-c default_transaction_read_only=on")
    with closing(driver.connect(address)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(text, values)
        yield cursor.fetch_record_batch()


def postgresql_address(url: str, settings: str) -> str:
    """The address with settings of the session, and with an end to waiting for a server that is not there."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    options.setdefault("connect_timeout", _PATIENCE)
    options["options"] = f"{options.get('options', '')} {settings}".strip()
    return urlunsplit(parts._replace(query=urlencode(options).replace("+", "%20")))


@contextmanager
def _duckdb(url: str, query: str, params: Mapping[str, Value]) -> Iterator[Any]:
    import duckdb

    text, values = bind(query, params, "dollar_named")
    settings = {"enable_external_access": False, "allow_unsigned_extensions": False}
    with closing(duckdb.connect(str(file_of(url)), read_only=True, config=settings)) as connection:
        yield connection.sql(text, params=values).to_arrow_reader(BATCH_ROWS)


def file_of(url: str) -> Path:
    """The file of sqlite:///relative.db or sqlite:////absolute.db, relative to the working folder."""
    path = path_of(url)
    if not path.is_file():
        raise DataError(
            "the database's file is not there",
            hint="three slashes before a path relative to the working folder, four before an absolute one",
        )
    return path


def path_of(url: str) -> Path:
    """The path in the address of a database in a file, be it there or not."""
    return Path(unquote(url.partition("://")[2].removeprefix("/"))).expanduser()


@contextmanager
def _other(url: str, query: str, params: Mapping[str, Value]) -> Iterator[Any]:
    """A database of SQLAlchemy: rows come through a cursor on the server where its driver has one."""
    import pyarrow as pa

    from declarative_ml.sources.plain_text import text_batch

    with closing(connect(url)) as connection:
        if connection.dialect.name not in _READ_ONLY:
            _require_select(query)
        for statement in _READ_ONLY.get(connection.dialect.name, ()):
            connection.exec_driver_sql(statement)
        text, values = bind(query, params, connection.dialect.paramstyle)
        streaming = {"stream_results": True, "max_row_buffer": BATCH_ROWS}
        given = tuple(values) if isinstance(values, list) else values
        with closing(connection.exec_driver_sql(text, given, execution_options=streaming)) as result:
            names = list(result.keys())
            schema = pa.schema([(name, pa.string()) for name in names])

            def batches() -> Iterator[pa.RecordBatch]:
                while rows := result.fetchmany(BATCH_ROWS // 4):
                    yield text_batch(names, list(zip(*rows, strict=True)))

            yield pa.RecordBatchReader.from_batches(schema, batches())


def _require_select(query: str) -> None:
    """For databases that are not known to have transactions for reading only."""
    first = query.split(None, 1)[0].lower() if query.strip() else ""
    if first not in ("select", "with", "values"):
        raise DataError("the query is not a SELECT", hint="the source only reads")


def connect(url: str) -> Any:
    """A connection of SQLAlchemy. Raises UnknownDatabase, and MissingDependency without the driver."""
    mysql = scheme_of(url) in _MYSQL
    sqlalchemy = require("sqlalchemy", "mysql" if mysql else "sqlalchemy")
    if mysql:
        require("pymysql", "mysql")
    scheme, _, rest = url.partition("://")
    address = f"{_MYSQL.get(scheme.lower(), scheme)}://{rest}"
    waiting = {"connect_timeout": int(_PATIENCE)} if mysql or "pymysql" in scheme else {}
    try:
        engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, connect_args=waiting)
    except sqlalchemy.exc.NoSuchModuleError:
        raise UnknownDatabase from None
    except ImportError as error:
        raise DataError(
            f"the driver {error.name} for this database is not installed", hint=f"pip install {error.name}"
        ) from None
    return engine.connect()


_DRIVERS: dict[str, Driver] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "duckdb": _duckdb,
}
