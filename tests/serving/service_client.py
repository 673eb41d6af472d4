"""A client that speaks ASGI to the application, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from declarative_ml.serving.app import Application


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Speaks ASGI to an application, on one event loop."""

    def __init__(self, application: Application, runner: asyncio.Runner) -> None:
        self.application, self._runner = application, runner

    def ask(
        self,
        method: str,
        path: str,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        parts: list[bytes] | None = None,
    ) -> Reply:
        return self._runner.run(self.send(method, path, body, headers, parts))

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.ask("POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()})

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, b"", {name.replace("_", "-"): text for name, text in headers.items()})

    async def send(
        self,
        method: str,
        path: str,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        parts: list[bytes] | None = None,
    ) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        chunks = list(parts) if parts is not None else [content]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not chunks:
                await asyncio.sleep(3600)
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def reply(message: Any) -> None:
            sent.append(message)

        known = {name.lower().encode(): text.encode() for name, text in (headers or {}).items()}
        if parts is None:
            known.setdefault(b"content-length", str(len(content)).encode())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": list(known.items()),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.application(scope, receive, reply)
        found = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
        return Reply(sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:]))
