"""Tables in a database, read by a query: PostgreSQL, SQLite and DuckDB, as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pydantic import Field, field_validator

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.core.optional import require
from declarative_ml.core.secret import Secret
from declarative_ml.sources.base import Source

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
_EXTRA = "sql"
_PATIENCE = "10"
"""Seconds to wait for a server to answer at all."""


class SqlSource(Source):
    """The rows of a query. It is asked again in every run: what depends on it runs when the rows changed."""

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    remote: ClassVar[bool] = True

    type: Literal["sql"] = "sql"
    url: Secret = Field(
        description="Reference to the address: postgresql://user:password@host/db, sqlite:///file.db "
        "or duckdb:///file.duckdb"
    )
    query: str = Field(min_length=1, description="The SELECT whose rows are read; it cannot write")

    @field_validator("query")
    @classmethod
    def _one_statement(cls, query: str) -> str:
        return query.strip().rstrip(";").rstrip()

    def resolved(self, base: Path) -> SqlSource:
        """The same source with the path of a secret's file made absolute against `base`."""
        return self.model_copy(update={"url": self.url.resolved(base)})

    def options_for_key(self) -> dict[str, object]:
        """The query, and the name under which the address is kept."""
        return {"query": self.query, "url": self.url.reference}

    def columns(self) -> list[str]:
        """The column names of the query, which the database is asked for."""
        with self._answer(f"SELECT * FROM (\n{self.query}\n) AS dml_query LIMIT 0") as reader:
            return list(reader.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in the order in which the database gives them.

        Raises DataError for a database that cannot be reached and a query that it refuses, with nothing
        of the address in the message.
        """
        with self._answer(self.query) as reader:
            _check_names(reader.schema.names)
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except Exception as error:  # noqa: BLE001 - each driver has errors of its own
                    raise self._refused("the database stopped in the middle of the rows", error) from None
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield batch.slice(start, _BATCH_ROWS)

    @contextmanager
    def _answer(self, query: str) -> Iterator[Any]:
        """A reader of the query's rows (pyarrow.RecordBatchReader) while the connection is open."""
        url = self.url.reveal()
        scheme = url.partition("://")[0].lower()
        if scheme not in _DRIVERS:
            known = ", ".join(f"{name}://" for name in ("postgresql", "sqlite", "duckdb"))
            raise DataError(
                f"the address in {self.url.reference} is none of a database that can be read",
                hint=f"it begins with {known}",
            )
        with ExitStack() as opened:
            try:
                reader = opened.enter_context(_DRIVERS[scheme](url, query))
            except DmlError:
                raise
            except Exception as error:  # noqa: BLE001 - each driver has errors of its own
                raise self._refused("the database refuses", error) from None
            yield reader

    def _refused(self, what: str, error: Exception) -> DataError:
        said = " ".join(self.url.redact(str(error)).split())[:300]
        hint = f"the address is in {self.url.reference}; the query: {' '.join(self.query.split())[:80]}"
        return DataError(f"{what}: {said}", hint=hint)


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the query gives the column '{twice[0]}' twice",
            hint="name them apart: SELECT a.id AS a_id",
        )


@contextmanager
def _sqlite(url: str, query: str) -> Iterator[Any]:
    driver = require("adbc_driver_sqlite.dbapi", _EXTRA)
    path = _file(url)
    with closing(driver.connect(f"{path.absolute().as_uri()}?mode=ro")) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute(query)
            yield cursor.fetch_record_batch()


@contextmanager
def _postgresql(url: str, query: str) -> Iterator[Any]:
    driver = require("adbc_driver_postgresql.dbapi", _EXTRA)
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    options.setdefault("connect_timeout", _PATIENCE)
    options["options"] = f"{options.get('options', '')} -c default_transaction_read_only=on".strip()
    address = urlunsplit(parts._replace(query=urlencode(options).replace("+", "%20")))
    with closing(driver.connect(address)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(query)
        yield cursor.fetch_record_batch()


@contextmanager
def _duckdb(url: str, query: str) -> Iterator[Any]:
    import duckdb

    settings = {"enable_external_access": False, "allow_unsigned_extensions": False}
    with closing(duckdb.connect(str(_file(url)), read_only=True, config=settings)) as connection:
        yield connection.sql(query).to_arrow_reader(_BATCH_ROWS)


def _file(url: str) -> Path:
    """The file of sqlite:///relative.db or sqlite:////absolute.db, relative to the working folder."""
    place = url.partition("://")[2]
    path = Path(unquote(place.removeprefix("/"))).expanduser()
    if not path.is_file():
        raise DataError(
            "the database's file is not there",
            hint="three slashes before a path relative to the working folder, four before an absolute one",
        )
    return path


_DRIVERS: dict[str, Callable[[str, str], AbstractContextManager[Any]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "duckdb": _duckdb,
}
