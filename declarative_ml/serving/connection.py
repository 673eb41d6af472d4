"""uvicorn's connection, with bounds on what a client may do: time, length of heads, requests in line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence, Sized
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from declarative_ml.serving.exchange import REPLY

MOST_HEAD = 64 << 10
"""Bytes of a request's line and headers; also of whatever else is no body, such as trailers."""
LINGER_SECONDS = 2
"""For a client to read the answer that ends its connection."""
LONG_HEAD = f"the line and headers of the request are longer than {MOST_HEAD:,} bytes"
_HOP_BY_HOP = (b"connection", b"upgrade")


class Connection(HttpToolsProtocol):
    """A request that is not whole after the time that an idle connection is kept ends its connection.

    A timer runs only while a request is on its way: those that come whole, as most do, do not pay for one.
    Offers to speak another protocol are passed over, as RFC 9110 (7.8) allows.
    """

    _timer: asyncio.TimerHandle | None = None
    _whole = False
    _offers = False
    """Whether the request offers to speak another protocol."""
    _answered: RequestResponseCycle | None = None
    """The request that is being answered, or was the last."""
    _deaf = False
    """What comes is dropped: the last answer is on its way."""
    _no_body = 0
    """Bytes that came since a body, or since the last request was whole."""

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport, self.pipeline, self.loop, self.config.timeout_keep_alive)
        self._gentle: Any = _Gentle(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._deaf:
            return
        self._stir()
        self._no_body += len(data)
        self._feed(data)
        if not self._whole:
            if self._timer is None:
                self._wait()
        elif self.timeout_keep_alive_task is None:
            self._mind_idleness()
        if self._no_body > MOST_HEAD:
            self._refuse(431, LONG_HEAD)

    def _mind_idleness(self) -> None:
        """What came completed no request that is to be answered: the connection is idle as before."""
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self._idle_after(self.timeout_keep_alive)

    def _idle_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _stir(self) -> None:
        """Something comes: the connection is not idle."""
        self._unset_keepalive_if_required()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._offers:
                self._stay(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _LongHead):
                self._refuse(431, LONG_HEAD)
            else:
                self._refuse(400, "this is not HTTP/1.1")

    def _stay(self, rest: bytes) -> None:
        """Read the request again without its offer of another protocol: behind one the parser reads neither a
        body nor another request."""
        version = self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, version.encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] not in _HOP_BY_HOP]
        self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _refuse(self, status: int, reason: str) -> None:
        """Say why and end the connection; an answer that is under way is not mixed with it."""
        if self._deaf or self.transport.is_closing():
            return
        if self._answered is None or self._answered.response_complete or not self._answered.response_started:
            self.transport.write(_answer(status, reason))
        self.linger()

    def linger(self) -> None:
        """Send no more, and drop for a while what still comes: closing a socket with unread bytes takes the
        last answer away from the client (RFC 9112, 9.6)."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self._rest()
        self.pipeline.clear()
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self._close)

    def on_message_begin(self) -> None:
        """See httptools."""
        self._whole = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See httptools."""
        if (
            self._no_body > MOST_HEAD
            and sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD
        ):
            raise _LongHead
        method = self.parser.get_method()
        self._offers = self.parser.should_upgrade() and method != b"CONNECT"
        if self._offers:
            self.scope["method"] = method.decode("ascii")
        else:
            super().on_headers_complete()
            self.cycle.transport = self._gentle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        scope: Any = cycle.scope
        scope[REPLY] = partial(_reply, cycle)
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._no_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._offers:
            return
        self._whole = True
        self._no_body = 0
        self._rest()
        self.cycle.transport = self.transport
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that nothing came over; see uvicorn."""
        self._close()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.config.timeout_keep_alive, self._end)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        begun = self.cycle is not None and not self._whole
        if begun and not self.cycle.response_complete:
            self._refuse(408, "the request did not arrive in time")
        else:
            self._close()

    def _close(self) -> None:
        """End the connection; what was written may still leave, but not for ever: a client need not read."""
        if not self.transport.is_closing():
            self.transport.close()
            self.flow.watch()


async def _reply(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    """Write a whole answer as one: what uvicorn does of the two messages of ASGI, which become two writes and
    two packets, and cost more than a prediction. `headers` tell the length of the body."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected or cycle.response_started:
        return
    ends = any(name == b"connection" for name, _ in headers)
    if not cycle.keep_alive and not ends:
        headers = [*headers, (b"connection", b"close")]
    whole = whole_answer(
        status, (*cycle.default_headers, *headers), b"" if cycle.scope["method"] == "HEAD" else body
    )
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(whole)
    cycle.message_event.set()
    if ends or not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def whole_answer(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The bytes of an answer. Raises ValueError for a header that would be two."""
    lines = [STATUS_LINE[status]]
    for name, value in headers:
        if b"\n" in value or b"\r" in value:
            raise ValueError(f"a header {name!r} of two lines")
        lines += (name, b": ", value, b"\r\n")
    lines += (b"\r\n", body)
    return b"".join(lines)


class _LongHead(Exception):
    """The head of a request that came at once is beyond the limit."""


class _Gentle:
    """The transport of a request that is not whole yet: an answer that ends the connection lets the client
    finish."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.write, self.is_closing = connection.transport.write, connection.transport.is_closing

    def close(self) -> None:
        self._connection.linger()


class _Flow(FlowControl):
    """Reads on only when no request waits for the one before it: else a client could pile them up.

    A client that takes nothing of what waits for it, for as long as an idle connection is kept, loses its
    connection: the answer behind would wait for ever.
    """

    _stuck: asyncio.TimerHandle | None = None

    def __init__(
        self, transport: Any, waiting: Sized, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        super().__init__(transport)
        self._waiting, self._loop, self._patience = waiting, loop, patience

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._transport.is_closing():
            self._stop_watch()

    def watch(self) -> None:
        """End the connection when the client takes nothing for too long."""
        self._stop_watch()
        waits = self._transport.get_write_buffer_size()
        self._stuck = self._loop.call_later(self._patience, self._judge, waits)

    def _stop_watch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()

    def _judge(self, waited: int) -> None:
        if self._transport.get_write_buffer_size() < waited:
            self.watch()
        else:
            self._transport.abort()


_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


def _answer(status: int, reason: str) -> bytes:
    """A whole answer, for a client that did not send a whole request."""
    body = json.dumps({"error": reason})
    return (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
    ).encode()
