"""Before the first model: the port answers probes, and the socket is handed on."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.serving.first_model import first_model


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def ask(listening: socket.socket, method: str, path: str) -> tuple[int, Any]:
    link = http.client.HTTPConnection(*listening.getsockname(), timeout=5)
    try:
        link.request(method, path)
        reply = link.getresponse()
        body = reply.read()
        return reply.status, json.loads(body) if body else None
    finally:
        link.close()


class Models:
    """Fails until it is told that there is one; each look asks the waiting server something."""

    def __init__(self, listening: socket.socket, looks: int) -> None:
        self.listening, self.left = listening, looks
        self.asked: dict[str, tuple[int, Any]] = {}

    def begin(self) -> None:
        if self.left == 1:
            for path in ("/healthz", "/v2/health/live", "/readyz", "/predict"):
                self.asked[path] = ask(self.listening, "GET", path)
            self.asked["POST"] = ask(self.listening, "POST", "/predict")
            self.asked["HEAD"] = ask(self.listening, "HEAD", "/healthz")
        self.left -= 1
        if self.left >= 0:
            raise DmlError("the registry has no champion")


def test_alive_and_not_ready(listening: socket.socket) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    models = Models(listening, 2)
    assert first_model(models.begin, listening, "here", 0.01)
    assert {path: status for path, (status, _) in models.asked.items()} == {
        "/healthz": 200, "/v2/health/live": 200, "/readyz": 503, "/predict": 503, "POST": 503, "HEAD": 200,
    }  # fmt: skip
    assert models.asked["/readyz"][1]["trouble"] == {"first model": "the registry has no champion"}
    assert models.asked["HEAD"][1] is None
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    # The socket goes on listening, for the service.
    with socket.create_connection(listening.getsockname(), timeout=5):
        listening.accept()[0].close()


def test_nothing_to_wait_for(listening: socket.socket) -> None:
    assert first_model(lambda: None, listening, "here", 60.0)


def test_other_faults_are_not_waited_for(listening: socket.socket) -> None:
    def begin() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        first_model(begin, listening, "here", 60.0)


@pytest.mark.parametrize(("number", "looks"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGHUP, 2)])
def test_signals(listening: socket.socket, number: int, looks: int) -> None:
    """The first two end the waiting, the third looks at once."""
    seen = []

    def begin() -> None:
        seen.append(1)
        if len(seen) == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
            raise DataError("nothing there")

    assert first_model(begin, listening, "here", 60.0) == (number == signal.SIGHUP)
    assert len(seen) == looks
