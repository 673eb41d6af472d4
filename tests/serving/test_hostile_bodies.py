"""Bodies that are broken, or made to break: each gets its stated answer from a real server, which goes on."""

from __future__ import annotations

import gzip
import json
import struct
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from service_client import Client
from service_process import Running

ROW: dict[str, Any] = {"age": 41.5, "fare": 12.0, "town": "Oslo", "member": "yes", "seen": "2024-05-04"}
JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
INFER = "/v2/models/guests-stays/infer"


def with_row(**change: Any) -> bytes:
    return json.dumps({"rows": [{**ROW, **change}]}).encode()


def with_text(text: str) -> bytes:
    """A row in which the text stands for the age, as it is."""
    return with_row(age="HERE").replace(b'"HERE"', text.encode())


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def messages(table: pa.Table, **options: Any) -> list[bytes]:
    """The messages of an Arrow stream: the schema, dictionaries, batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    found = pa.ipc.MessageReader.open_stream(sink.getvalue())
    return [message.serialize().to_pybytes() for message in found]


def table(rows: int = 3, **change: Any) -> pa.Table:
    return pa.table({**{name: [value] * rows for name, value in ROW.items()}, **change})


def stream(rows: int = 3, **change: Any) -> bytes:
    return b"".join(messages(table(rows, **change)))


LONG_TEXT = "x" * (1 << 20)
TOWNS = pa.array(["Oslo", LONG_TEXT]).dictionary_encode()


def compressed_dictionary() -> bytes:
    plain, packed = (messages(table(2, town=TOWNS, seen=["2024-01-01"] * 2), **o) for o in ({}, ZSTD))
    return b"".join([plain[0], packed[1], plain[2]])


ZSTD = {"compression": "zstd"}


def shared_view(rows: int) -> pa.Array:
    view = struct.pack("<i4sii", len(LONG_TEXT), b"xxxx", 0, 0)
    return pa.Array.from_buffers(
        pa.string_view(), rows, [None, pa.py_buffer(view * rows), pa.py_buffer(LONG_TEXT.encode())]
    )


def tensors(**change: Any) -> bytes:
    kinds = {"age": "FP32", "fare": "FP32", "town": "BYTES", "member": "BYTES", "seen": "BYTES"}
    inputs = [
        {"name": name, "shape": [1], "datatype": kind, "data": [ROW[name]]} for name, kind in kinds.items()
    ]
    inputs[0] = {name: value for name, value in {**inputs[0], **change}.items() if value is not ...}
    return json.dumps({"inputs": inputs}).encode()


MANY = {f"k{place}": 1 for place in range(50_000)}
BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + with_row(), 400, "not JSON"),
    "UTF-16": (with_row().decode().encode("utf-16"), 400, "not JSON"),
    "no UTF-8": (with_row().replace(b"Oslo", b"\xff\xfe"), 400, "not JSON"),
    "half a character": (with_text('"\\ud800"'), 400, "not JSON"),
    "words behind": (with_row() + b"{}", 400, "not JSON"),
    "a comma behind": (with_row()[:-2] + b",]}", 400, "not JSON"),
    "gzip unannounced": (gzip.compress(with_row()), 400, "not JSON"),
    "NaN": (with_text("NaN"), 400, "not JSON"),
    "Infinity": (with_text("-Infinity"), 400, "not JSON"),
    "1e999": (with_text("1e999"), 400, "not JSON"),
    "a number of 5,000 digits": (with_text("1" * 5000), 400, "not JSON"),
    "a number of 4,000 digits": (with_text("1" * 4000), 422, "column 'age', row 1: 1111"),
    "a fraction of 100,000 digits": (with_text("0." + "1" * 100_000), 200, "predictions"),
    "1e308": (with_text("1e308"), 200, "predictions"),
    "a million digits in a text": (with_row(age="1" * 10**6), 422, "column 'age', row 1: '1111"),
    "a million digits for a date": (with_row(seen="2" * 10**6), 422, "column 'seen', row 1: '2222"),
    "a million spaces": (with_row(age="1" + " " * 10**6 + "x"), 422, "column 'age', row 1"),
    "a text of a megabyte": (with_row(town=LONG_TEXT), 200, "predictions"),
    "control characters": (with_row(town="a\0\x1b[31m\u202e"), 200, "predictions"),
    "a huge number for a text": (with_row(town=10**300), 200, "predictions"),
    "a list": (with_row(age=[1]), 422, "[1] is not a number"),
    "an object": (with_row(age={"a": 1}), 422, "is not a number"),
    "a key twice": (with_text('1, "age": 30'), 200, "predictions"),
    "rows twice": (b'{"rows": 1, ' + with_row()[1:], 200, "predictions"),
    **{f"nested {depth} times": (with_text(nested(depth)), 422, "") for depth in (50, 500)},
    **{f"nested {depth} times": (with_text(nested(depth)), 4, "") for depth in range(900, 1000, 3)},
    "nested 100,000 times": (with_text(nested(100_000)), 400, "not JSON"),
    "a nested row": (b'{"rows": [%s]}' % nested(800).encode(), 422, "row 1 is [[["),
    "many unknown columns": (with_row(**MANY), 422, "'k19', and 49980 more"),
    "a long unknown column": (with_row(**{"x" * 3_000_000: 1}), 422, "does not take: 'xxx"),
    "a long text for a row": (json.dumps({"rows": ["x" * 3_000_000]}).encode(), 422, "row 1 is 'xxx"),
    "many columns": (
        json.dumps({"columns": {**{key: [1] for key in MANY}, "z": []}}).encode(),
        422,
        "unequal",
    ),
    "too many rows": (json.dumps({"rows": [{}] * 10_001}).encode(), 413, "at most 10,000 are taken"),
}
TYPED: dict[str, tuple[str, bytes, int, str]] = {
    "XML": ("application/xml", b"<a/>", 415, "is not read here"),
    "a form": ("application/x-www-form-urlencoded", b"rows=1", 415, "is not read here"),
    "many parts": ("multipart/form-data; boundary=" + "x" * 5000, b"--x\r\n", 415, "is not read here"),
    "a type that is no type": ("\xff/\xfe", with_row(), 415, "is not read here"),
    "a pickle": ("application/x-python-pickle", b"\x80\x04.", 415, "is not read here"),
    "JSON of a kind": ("application/problem+json", with_row(), 415, "is not read here"),
    "JSON with a character set": ("application/JSON; charset=utf-8", with_row(), 200, "predictions"),
    "empty CSV": (CSV, b"", 422, "there are no rows"),
    "CSV of empty lines": (CSV, b"\r\n\r\n", 422, "there are no rows"),
    "CSV without rows": (CSV, b"age,fare,town,member,seen\n", 422, "there are no rows"),
    "CSV with an open quote": (CSV, b'age\n"x', 400, "not CSV"),
    "CSV with a long cell": (CSV, b"age\n" + b"x" * 200_000, 400, "not CSV"),
    "CSV with a column twice": (CSV, b"age,age\n1,2\n", 400, "two columns of the CSV"),
    "ragged CSV": (CSV, b"age,fare\n1\n", 400, "row 1 has 1 cells, the header has 2"),
    "CSV that is no UTF-8": (CSV, b"age\n\xff", 400, "not CSV"),
    "CSV of many columns": (CSV, ",".join(MANY).encode() + b"\n" + b"," * 49_999, 422, "lacks the column"),
    "no Arrow": (ARROW, b"hello", 400, "not an Arrow stream"),
    "an Arrow file": (ARROW, b"ARROW1\0\0" + stream(), 400, "not an Arrow stream"),
    "compressed Arrow": (ARROW, b"".join(messages(table(500), **ZSTD)), 415, "compressed buffers"),
    "a compressed dictionary": (ARROW, compressed_dictionary(), 415, "compressed buffers"),
    "a dictionary that fills the memory": (
        ARROW,
        stream(9000, town=pa.DictionaryArray.from_arrays(pa.array([1] * 9000), TOWNS.dictionary)),
        413,
        "the texts of the rows are longer than 16,777,216 bytes",
    ),
    "views that fill the memory": (ARROW, stream(9000, town=shared_view(9000)), 413, "the texts of the rows"),
    "a dictionary": (ARROW, stream(town=pa.array(["a", "b", "a"]).dictionary_encode()), 200, "ARROW"),
    "nested Arrow": (ARROW, stream(age=[[1.0]] * 3), 422, "cannot be a column"),
    "Arrow bytes": (ARROW, stream(town=[b"\xff"] * 3), 422, "cannot be a column"),
    "an infinite Arrow number": (ARROW, stream(age=[np.inf] * 3), 422, "inf is not a number"),
    "Arrow without columns": (ARROW, b"".join(messages(pa.table({}))), 422, "there are no rows"),
    "too many Arrow rows": (ARROW, stream(10_001), 413, "more than 10,000 rows"),
}
TENSORS: dict[str, tuple[bytes, int, str]] = {
    "a huge row count": (tensors(shape=[2**62]), 413, "at most 10,000 are taken"),
    "a row count beyond 64 bits": (tensors(shape=[10**30]), 413, "at most 10,000 are taken"),
    "a nested shape": (tensors(shape=json.loads(nested(400))), 400, "the shape [[["),
    "a nested datatype": (tensors(datatype=json.loads(nested(400))), 400, "the datatype [[["),
    "nested data": (tensors(data=json.loads(nested(400))), 400, "is not FP32"),
    "a long name": (tensors(name="x" * 3_000_000), 400, "lacks the column(s) 'age'"),
    "10**400": (tensors(datatype="FP64", data=[10**400]), 400, "is not a number"),
    "a size that is truth": (tensors(parameters={"binary_data_size": True}, data=...), 400, "not the size"),
}


def ask(running: Running, path: str, body: bytes, *headers: str) -> tuple[int, str]:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: a",
        "connection: close",
        f"content-length: {len(body)}",
        *headers,
    ]
    found = running.exchange(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
    head, _, answer = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), answer.decode("utf-8", "replace")


def check(running: Running, status: int, said: str, found: tuple[int, str]) -> None:
    assert found[0] == status or found[0] // 100 == status
    assert said in found[1] or (said == "ARROW" and "prediction" in found[1])
    if found[0] >= 400:
        assert len(json.loads(found[1])["error"]) <= 1001
    assert running.ask("POST", "/predict", {"rows": [ROW]})[0] == 200


@pytest.mark.parametrize("name", BODIES)
def test_json_gets_its_answer(running: Running, name: str) -> None:
    body, status, said = BODIES[name]
    check(running, status, said, ask(running, "/predict", body))


@pytest.mark.parametrize("name", TYPED)
def test_another_type_gets_its_answer(running: Running, name: str) -> None:
    media, body, status, said = TYPED[name]
    check(running, status, said, ask(running, "/predict", body, f"content-type: {media}"))


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_get_their_answer(running: Running, name: str) -> None:
    body, status, said = TENSORS[name]
    check(running, status, said, ask(running, INFER, body))


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/explain", "/vertex/predict", INFER])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_a_packed_body_is_refused_unopened(running: Running, path: str, coding: str) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    check(running, 415, "compressed", ask(running, path, bomb, f"content-encoding: {coding}"))


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/explain", "/vertex/predict", INFER])
@pytest.mark.parametrize("body", ["null", "1", '"rows"', "[]", "{}", '{"rows": {}}', '{"instances": [[]]}'])
def test_no_path_fails_on_what_is_no_request(running: Running, path: str, body: str) -> None:
    check(running, 4, "", ask(running, path, body.encode()))


def test_damaged_streams_never_fail_the_service(stays: Client) -> None:
    """Bytes changed by chance, from a fixed seed, and every cut of a stream."""
    source = np.random.default_rng(5)
    good = stream(town=pa.array(["a", "b", "a"]).dictionary_encode())
    cuts = [good[:end] for end in range(0, len(good), 16)]
    for place in source.integers(0, len(good), 300).tolist():
        changed = bytearray(good)
        changed[place] = int(source.choice([0, 1, 127, 128, 255]))
        cuts.append(bytes(changed))
    found = [stays.post("/predict", body, content_type=ARROW).status for body in cuts]
    assert set(found) <= {200, 400, 413, 415, 422}


def big_bodies() -> dict[str, tuple[str, bytes]]:
    """Nearly 16 MiB each: rows, instances, and tensors."""
    rows = [{**ROW, "town": "x" * 1500} for _ in range(10_000)]
    inputs = json.loads(tensors())["inputs"]
    for item in inputs:
        item |= {"shape": [10_000], "data": [row[item["name"]] for row in rows]}
    return {
        "rows": ("/predict", json.dumps({"rows": rows}).encode()),
        "instances": ("/vertex/predict", json.dumps({"instances": rows}).encode()),
        "tensors": (INFER, json.dumps({"inputs": inputs}).encode()),
        "a refusal": ("/explain", json.dumps({"rows": rows}).encode()),
    }


def test_probes_are_answered_while_a_big_body_is_read(running: Running) -> None:
    for path, body in big_bodies().values():
        assert 14 << 20 < len(body) < 16 << 20
        found: list[tuple[int, str]] = []
        work = threading.Thread(target=lambda: found.append(ask(running, path, body)))  # noqa: B023
        work.start()
        slowest, asked = 0.0, 0
        while work.is_alive():
            began = time.perf_counter()
            assert running.ask("GET", "/healthz")[0] == 200
            slowest, asked = max(slowest, time.perf_counter() - began), asked + 1
        work.join()
        assert found[0][0] == (413 if path == "/explain" else 200)
        assert asked >= 2
        assert slowest < 1.0
