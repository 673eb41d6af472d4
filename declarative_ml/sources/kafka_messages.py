"""Reading a topic from offset to offset, without a consumer group: nothing is committed, nothing is moved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require

Offsets = Mapping[int, tuple[int, ...]]
"""Partition -> the first offset, and the one behind the last."""

_PATIENCE = 15.0
"""Seconds without an answer."""


@dataclass(frozen=True)
class Message:
    """One message."""

    partition: int
    offset: int
    moment: datetime
    value: bytes | None


class Messages:
    """A topic, open for reading; a context manager."""

    def __init__(self, topic: str, settings: Mapping[str, Any]) -> None:
        """`settings` are those of librdkafka. Raises MissingDependency without it."""
        self._kafka = require("confluent_kafka", "kafka")
        self._topic = topic
        self._settings = {
            **settings,
            "group.id": "declarative-ml",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
        }

    def __enter__(self) -> Messages:
        try:
            self._consumer = self._kafka.Consumer(self._settings)
        except self._kafka.KafkaException as error:
            raise self._refused(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def spans(self, wanted: Offsets, since: datetime | None) -> dict[int, tuple[int, int]]:
        """The offsets of each partition that has any: those wanted, else all, or those since a moment.

        Raises DataError for wanted messages that Kafka does not have, or has deleted.
        """
        try:
            partitions = self._partitions()
            held = {number: self._held(number) for number in partitions}
            starts = self._starts(since, partitions)
        except self._kafka.KafkaException as error:
            raise self._refused(error) from None
        if wanted:
            self._check(wanted, held)
            return {number: (first, end) for number, (first, end) in sorted(wanted.items())}
        spans = {number: (max(low, starts.get(number, low)), high) for number, (low, high) in held.items()}
        return {number: span for number, span in sorted(spans.items()) if span[0] < span[1]}

    def read(self, offsets: Offsets) -> Iterator[Message]:
        """The messages, partition after partition, in the order of their offsets."""
        for partition, (first, end) in sorted(offsets.items()):
            self._consumer.assign([self._kafka.TopicPartition(self._topic, partition, first)])
            yield from self._until(partition, end)

    def _until(self, partition: int, end: int) -> Iterator[Message]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            message = self._consumer.poll(1.0)
            if message is None:
                if time.monotonic() > deadline:
                    raise DataError(f"the topic {self._topic}: partition {partition} does not answer")
                continue
            deadline = time.monotonic() + _PATIENCE
            if (error := message.error()) is not None:
                if error.code() == self._kafka.KafkaError._PARTITION_EOF:
                    return
                raise self._refused(error)
            if message.offset() >= end:
                return
            moment = datetime.fromtimestamp(max(message.timestamp()[1], 0) / 1_000, UTC)
            yield Message(partition, message.offset(), moment, message.value())
            if message.offset() == end - 1:
                return

    def _partitions(self) -> list[int]:
        described = self._consumer.list_topics(self._topic, timeout=_PATIENCE).topics[self._topic]
        if described.error is not None:
            raise DataError(
                f"there is no topic {self._topic}: {described.error.str()}", hint="check its name"
            )
        return sorted(described.partitions)

    def _held(self, partition: int) -> tuple[int, int]:
        place = self._kafka.TopicPartition(self._topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=_PATIENCE)
        return low, high

    def _starts(self, since: datetime | None, partitions: list[int]) -> dict[int, int]:
        """Partition -> where the messages since then begin, as far as the broker knows."""
        if since is None:
            return {}
        moment = int(since.timestamp() * 1_000)
        asked = [self._kafka.TopicPartition(self._topic, number, moment) for number in partitions]
        found = self._consumer.offsets_for_times(asked, timeout=_PATIENCE)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _check(self, wanted: Offsets, held: Mapping[int, tuple[int, int]]) -> None:
        for number, (first, end) in wanted.items():
            low, high = held.get(number, (0, 0))
            if not low <= first < end <= high:
                raise DataError(
                    f"the topic {self._topic} does not have the messages {first}…{end - 1} of partition "
                    f"{number}: it has " + (f"{low}…{high - 1}" if low < high else "none"),
                    hint="Kafka deletes old messages; see the topic's retention",
                )

    def _refused(self, error: Any) -> DataError:
        said = (
            getattr(error.args[0], "str", lambda: str(error))() if getattr(error, "args", ()) else error.str()
        )
        return DataError(
            f"Kafka refuses to read the topic {self._topic}: {said}", hint="check servers, user and password"
        )
