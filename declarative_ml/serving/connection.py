"""uvicorn's connection, with a limit on how long a client may take for the head of its request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """Closes a connection whose first request has no whole head after the time that an idle one is kept."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._late = self.loop.call_later(self.config.timeout_keep_alive, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        super().on_headers_complete()

    def _close_if_silent(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
