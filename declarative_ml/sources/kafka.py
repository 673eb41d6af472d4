"""Messages of a Kafka topic, bounded by offsets that the lock of the run records: JSON objects or Avro."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from declarative_ml.core.errors import DataError
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.kafka_access import KafkaAccess
from declarative_ml.sources.kafka_messages import Messages, Offsets
from declarative_ml.sources.message_formats import Decode, avro_decoder, json_object
from declarative_ml.sources.moment import Moment
from declarative_ml.sources.plain_text import text_of

if TYPE_CHECKING:
    import pyarrow as pa


Span = Annotated[tuple[int, ...], Field(min_length=2, max_length=2)]

_LOOK = 1_000
"""Messages that are read to learn the columns."""


class KafkaSource(KafkaAccess, Source):
    """The messages that a topic holds when the run begins, partition after partition; a message is a row.

    The run's lock keeps the offsets, and `dml reproduce` reads the same messages as long as Kafka has them.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    remote: ClassVar[bool] = True

    type: Literal["kafka"] = "kafka"
    format: Literal["json", "avro"] = Field(
        default="json", description="json: an object a message; avro: with a schema, or that of a registry"
    )
    schema_file: str | None = Field(
        default=None, alias="schema", description="avro: file of the schema; relative to the spec"
    )
    registry: str | None = Field(
        default=None, pattern="^https?://", description="avro: address of a schema registry"
    )
    offsets: dict[int, Span] = Field(
        default_factory=dict,
        description="By partition: the first offset and the one behind the last; absent: all there are",
    )
    since: Moment | None = Field(default=None, description="Messages of this moment or later")
    until: Moment | None = Field(default=None, description="Messages before this moment")

    @model_validator(mode="after")
    def _fitting(self) -> KafkaSource:
        schemas = [
            name for name, value in (("schema", self.schema_file), ("registry", self.registry)) if value
        ]
        if self.format == "json" and schemas:
            raise ValueError(f"'{schemas[0]}' is of Avro messages; set format: avro")
        if self.format == "avro" and len(schemas) != 1:
            raise ValueError("Avro messages need either 'schema' or 'registry'")
        wrong = [number for number, (first, end) in self.offsets.items() if not 0 <= first < end]
        if wrong:
            raise ValueError(f"partition {wrong[0]} begins behind its end")
        return self

    def described(self) -> str:
        """The topic."""
        return f"the topic {self.topic}"

    def resolved(self, base: Path) -> KafkaSource:
        """The same source with the paths of its schema and its secret made absolute against `base`."""
        source = super().resolved(base)
        if self.schema_file is None:
            return source
        return source.model_copy(update={"schema_file": str(base / Path(self.schema_file).expanduser())})

    def options(self) -> dict[str, Any]:
        """The canonical parameters, under the names of the YAML."""
        return self.model_dump(mode="json", by_alias=True)

    def options_for_key(self) -> dict[str, object]:
        """Which messages; the schema acts through what they hold."""
        kept = ("servers", "topic", "format", "registry", "offsets", "since", "until")
        options = self.model_dump(mode="json", include=set(kept))
        return {name: options[name] for name in kept if options[name]}

    def bound(self, recorded: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
        """The source with the offsets that the topic has now, or had in the run that is repeated."""
        wanted = {int(number): tuple(span) for number, span in recorded.get("offsets", {}).items()}
        with self._messages() as messages:
            found = messages.spans(wanted or self.offsets, self.since)
        if not found:
            raise DataError(f"the topic {self.topic} has no messages", hint="check offsets and since")
        facts = {"offsets": {str(number): list(span) for number, span in found.items()}}
        return self.model_copy(update={"offsets": found}), facts

    def columns(self) -> list[str]:
        """The keys of the first messages."""
        names: dict[str, None] = {}
        for number, record in enumerate(self._records(self._bound_offsets())):
            names.update(dict.fromkeys(record))
            if number == _LOOK:
                break
        return list(names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All messages as rows of text; a key that a message lacks is a null, a tombstone is no row.

        Raises DataError, which names partition and offset, for a message that cannot be read.
        """
        offsets = self._bound_offsets()
        with tempfile.TemporaryDirectory(prefix="dml-kafka-") as folder:
            path = Path(folder) / f"{self.topic}.jsonl"
            with path.open("w", encoding="utf-8") as lines:
                for record in self._records(offsets):
                    lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            if not path.stat().st_size:
                raise DataError(f"the topic {self.topic} has no such messages", hint="check since and until")
            yield from FileSource(path=str(path)).batches()

    def _bound_offsets(self) -> Offsets:
        if self.offsets:
            return self.offsets
        source, _ = self.bound({})
        return source.offsets if isinstance(source, KafkaSource) else {}

    def _records(self, offsets: Offsets) -> Iterator[dict[str, str | None]]:
        """Each message as a flat mapping of texts."""
        decode = self._decoder()
        with self._messages() as messages:
            for message in messages.read(offsets):
                if message.value is None or not self._is_timely(message.moment):
                    continue
                try:
                    record = decode(message.value)
                    yield {name: text_of(value, name) for name, value in record.items()}
                except DataError as error:
                    place = f"{self.topic}: partition {message.partition}, offset {message.offset}"
                    raise DataError(f"{place}: {error.message}", hint=error.hint) from error

    def _is_timely(self, moment: datetime) -> bool:
        late = self.since is None or moment >= self.since.astimezone(UTC)
        return late and (self.until is None or moment < self.until.astimezone(UTC))

    def _decoder(self) -> Decode:
        return json_object if self.format == "json" else avro_decoder(self.schema_file, self.registry)

    def _messages(self) -> Messages:
        return Messages(self.topic, self.settings())
