"""A topic of Kafka to write to: a JSON object for each row, and each of them confirmed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.core.optional import require
from declarative_ml.sources.kafka_access import KafkaAccess
from declarative_ml.sources.sink import Sink
from declarative_ml.sources.table_writer import json_rows

if TYPE_CHECKING:
    import pyarrow as pa

_PATIENCE = 15.0
"""Seconds until the servers answer for the first time."""
_DELIVERY_MS = 120_000
"""Milliseconds that a message may take, with all repetitions."""


class KafkaSink(KafkaAccess, Sink):
    """A topic that predictions are written to. Kafka takes no message back: see `send`."""

    type: Literal["kafka"] = "kafka"
    key: str | None = Field(
        default=None,
        description="Column whose value is the key of the message; absent: no key",
    )

    def send(self, rows: pa.RecordBatchReader) -> None:
        """Send all rows, in order, by an idempotent producer: none is lost, none comes twice.

        The first message goes out when the last row is there: rows that end in an error leave the topic as it
        was. When Kafka fails midway, the error says how many messages it has confirmed; those stay.
        """
        import pyarrow as pa

        if self.key is not None and self.key not in rows.schema.names:
            hint = f"columns: {', '.join(rows.schema.names[:20])}; --keep {self.key} adds one of the data's"
            raise DataError(f"the rows have no column {self.key!r} to be the key of a message", hint=hint)
        with tempfile.TemporaryDirectory(prefix="dml-kafka-") as folder:
            path = Path(folder) / "rows.arrow"
            with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)
            with pa.memory_map(str(path)) as stream, pa.ipc.open_stream(stream) as spooled:
                self._send_messages(spooled)

    def refused(self, error: Exception) -> DataError:
        """What the servers said."""
        said = f"Kafka refuses the rows for the topic {self.topic}: {one_line(error)}"
        return DataError(said, hint="check servers, user and password")

    def _send_messages(self, batches: pa.RecordBatchReader) -> None:
        kafka = require("confluent_kafka", "kafka")
        settings = {"enable.idempotence": True, "message.timeout.ms": _DELIVERY_MS}
        producer = kafka.Producer(self.settings() | settings)
        described = producer.list_topics(self.topic, timeout=_PATIENCE).topics[self.topic]
        if described.error is not None:
            said = f"there is no topic {self.topic}: {described.error.str()}"
            raise DataError(said, hint="create it, with as many partitions as its readers need")
        confirmed = _Confirmed()
        for batch in batches:
            for key, value in self._messages(batch):
                while confirmed.error is None and not _queued(producer, self.topic, key, value, confirmed):
                    producer.poll(1.0)
            producer.poll(0.0)
            if confirmed.error is not None:
                producer.purge()
                break
        while producer.flush(1.0):
            pass  # each message is confirmed or has failed when its time is over
        if confirmed.error is not None:
            said = f"Kafka has confirmed {confirmed.messages:,} messages for the topic {self.topic}, and then"
            hint = "it keeps those: have its readers leave out what comes again"
            raise DataError(f"{said}: {confirmed.error}", hint=hint)

    def _messages(self, batch: pa.RecordBatch) -> Iterator[tuple[str | None, bytes]]:
        """Key and value of each row's message."""
        import pyarrow.compute as pc

        values = json_rows(batch)
        if self.key is None:
            return ((None, value) for value in values)
        keys = pc.cast(batch.column(self.key), "string").to_pylist()
        return zip(keys, values, strict=True)


class _Confirmed:
    """How many messages Kafka has confirmed, and the first error."""

    def __init__(self) -> None:
        self.messages = 0
        self.error: str | None = None

    def __call__(self, error: Any, message: Any) -> None:
        """Called by the producer for each message."""
        if error is None:
            self.messages += 1
        elif self.error is None:
            self.error = one_line(error.str())


def _queued(producer: Any, topic: str, key: str | None, value: bytes, confirmed: _Confirmed) -> bool:
    """Whether there was room for the message."""
    try:
        producer.produce(topic, value=value, key=key, on_delivery=confirmed)
    except BufferError:
        return False
    return True
