"""An APM server's intake: takes events, checks each by the official JSON Schemas, and misbehaves."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema

KINDS = ("metadata", "transaction", "span", "error", "metricset")


def validators(schemas: Path) -> dict[str, Any]:
    """One for each kind of event."""
    found = {}
    for kind in KINDS:
        schema = json.loads((schemas / f"{kind}.json").read_text())
        found[kind] = jsonschema.validators.validator_for(schema)(schema)
    return found


class Intake:
    """Listens on 127.0.0.1 while it is entered. `answer` is the status to give, or `hang`, or `slow`."""

    def __init__(
        self,
        schemas: Path,
        answer: int | str = 202,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.answer, self.token = answer, token
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._faults: list[str] = []
        self._read = 0
        self._validators = validators(schemas)
        self._lock, self._over = threading.Lock(), threading.Event()
        intake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(200, {"version": "9.2.0"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with suppress(OSError):  # the agent gave up
                    self._reply(intake.taken(self.path, dict(self.headers.items()), body), {})

            def _reply(self, status: int, content: Any) -> None:
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")

    def __enter__(self) -> Intake:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def taken(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Read one request; the status to answer with."""
        with self._lock:
            self.headers.append(headers)
        if self.answer == "hang":
            self._over.wait(60)
            return 503
        if self.answer == "slow":
            self._over.wait(1.0)
        if self.token is not None and headers.get("Authorization") != self.token:
            return 401
        if isinstance(self.answer, int) and self.answer >= 300:
            return self.answer
        with self._lock:
            if not path.startswith("/intake/v2/events"):
                self._faults.append(f"unexpected {path}")
            self.bodies.append(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)
        return 202

    def _check(self) -> None:
        """Read what came, apart from its arrival: an intake is quick."""
        with self._lock:
            for content in self.bodies[self._read :]:
                self._keep(content)
            self._read = len(self.bodies)

    def _keep(self, content: bytes) -> None:
        lines = [json.loads(line) for line in content.splitlines()]
        if lines and "metadata" not in lines[0]:
            self._faults.append("the first event is not the metadata")
        for line in lines:
            ((kind, event),) = line.items()
            self._events.append((kind, event))
            for error in self._validators[kind].iter_errors(event):
                self._faults.append(f"{kind}{list(error.path)}: {error.message}"[:300])

    @property
    def faults(self) -> list[str]:
        """What the schemas have against the events."""
        self._check()
        return self._faults

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        self._check()
        return [event for name, event in self._events if name == kind]

    @property
    def counts(self) -> Counter[str]:
        """Events by kind."""
        self._check()
        return Counter(kind for kind, _ in self._events)
