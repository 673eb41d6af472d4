from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from service_bundles import train_guests

from declarative_ml.serving.app import Application
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.store.bundle import Bundle


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


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The bundle that predicts `stays` (yes, no), `kind` (1, 2, 3) or `spent` (with intervals)."""
    trained: dict[str, Bundle] = {}

    def bundle(target: str) -> Bundle:
        if target not in trained:
            trained[target] = train_guests(tmp_path_factory.mktemp(target), target)
        return trained[target]

    return bundle


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def client_of(bundle_of: Callable[[str], Bundle], runner: asyncio.Runner) -> Iterator[Callable[..., Client]]:
    services = []

    def client(*targets: str, limits: Limits | None = None, token: str | None = None) -> Client:
        models = [ServedModel(bundle_of(target)) for target in targets]
        service = Service(models, limits or Limits(), token=token.encode() if token else None)
        services.append(service)
        return Client(Application(service), runner)

    yield client
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def stays(client_of: Callable[..., Client]) -> Client:
    return client_of("stays")


@pytest.fixture(scope="session")
def row() -> dict[str, Any]:
    return {"age": 41.5, "fare": 12, "town": "Oslo", "member": "yes", "seen": "2024-05-04"}


@pytest.fixture(scope="session")
def rows(bundle_of: Callable[[str], Bundle]) -> list[dict[str, Any]]:
    """Rows as a client sends them, with gaps."""
    import csv

    path = Path(bundle_of("stays").path).parents[3] / "guests.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    return [
        {
            "age": float(line["age"]) if line["age"] else None,
            "fare": float(line["fare"]),
            "town": line["town"] or None,
            "member": line["member"] or None,
            "seen": line["seen"],
        }
        for line in table
    ]
