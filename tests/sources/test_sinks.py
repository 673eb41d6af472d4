"""Predictions into an object store and a topic of Kafka: all of them, confirmed, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.api.predict import write
from declarative_ml.api.tables import sink_of
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.sources import SINKS
from declarative_ml.sources.kafka import KafkaSource
from declarative_ml.sources.kafka_sink import KafkaSink
from declarative_ml.sources.remote import RemoteSource
from declarative_ml.sources.remote_sink import RemoteSink


def rows(*labels: str) -> Iterator[pa.RecordBatch]:
    for number, label in enumerate(labels):
        probability = pa.array([number / 4, None], pa.float32())
        yield pa.record_batch({"prediction": [label, "ö,\n"], "probability": probability})


def faulty(*labels: str) -> Iterator[pa.RecordBatch]:
    yield from rows(*labels)
    raise DataError("row 7 is bad")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{type: sqlite, path: x}", "type: delta, kafka, remote, sql"),
        ("{path: x}", "the sink has no type that is known"),
        ("{type: remote, path: 's3://lake/answers'}", "has no extension of .csv"),
        ("{type: remote, path: 'https://a/b.csv'}", "String should match pattern"),
        ("{type: remote, path: 's3://a/b.csv', endpoint: 'http://me:pw@x'}", "an address with a password"),
        ("https://a/b.csv", "String should match pattern"),
        ("{type: kafka, servers: x, topic: y, user: me}", "give 'user' and 'password' together"),
        ("{type: kafka, servers: x, topic: y, user: me, password: pw}", "password"),
    ],
)
def test_what_is_no_sink_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")) as caught:
        write(rows("a"), text)
    assert "pw@" not in str(caught.value)


def test_every_sink_names_its_options() -> None:
    for name in SINKS:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            SINKS.load(name).model_validate({"type": name, "nonsense": 1})
    assert isinstance(sink_of("s3://lake/answers.csv"), RemoteSink)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    """A client of moto's server, which speaks S3 over HTTP, with the bucket `lake`; and its address."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in (("ACCESS_KEY_ID", "me"), ("SECRET_ACCESS_KEY", "canary")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    try:
        host, port = served.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="lake")
        yield client
        client.close()
    finally:
        served.stop()


@pytest.mark.slow
def test_an_object_appears_whole_or_not_at_all(bucket: Any) -> None:
    at = {"endpoint": bucket.meta.endpoint_url, "region": "us-east-1"}

    def sink(key: str, store: str = "lake") -> RemoteSink:
        return RemoteSink(path=f"s3://{store}/{key}", **at)

    def content(key: str) -> bytes:
        found: bytes = bucket.get_object(Bucket="lake", Key=key)["Body"].read()
        return found

    for kind in ("csv", "tsv", "parquet", "jsonl", "arrow"):
        key = f"answers/today.{kind}"
        assert write(rows("a", "b"), json.dumps({"type": "remote", "path": f"s3://lake/{key}", **at})) == 4
        table = pa.Table.from_batches(list(RemoteSource(path=f"s3://lake/{key}", **at).batches()))
        assert table["prediction"].to_pylist() == ["a", "ö,\n", "b", "ö,\n"]
    with pytest.raises(DataError, match="row 7 is bad"):
        sink("answers/today.csv").write(faulty("c"))
    with pytest.raises(DataError, match="row 7 is bad"):
        sink("answers/new.csv").write(faulty("c"))
    assert content("answers/today.csv").startswith(b'prediction,probability\n"a",0\n"\xc3\xb6,\n",\n"b",0.25')
    assert sink("answers/today.csv").write(rows("z")) == 2
    assert content("answers/today.csv").startswith(b'prediction,probability\n"z",0\n')
    listed = {each["Key"] for each in bucket.list_objects_v2(Bucket="lake")["Contents"]}
    assert "answers/new.csv" not in listed
    assert sink("none.csv").write(rows()) == 0
    with pytest.raises(DataError, match=r"s3://nowhere/a.csv cannot be written: .*") as caught:
        sink("a.csv", "nowhere").write(rows("a"))
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    assert "canary" not in str(caught.value)


@pytest.mark.slow
def test_a_large_object_is_sent_in_parts_that_are_completed_together(bucket: Any) -> None:
    at = {"endpoint": bucket.meta.endpoint_url, "region": "us-east-1"}
    texts = pa.array(["x" * 1_000 + str(number) for number in range(8_000)])
    batches = (pa.record_batch({"prediction": texts}) for _ in range(4))
    assert RemoteSink(path="s3://lake/large.jsonl", **at).write(batches) == 32_000
    head = bucket.head_object(Bucket="lake", Key="large.jsonl")
    assert head["ContentLength"] > 32_000_000
    assert "-" in head["ETag"], "the ETag of an upload in several parts says their number"
    assert not bucket.list_multipart_uploads(Bucket="lake").get("Uploads")


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Any]]:
    """The address of librdkafka's own mock cluster, and the producer that holds it."""
    kafka = pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "log_level": 0})
    brokers = producer.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers), producer


@pytest.fixture
def topic(cluster: tuple[str, Any], request: pytest.FixtureRequest) -> Callable[..., KafkaSink]:
    def make(**options: Any) -> KafkaSink:
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        return KafkaSink.model_validate({"servers": cluster[0], "topic": name, **options})

    return make


def test_rows_are_messages(topic: Callable[..., KafkaSink]) -> None:
    sink = topic()
    source = KafkaSource(servers=sink.servers, topic=sink.topic)
    with pytest.raises(DataError, match="row 7 is bad"):
        sink.write(faulty("x"))
    said = json.dumps({"type": "kafka", "servers": sink.servers, "topic": sink.topic, "key": "prediction"})
    assert write(rows("a", "b"), said) == 4
    found = pa.Table.from_batches(list(source.batches())).to_pylist()
    assert sorted(found, key=str) == sorted(
        [
            {"prediction": "a", "probability": "0"},
            {"prediction": "b", "probability": "0.25"},
            {"prediction": "ö,\n", "probability": None},
            {"prediction": "ö,\n", "probability": None},
        ],
        key=str,
    )
    with pytest.raises(DataError, match="the rows have no column 'id' to be the key"):
        topic(key="id").write(rows("a"))


@pytest.mark.slow
def test_more_rows_than_the_queue_holds_are_all_confirmed(topic: Callable[..., KafkaSink]) -> None:
    numbers = pa.record_batch({"n": pa.array(range(120_000))})
    sink = topic()
    assert sink.write(iter([numbers])) == 120_000
    source = KafkaSource(servers=sink.servers, topic=sink.topic)
    values = pa.Table.from_batches(list(source.batches()))["n"].to_pylist()
    assert sorted(map(int, values)) == list(range(120_000))


@pytest.mark.slow
def test_servers_that_are_not_there_are_named_as_such(topic: Callable[..., KafkaSink]) -> None:
    with pytest.raises(DataError, match="Kafka refuses the rows for the topic"):
        topic(servers="127.0.0.1:9").write(rows("a"))
