"""Tables in a database, whole or by a query, as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, DmlError, one_line
from declarative_ml.core.secret import Secret
from declarative_ml.sources.databases import BATCH_ROWS, UnknownDatabase, driver_of, quoted
from declarative_ml.sources.queried import QueriedSource

if TYPE_CHECKING:
    import pyarrow as pa


class SqlSource(QueriedSource):
    """The rows of a table or a query, read anew in every run: what depends on them runs when they changed."""

    type: Literal["sql"] = "sql"
    url: Secret = Field(
        description="Reference to the address: postgresql://user:password@host/db, mysql://…, "
        "sqlite:///file.db, duckdb:///file.duckdb or another one of SQLAlchemy"
    )

    def columns(self) -> list[str]:
        """The column names of the query, which the database is asked for."""
        with self._answer("SELECT * FROM (\n{query}\n) dml_query WHERE 1 = 0") as reader:
            return list(reader.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in the order in which the database gives them.

        Raises DataError for a database that cannot be reached and a query that it refuses, with nothing
        of the address in the message.
        """
        with self._answer("{query}") as reader:
            _check_names(reader.schema.names)
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except Exception as error:  # noqa: BLE001 - each driver has errors of its own
                    raise self._refused("the database stopped in the middle of the rows", error) from None
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)

    @contextmanager
    def _answer(self, form: str) -> Iterator[Any]:
        """A reader of the rows (pyarrow.RecordBatchReader) while the connection is open.

        `form` is what is made of the query, {query}.
        """
        url = self.url.reveal()
        with ExitStack() as opened:
            try:
                driver = driver_of(url)
                query = self.query or f"SELECT * FROM {quoted(self.table or '', url)}"
                reader = opened.enter_context(driver(url, form.replace("{query}", query), self.params))
            except UnknownDatabase:
                raise DataError(
                    f"the address in {self.url.reference} is none of a database that can be read",
                    hint="it begins with postgresql://, mysql://, sqlite://, duckdb:// or a name that "
                    "SQLAlchemy knows",
                ) from None
            except DmlError:
                raise
            except Exception as error:  # noqa: BLE001 - each driver has errors of its own
                raise self._refused("the database refuses", error) from None
            yield reader

    def _refused(self, what: str, error: Exception) -> DataError:
        own = getattr(error, "orig", None) or error  # SQLAlchemy wraps the words of the database
        said = one_line(self.url.redact(str(own)))
        asked = f"the table: {self.table}" if self.query is None else f"the query: {self.query}"
        hint = f"the address is in {self.url.reference}; {' '.join(asked.split())[:91]}"
        return DataError(f"{what}: {said}", hint=hint)


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the query gives the column '{twice[0]}' twice",
            hint="name them apart: SELECT a.id AS a_id",
        )
