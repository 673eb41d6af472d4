"""What a hostile or broken client may do to the connection. Each thing gets its stated answer from a real
server, which then serves the next one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from service_process import Running, serving, wait_for

from declarative_ml.store.bundle import Bundle

ROW = {"age": 41.5, "fare": 12, "town": "Oslo", "member": "yes", "seen": "2024-05-04"}
BODY = json.dumps({"rows": [ROW]}).encode()


def get(path: str = "/healthz", *headers: str, method: str = "GET", host: str = "host: a") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *filter(None, [host]), "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(*headers: str, body: bytes = BODY, path: str = "/predict", length: bool = True) -> bytes:
    more = [f"content-length: {len(body)}"] if length else []
    return get(path, *more, *headers, method="POST") + body


def chunked(body: bytes, size: int, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    sent = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return post("transfer-encoding: chunked", body=b"", length=False) + sent + b"0\r\n" + trailers + b"\r\n"


def keep(request: bytes) -> bytes:
    """The request, without the wish to close the connection."""
    return request.replace(b"connection: close\r\n", b"", 1)


NO_HTTP = "this is not HTTP/1.1"
LONG_HEAD = "the line and headers of the request are longer than 65,536 bytes"
TOO_LONG = "the body is longer than 16,777,216 bytes"
CASES: dict[str, tuple[bytes, int, str]] = {
    # What is no HTTP, or HTTP that two readers may understand in two ways.
    "words": (b"hello\r\n\r\n", 400, NO_HTTP),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(100), 400, NO_HTTP),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, NO_HTTP),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\nhost: a\r\n\r\n", 400, NO_HTTP),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200, "ok"),
    "lines without a carriage return": (b"GET /healthz HTTP/1.1\nhost: a\n\n", 400, NO_HTTP),
    "a line break in a header": (get("/healthz", "x: a\rb"), 400, NO_HTTP),
    "a zero byte in a header": (get("/healthz", "x: a\0b"), 400, NO_HTTP),
    "a folded header": (get("/healthz", "x: a\r\n b"), 400, NO_HTTP),
    "a space before the colon": (get("/healthz", "x : a"), 400, NO_HTTP),
    "a header that is no ASCII": (get("/healthz", "x: \xff\xfe"), 200, "ok"),
    "two lengths": (post("content-length: 4"), 400, NO_HTTP),
    "a length and chunks": (post("transfer-encoding: chunked"), 400, NO_HTTP),
    "a negative length": (post("content-length: -1", length=False), 400, NO_HTTP),
    "a length with a sign": (post("content-length: +1", length=False), 400, NO_HTTP),
    "a length beyond 64 bits": (post("content-length: 99999999999999999999", length=False), 400, NO_HTTP),
    "a length beyond the limit": (post("content-length: 99999999999999", length=False), 413, TOO_LONG),
    "a transfer coding": (post("transfer-encoding: gzip", length=False), 400, NO_HTTP),
    "no length, no chunks": (post(length=False), 400, "the body is not JSON"),
    # Chunks.
    "chunks of a byte": (chunked(BODY, 1), 200, "predictions"),
    "chunks with extensions and trailers": (chunked(BODY, 9, b";a=b", b"x: y\r\n"), 200, "predictions"),
    "a chunk that is no number": (
        post("transfer-encoding: chunked", body=b"zz\r\n\r\n", length=False),
        400,
        NO_HTTP,
    ),
    "a chunk beyond 64 bits": (
        post("transfer-encoding: chunked", body=b"F" * 17 + b"\r\n\r\n", length=False),
        400,
        NO_HTTP,
    ),
    "chunks beyond the limit": (chunked(bytes(17 << 20), 1 << 16), 413, TOO_LONG),
    "endless trailers": (chunked(b"{}", 2, trailers=b"x: y\r\n" * 500_000), 431, LONG_HEAD),
    # Heads.
    "many headers": (get("/healthz", *["x: y"] * 5000), 200, "ok"),
    "too many headers": (get("/healthz", *[f"x{place}: y" for place in range(40_000)]), 431, LONG_HEAD),
    "a long header": (get("/healthz", "x: " + "y" * 100_000), 431, LONG_HEAD),
    "a long body for a path that is not there": (post(path="/x", body=bytes(5 << 20)), 404, "Not Found"),
    "an endless header": (get("/healthz", "x: " + "y" * 5_000_000), 431, LONG_HEAD),
    "a range": (get("/healthz", "range: bytes=" + "0-," * 2000), 200, "ok"),
    "no host": (get(host=""), 200, "ok"),
    "two hosts": (get("/healthz", "host: b"), 200, "ok"),
    "an expectation": (post("expect: 100-continue"), 100, "predictions"),
    "an unknown expectation": (post("expect: 200-maybe"), 200, "predictions"),
    "an expectation of too long a body": (
        post("expect: 100-continue", "content-length: 99999999", length=False),
        413,
        TOO_LONG,
    ),
    # Methods.
    "an unknown method": (get("/predict", method="BREW"), 400, NO_HTTP),
    "GET of a POST": (get("/predict"), 405, "Method Not Allowed"),
    "HEAD": (get(method="HEAD"), 200, ""),
    "HEAD of a POST": (get("/predict", method="HEAD"), 405, ""),
    **{
        f"{method} {path}": (get(path, method=method), 405, "Method Not Allowed")
        for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")
        for path in ("/healthz", "/predict")
    },
    "OPTIONS of all": (get("*", method="OPTIONS"), 404, "Not Found"),
    "CONNECT to a host": (get("evil:80", method="CONNECT"), 400, NO_HTTP),
    "another method in a header": (post("x-http-method-override: DELETE"), 200, "predictions"),
    # Paths.
    "a query": (post(path="/predict?x=1&y=%ff&z"), 200, "predictions"),
    "a slash behind": (post(path="/predict/"), 404, "Not Found"),
    "two slashes": (post(path="//predict"), 404, "Not Found"),
    "dots": (get("/../../etc/passwd"), 404, "Not Found"),
    "dots inside": (post(path="/models/../predict"), 404, "Not Found"),
    "dots in disguise": (get("/%2e%2e/%2e%2e/etc/passwd"), 404, "Not Found"),
    "dots in two disguises": (get("/%252e%252e/etc/passwd"), 404, "Not Found"),
    "backslashes": (get("/..\\..\\etc\\passwd"), 404, "Not Found"),
    "dots for a model": (post(path="/v2/models/%2e%2e/infer"), 404, "Not Found"),
    "an unknown model": (post(path="/v2/models/x/infer"), 404, "Not Found"),
    "an unknown version": (post(path="/v2/models/guests-stays/versions/0/infer"), 404, "Not Found"),
    "a zero byte": (get("/%00"), 404, "Not Found"),
    "half an escape": (get("/%"), 404, "Not Found"),
    "no hexadecimal": (get("/%zz"), 404, "Not Found"),
    "no UTF-8": (get("/%ff%fe"), 404, "Not Found"),
    "no ASCII": (get("/\xff"), 400, NO_HTTP),
    "a long path": (get("/" + "a" * 60_000), 404, "Not Found"),
    "too long a path": (get("/" + "a" * 1_000_000), 431, LONG_HEAD),
    "a whole address": (post(path="http://evil/predict"), 200, "predictions"),
    # Offers of another protocol: Java's and curl's clients make them by default.
    "HTTP/2 offered": (
        keep(post("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk"))
        + post(),
        200,
        "predictions",
    ),
    "HTTP/2 offered for chunks": (
        keep(chunked(BODY, 9)).replace(b"host: a", b"host: a\r\nconnection: Upgrade\r\nupgrade: h2c") + get(),
        200,
        "predictions",
    ),
    "a web socket": (
        keep(get("/healthz", "connection: Upgrade", "upgrade: websocket", "sec-websocket-key: abc")) + get(),
        200,
        "ok",
    ),
    # One behind another.
    "pipelined": (keep(get()) * 50 + post(), 200, "predictions"),
    "words behind a request": (keep(get()) + b"words\r\n\r\n", 400, NO_HTTP),
}


@pytest.mark.parametrize("name", CASES)
def test_it_gets_its_answer(running: Running, name: str) -> None:
    sent, status, said = CASES[name]
    found = running.exchange(sent).decode()
    assert found.startswith(f"HTTP/1.1 {status} ")
    assert said in found
    assert " 500 " not in found
    assert running.ask("POST", "/predict", {"rows": [ROW]})[0] == 200


def test_every_request_of_a_pipeline_is_answered_in_order(running: Running) -> None:
    found = running.exchange((keep(get()) + keep(post())) * 300 + get("/ping"))
    assert found.count(b"HTTP/1.1 200 OK") == 601
    assert found.count(b'"predictions"') == 300


def test_a_request_may_come_byte_by_byte(running: Running) -> None:
    request = post()
    found = running.exchange(*(request[place : place + 4] for place in range(0, len(request), 4)))
    assert found.startswith(b"HTTP/1.1 200 ")


def test_an_answer_to_head_has_the_length_and_no_body(running: Running) -> None:
    head, _, body = running.exchange(get(method="HEAD")).partition(b"\r\n\r\n")
    assert b"content-length: 15" in head
    assert body == b""


SLOW: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "empty lines": (b"\r\n\r\n", ""),
    "half a line": (b"POST /pre", ""),
    "half a head": (b"POST /predict HTTP/1.1\r\nhost:", ""),
    "half a body": (keep(post(body=BODY + b" " * 100))[:-50], " 408 "),
    "half a chunk": (keep(chunked(BODY, 1000))[:-20], " 408 "),
    "a second request": (keep(get()) + b"GET /", " 200 "),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_is_let_go(running: Running, name: str) -> None:
    sent, said = SLOW[name]
    began = time.monotonic()
    assert said in running.exchange(sent).decode()
    assert time.monotonic() - began < 8


def test_drops_of_a_request_do_not_buy_time(running: Running) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as link:
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 15:
                link.sendall(b"x")
                time.sleep(0.1)
    assert 2 < time.monotonic() - began < 10


def test_slow_clients_do_not_slow_others(running: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(200)]
    try:
        for link in slow:
            link.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{")
        began = time.monotonic()
        for _ in range(20):
            assert running.ask("POST", "/predict", {"rows": [ROW]})[0] == 200
        assert time.monotonic() - began < 3
    finally:
        for link in slow:
            link.close()


def test_a_client_that_piles_up_requests_fills_no_memory(running: Running) -> None:
    before = running.resident_mebibytes()
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as link:
        reader = threading.Thread(target=drain, args=[link])
        reader.start()
        many = keep(get()) * 5000
        end = time.monotonic() + 2
        while time.monotonic() < end:
            link.sendall(many)
        link.shutdown(socket.SHUT_RDWR)
        reader.join(10)
    assert running.resident_mebibytes() - before < 40


def drain(link: socket.socket) -> None:
    while link.recv(1 << 20):
        pass


def test_a_client_that_does_not_read_is_let_go(bundle_of: Callable[[str], Bundle]) -> None:
    with serving(bundle_of("stays").path, "--timeout", "1s") as running, socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        link.connect(("127.0.0.1", running.port))
        link.settimeout(20)
        mine = link.getsockname()[1]
        many = keep(post(body=json.dumps({"rows": [ROW] * 9000}).encode()))
        with suppress(ConnectionError):
            for _ in range(15):  # the kernel takes up to some MiB for the client
                link.sendall(many)
                time.sleep(0.3)  # each is whole: no request is waited for
        wait_for(lambda: not is_held(running.port, mine))


def is_held(port: int, client: int) -> bool:
    """Whether a process holds the service's end of the connection; what the kernel still sends does not
    count. See proc_net_tcp in the kernel's documentation."""
    ends = [f":{port:04X}", f":{client:04X}"]
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any([line[1][8:], line[2][8:]] == ends and line[9] != "0" for line in lines)


def test_clients_that_leave_in_the_middle_leave_nothing(running: Running) -> None:
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", running.port)) as link:
            link.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{")
    wait_for(lambda: b"dml_requests_inside 1.0" in running.ask("GET", "/metrics")[1])


def test_the_log_says_nothing_of_all_this(running: Running, row: dict[str, Any]) -> None:
    assert running.ask("POST", "/predict", {"rows": [row]})[0] == 200
    assert running.process.poll() is None
    assert running.log.read_text().strip().endswith("stop with Ctrl-C")
