"""Tables and queries of Spark, over Spark Connect: the work stays in the cluster, Arrow batches come back."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from declarative_ml.core.errors import DataError, DmlError, one_line
from declarative_ml.core.optional import require
from declarative_ml.core.secret import Secret
from declarative_ml.sources.native_columns import plain_batch, selected
from declarative_ml.sources.queried import QueriedSource

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
_PORT = 15_002
_PATIENCE = 10.0
"""Seconds to wait for a server to answer at all. Its own client tries for minutes."""


class SparkSource(QueriedSource):
    """The rows of a table or a query on a Spark Connect server, read anew in every run."""

    type: Literal["spark"] = "spark"
    url: Secret = Field(
        description="Reference to the address: sc://host:15002, or sc://host:443/;use_ssl=true;token=…"
    )
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    def options_for_key(self) -> dict[str, object]:
        """What is asked for, and the name under which the address is kept."""
        return super().options_for_key() | ({"select": self.select} if self.select else {})

    def columns(self) -> list[str]:
        """The column names, for which Spark is asked."""
        with self._frame() as frame:
            return selected(self.select, list(frame.columns), self.described())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in plain types, as the cluster sends them: one Arrow batch after another.

        Raises DataError for a server that cannot be reached, a query that it refuses, and for nested and
        binary columns, with nothing of the address in the message.
        """
        with self._frame() as frame:
            names = selected(self.select, list(frame.columns), self.described())
            chosen = frame.select(*(f"`{name.replace('`', '``')}`" for name in names))
            rows = 0
            for batch in _arrow_batches(chosen):
                rows += batch.num_rows
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield plain_batch(batch.slice(start, _BATCH_ROWS), names, self.described())
        if not rows:
            raise DataError(f"{self.described()}: there are none", hint="check the conditions of the query")

    @contextmanager
    def _frame(self) -> Iterator[Any]:
        """The DataFrame while the session is open. What goes wrong within becomes a DataError."""
        session = None
        try:
            session = self._session()
            session.conf.set("spark.sql.session.timeZone", "UTC")
            if self.table is not None:
                yield session.table(self.table)
            else:
                # Within brackets, so that it cannot be a command, which Spark would run.
                query = f"SELECT * FROM (\n{self.query}\n) dml_query"
                yield session.sql(query, args=self.params or None)
        except (DmlError, GeneratorExit):
            raise
        except Exception as error:  # noqa: BLE001 - of Spark, gRPC and the network
            told = str(error).partition("JVM stacktrace")[0]
            said = one_line(self.url.redact(told))
            raise DataError(
                f"{self.described()} cannot be read: {said}", hint=f"the address is in {self.url.reference}"
            ) from None
        finally:
            if session is not None:
                session.stop()

    def _session(self) -> Any:
        require("pyspark", "spark")
        url = self.url.reveal()
        parts = urlsplit(url)
        if parts.scheme != "sc" or not parts.hostname:
            raise DataError(
                f"the address in {self.url.reference} is none of Spark Connect", hint="sc://host:15002"
            )
        socket.create_connection((parts.hostname, parts.port or _PORT), timeout=_PATIENCE).close()
        logging.getLogger("SQLQueryContextLogger").disabled = True  # errors are told once, and by us
        with warnings.catch_warnings():
            # It warns of pandas 3, of which nothing is used here.
            warnings.simplefilter("ignore", FutureWarning)
            connect = require("pyspark.sql.connect.session", "spark")
        return connect.SparkSession.builder.remote(url).create()


def _arrow_batches(frame: Any) -> Iterator[pa.RecordBatch]:
    """The rows as they arrive. `DataFrame.toArrow` would hold all of them."""
    import pyarrow as pa

    client = frame.sparkSession.client
    for part in client.to_table_as_iterator(frame._plan.to_proto(client), {}):
        if isinstance(part, pa.Table):
            yield from part.to_batches()
