"""Several processes that share a port, kept alive by uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn


def run_workers(config: uvicorn.Config, listening: socket.socket, look: Callable[[], None]) -> None:
    """Run the workers until a signal ends them. SIGHUP calls `look`: uvicorn would start all anew."""
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        def handle_hup(self) -> None:
            look()

    Workers(config, [listening]).run()
