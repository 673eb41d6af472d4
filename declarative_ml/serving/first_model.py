"""The time before a first model: the port is open, the process is alive, and nothing is ready yet.

A service that is deployed before its first training would else be started anew again and again. It uses the
standard library's server, which has no more to do than to say so.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from declarative_ml.core.errors import DmlError

log = logging.getLogger("declarative_ml.serving")

_CLIENT_SECONDS = 2.0
_ALIVE = ("/healthz", "/v2/health/live")
_LOOK = 0.05


def first_model(begin: Callable[[], object], listening: socket.socket, address: str, poll: float) -> bool:
    """Try `begin` about every `poll` seconds, SIGHUP at once, until it raises no DmlError any more; meanwhile
    answer probes at `listening`. False where a signal ended the waiting. For the main thread.

    `/healthz` is 200, everything else 503; `/readyz` says why.
    """
    try:
        begin()
        return True
    except DmlError as error:
        told = error.message
        log.warning("there is no model yet (%s); waiting at %s", told, address)
    chance, asked, ended = random.Random(), threading.Event(), threading.Event()
    with _signals(asked, ended), _answering(listening, lambda: told):
        while True:
            asked.wait(poll * chance.uniform(0.8, 1.2))
            if ended.is_set():
                return False
            asked.clear()
            try:
                begin()
                return True
            except DmlError as error:
                if error.message != told:
                    log.warning("there is no model yet: %s", error.message)
                told = error.message


@contextmanager
def _signals(asked: threading.Event, ended: threading.Event) -> Iterator[None]:
    def end(*_: object) -> None:
        ended.set()
        asked.set()

    handlers: dict[int, Callable[..., None]] = {
        signal.SIGTERM: end,
        signal.SIGINT: end,
        signal.SIGHUP: lambda *_: asked.set(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _answering(listening: socket.socket, why: Callable[[], str]) -> Iterator[None]:
    """Answer at a copy of the socket: what is not taken yet waits for the service itself."""

    class Handler(_Waiting):
        reason = staticmethod(why)

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening.dup()
    thread = threading.Thread(target=server.serve_forever, args=(_LOOK,), name="dml-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Waiting(BaseHTTPRequestHandler):
    """Alive, and not ready."""

    timeout = _CLIENT_SECONDS
    reason: Callable[[], str]

    def _answer(self) -> None:
        alive = self.command in ("GET", "HEAD") and self.path in _ALIVE
        if alive:
            content: dict[str, Any] = {"status": "alive"}
        elif self.path == "/readyz":
            content = {"status": "waiting", "trouble": {"first model": self.reason()}}
        else:
            content = {"error": "there is no model yet"}
        body = json.dumps(content).encode()
        self.send_response(200 if alive else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if not alive:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815

    def version_string(self) -> str:
        """Nothing of the inside."""
        return "dml"

    def log_message(self, format: str, *args: object) -> None:
        """Probes are not news."""
