"""Messages from librdkafka's own mock cluster, which speaks Kafka's protocol on this machine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.kafka import KafkaSource

_T0 = 1_700_000_000_000
Send = Callable[..., None]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Any]]:
    """The address of a cluster, and its producer."""
    kafka = pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "log_level": 0})
    brokers = producer.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers), producer


@pytest.fixture
def topic(cluster: tuple[str, Any], request: pytest.FixtureRequest) -> tuple[str, Send]:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)

    def send(*values: Any, partition: int = 0, start: int = _T0) -> None:
        for number, value in enumerate(values):
            content = json.dumps(value).encode() if isinstance(value, dict) else value
            cluster[1].produce(name, content, partition=partition, timestamp=start + 1_000 * number)
        assert cluster[1].flush(10) == 0

    return name, send


def rows(source: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.Table.from_batches(list(source.batches())).to_pylist()
    return found


@pytest.fixture
def source(cluster: tuple[str, Any], topic: tuple[str, Send]) -> Callable[..., KafkaSource]:
    def make(**options: Any) -> KafkaSource:
        fields = {"servers": cluster[0], "topic": topic[0], **options}
        return KafkaSource.model_validate(fields)

    return make


def test_messages_are_rows(topic: tuple[str, Send], source: Callable[..., KafkaSource]) -> None:
    send = topic[1]
    send({"a": 1, "b": "x"}, {"a": 2.50, "c": True}, None)
    send({"a": None, "b": "é\n"}, partition=2)
    assert rows(source()) == [
        {"a": "1", "b": "x", "c": None},
        {"a": "2.5", "b": None, "c": "true"},
        {"a": None, "b": "é\n", "c": None},
    ]
    assert source().columns() == ["a", "b", "c"]


def test_offsets_are_fixed_when_the_run_begins(
    topic: tuple[str, Send], source: Callable[..., KafkaSource]
) -> None:
    send = topic[1]
    send({"a": 1}, {"a": 2})
    send({"a": 3}, partition=1)
    bound, facts = source().bound({})
    assert facts == {"offsets": {"0": [0, 2], "1": [0, 1]}}
    send({"a": 4}, {"b": 5})
    assert rows(bound) == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    again, same = source().bound(facts)
    assert (rows(again), same) == (rows(bound), facts)
    assert rows(source(offsets={0: [1, 3]})) == [{"a": "2"}, {"a": "4"}]
    with pytest.raises(DataError, match=r"does not have the messages 3…8 of partition 0: it has 0…3"):
        source(offsets={0: [3, 9]}).bound({})
    with pytest.raises(DataError, match="of partition 77: it has none"):
        source(offsets={77: [0, 1]}).bound({})


def test_messages_of_some_time(topic: tuple[str, Send], source: Callable[..., KafkaSource]) -> None:
    topic[1](*({"a": number} for number in range(6)))
    found = rows(source(since="2023-11-14T22:13:22Z", until="2023-11-14T23:13:25+01:00"))
    assert [row["a"] for row in found] == ["2", "3", "4"]
    with pytest.raises(DataError, match="has no such messages"):
        rows(source(since="2030-01-01T00:00:00Z"))


def avro(record: dict[str, Any], schema: Any, frame: bytes = b"") -> bytes:
    import fastavro

    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return frame + stream.getvalue()


_SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "note", "type": ["null", "string"]},
    ],
}


@pytest.mark.parametrize("frame", [b"", b"\x00\x00\x00\x00\x07"])
def test_avro_with_the_schema_in_a_file(
    frame: bytes, topic: tuple[str, Send], source: Callable[..., KafkaSource], tmp_path: Path
) -> None:
    pytest.importorskip("fastavro", reason="the extra `kafka` is not installed")
    (tmp_path / "order.avsc").write_text(json.dumps(_SCHEMA))
    topic[1](avro({"id": 1, "day": 19_000, "note": None}, _SCHEMA, frame))
    given = source(format="avro", schema="order.avsc").resolved(tmp_path)
    assert rows(given) == [{"id": "1", "day": "2022-01-08", "note": None}]
    assert KafkaSource.model_validate(given.options()) == given
    topic[1](b"\x02")
    with pytest.raises(DataError, match=r"partition 0, offset 1: not a record of this schema"):
        rows(given)
    (tmp_path / "order.avsc").write_text('{"type": "nope"}')
    with pytest.raises(DataError, match=r"order\.avsc is not an Avro schema"):
        rows(given)


def test_avro_with_a_registry(
    topic: tuple[str, Send],
    source: Callable[..., KafkaSource],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("fastavro", reason="the extra `kafka` is not installed")
    from web_server import Web

    with Web() as web:
        web.pages["/schemas/ids/7"] = (200, {}, json.dumps({"schema": json.dumps(_SCHEMA)}).encode())
        topic[1](avro({"id": 1, "day": 0, "note": "x"}, _SCHEMA, b"\x00\x00\x00\x00\x07"))
        given = source(format="avro", registry=web.address())
        assert rows(given) == [{"id": "1", "day": "1970-01-01", "note": "x"}]
        topic[1](avro({"id": 1, "day": 0, "note": "x"}, _SCHEMA, b"\x00\x00\x00\x00\x08"))
        with pytest.raises(DataError, match="offset 1: the registry does not give the schema 8"):
            rows(given)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\xff", "partition 0, offset 0: not JSON"),
        (b"[1]", "partition 0, offset 0: not an object but list"),
        ({"a": [1]}, "partition 0, offset 0: column 'a' holds list"),
    ],
)
def test_a_message_that_is_no_row(
    value: Any, message: str, topic: tuple[str, Send], source: Callable[..., KafkaSource]
) -> None:
    topic[1](value)
    with pytest.raises(DataError, match=message):
        rows(source())


def test_a_topic_that_is_not_there(source: Callable[..., KafkaSource]) -> None:
    with pytest.raises(DataError, match="there is no topic"):
        source().columns()


@pytest.mark.slow
def test_a_cluster_that_is_not_there() -> None:
    pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")
    with pytest.raises(DataError, match="Kafka refuses to read the topic t: "):
        KafkaSource(servers="127.0.0.1:1", topic="t").columns()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "avro"}, "Avro messages need either 'schema' or 'registry'"),
        ({"schema": "a.avsc"}, "'schema' is of Avro messages"),
        ({"user": "me"}, "give 'user' and 'password' together"),
        ({"offsets": {0: [5, 5]}}, "partition 0 begins behind its end"),
        ({"since": "2024-01-01T00:00:00"}, "write a moment with its zone"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KafkaSource.model_validate({"servers": "a:1", "topic": "t", **options})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="confluent_kafka is not installed") as caught:
        KafkaSource(servers="a:1", topic="t").columns()
    assert "declarative-ml[kafka]" in str(caught.value.hint)
