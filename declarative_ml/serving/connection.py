"""uvicorn's connection, with a limit on how long a client may take to send a request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b'content-length: 49\r\n\r\n{"error": "the request did not arrive in time"}\r\n'
)


class Connection(HttpToolsProtocol):
    """A request that is not whole after the time that an idle connection is kept ends its connection.

    A timer runs only while a request is on its way: those that come whole, as most do, do not pay for one.
    """

    _timer: asyncio.TimerHandle | None = None
    _whole = False

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self._whole:
            self._rest()
        elif self._timer is None:
            self._wait()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._whole = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._whole = True
        super().on_message_complete()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.config.timeout_keep_alive, self._end)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.transport is None or self.transport.is_closing():
            return
        if self.cycle is not None and not self._whole:
            self.transport.write(_LATE)
        self.transport.close()
