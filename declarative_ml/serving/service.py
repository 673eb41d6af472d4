"""The state of one serving process: its models, its limits, and whether it takes requests."""

from __future__ import annotations

import asyncio
import hmac
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.serving.exchange import Limits, Refusal
from declarative_ml.serving.metrics import Metrics
from declarative_ml.serving.model import ServedModel

_AGAIN = ((b"retry-after", b"1"),)


@dataclass
class Service:
    """One process of the service."""

    models: Sequence[ServedModel]
    """The first answers the paths that name no model."""
    limits: Limits = field(default_factory=Limits)
    token: bytes | None = None
    """What a request must bring; None: nothing."""
    metrics: Metrics = field(default_factory=Metrics)
    started: float = field(default_factory=time.time)
    draining: bool = False
    """Told to stop: what has begun is finished, probes say so."""
    inside: int = 0
    """Requests that are being worked on."""

    @property
    def first(self) -> ServedModel:
        """The model that answers where none is named."""
        return self.models[0]

    def admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise Refusal 401 without the token, in constant time."""
        if self.token is None:
            return
        given = headers.get(b"x-api-key")
        if given is None:
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            given = given.strip() if kind.lower() == b"bearer" else b""
        if not hmac.compare_digest(given, self.token):
            raise Refusal(
                401,
                "the token is absent or wrong",
                hint="send it as 'Authorization: Bearer …' or 'X-API-Key: …'",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    def require_room(self) -> None:
        """Raise Refusal 503 when more requests are inside, this one counted, than may be."""
        if self.inside > self.limits.waiting:
            raise Refusal(503, "too many requests at once", hint="try again in a second", headers=_AGAIN)

    def close(self) -> None:
        """Let the models' threads end."""
        for model in self.models:
            model.close()


def stop_gently(service: Service) -> None:
    """From now on a signal to stop first turns the probes off, and lets clients leave after an answer.
    uvicorn's own end, which closes idle connections, comes `linger_seconds` later. Call it on the loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        _after_linger(service, loop, number)


def _after_linger(service: Service, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    ends = signal.getsignal(number)
    if not callable(ends):
        return
    end: Callable[[int, Any], Any] = ends

    def handle(received: int, frame: Any) -> None:
        if service.draining:
            end(received, frame)
            return
        service.draining = True
        loop.call_soon_threadsafe(lambda: loop.call_later(service.limits.linger_seconds, end, received, None))

    signal.signal(number, handle)
