"""A connection without a network: what it writes, and in how many pieces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from wire import House, Wire

from declarative_ml.serving.connection import Connection
from declarative_ml.serving.exchange import REPLY, Answer, send_answer


def exchange(request: bytes, answer: Answer) -> Wire:
    """What goes over the line when `answer` is the application's to `request`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send_answer(send, answer, scope.pop(REPLY))

    async def go() -> Wire:
        house = House(app, Connection)
        link, wire = house.connect()
        link.data_received(request)
        await asyncio.gather(*house.state.tasks)
        house.leave()
        return wire

    return asyncio.run(go())


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n%s\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 4\r\n"


@pytest.mark.parametrize(
    ("request_", "answer", "expected", "closed"),
    [
        (POST % b"", Answer(b"body"), HEAD + b"\r\nbody", False),
        (POST % b"connection: close\r\n", Answer(b"body"), HEAD + b"connection: close\r\n\r\nbody", True),
        (
            POST % b"",
            Answer(b"body", headers=((b"connection", b"close"),)),
            HEAD + b"connection: close\r\n\r\nbody",
            True,
        ),
        (b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", Answer(b"body"), HEAD + b"\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", Answer(b"body"), HEAD + b"connection: close\r\n\r\nbody", True),
    ],
    ids=["plain", "the client closes", "the answer closes", "HEAD", "HTTP/1.0"],
)
def test_an_answer_is_one_write(request_: bytes, answer: Answer, expected: bytes, closed: bool) -> None:
    line = exchange(request_, answer)
    assert line.written == [expected]
    assert line.closed == closed


def test_a_header_of_two_lines_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    line = exchange(POST % b"", Answer(b"body", headers=((b"x-request-id", b"a\r\nset-cookie: b"),)))
    assert b"set-cookie" not in b"".join(line.written)
    assert b"".join(line.written).startswith(b"HTTP/1.1 500 ")
    assert "a header b'x-request-id' of two lines" in caplog.text
