"""A connection without a network."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from declarative_ml.serving.connection import Connection


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        """Nothing to do."""

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing to do."""

    def resume_reading(self) -> None:
        """Nothing to do."""


class House:
    """The connections of one server, on the running event loop."""

    def __init__(self, app: Any, kind: type[Connection], idle_seconds: int = 5) -> None:
        self.config = uvicorn.Config(
            app,
            http=kind,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=idle_seconds,
        )
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.kind = kind

    def connect(self) -> tuple[Connection, Wire]:
        link, wire = self.kind(self.config, self.state, {}), Wire()
        link.connection_made(wire)
        return link, wire

    async def turn(self) -> None:
        """A few turns of the loop: what needs no more of its request is answered."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def rest(self) -> None:
        """Until nothing is left to do; every request must be whole."""
        await self.turn()
        while self.state.tasks:
            await asyncio.wait_for(asyncio.gather(*self.state.tasks), 10)
            await self.turn()

    def leave(self) -> None:
        """Every client goes away, without a close of its own."""
        for link in list(self.state.connections):
            link.connection_lost(ConnectionResetError())
