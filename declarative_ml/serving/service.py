"""The state of one serving process: its models, its limits, and whether it takes requests."""

from __future__ import annotations

import asyncio
import hmac
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.board import Board
from declarative_ml.serving.exchange import Answer, Call, Limits, Refusal
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.line import Line
from declarative_ml.serving.lineup import Lineup
from declarative_ml.serving.metrics import INSIDE, Metrics, exposition, process_gauges
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.shadow import Comparison, Shadow
from declarative_ml.spec.monitor import Monitor

_PROCESS = "process"
_AGAIN = ((b"retry-after", b"1"),)


@dataclass
class Service:
    """One process of the service."""

    fleet: Fleet
    """What answers now; `take` puts another in its place."""
    limits: Limits = field(default_factory=Limits)
    token: bytes | None = None
    """What a request must bring; None: nothing."""
    metrics: Metrics = field(default_factory=Metrics)
    """What this process counted; `board` knows the others."""
    board: Board = field(default_factory=Board)
    monitor: Monitor | None = None
    """How new models are watched; None: not at all."""
    lineup: Lineup = field(default_factory=lambda: Lineup(entries=()))
    """What the service was last told to serve, and what is wrong where its models come from."""
    not_served: str | None = None
    """Why this process could not change to the lineup."""
    threads: int = 1
    """Of a model for one batch of rows."""
    started: float = field(default_factory=time.time)
    draining: bool = False
    """Told to stop: what has begun is finished, probes say so."""
    inside: int = 0
    """Requests that are being worked on."""
    held: int = 0
    """Bytes of their long bodies."""

    def __post_init__(self) -> None:
        self.board.add("metrics", self.metrics)
        self.board.show(_PROCESS, lambda: {INSIDE: self.inside, **process_gauges()})
        self._join()

    def take(self, fleet: Fleet) -> None:
        """From now on this fleet answers. Call it on the event loop."""
        kept = {model for model, _ in fleet.members()}
        for model in {model for model, _ in self.fleet.members()} - kept:
            if model.watch is not None:
                model.watch.leave(self.board)
        self.fleet = fleet
        self._join()

    def _join(self) -> None:
        """Let all workers count together what this fleet sees."""
        for model, _ in self.fleet.members():
            if model.watch is not None:
                model.watch.share(self.board)
        if (shadow := self.fleet.shadow) is not None:
            names = self.first.name, self.first.version, shadow.model.name, shadow.model.version
            self.board.add(f"shadow.{'.'.join(names)}.{shadow.share}", shadow.comparison)

    def compared(self, shadow: Shadow) -> Comparison:
        """What the shadows of all workers have seen."""
        return self.board.total(shadow.comparison)

    def trouble(self) -> dict[str, str]:
        """By origin: why the models of now may not be those that are wanted."""
        return self.lineup.trouble | ({"this process": self.not_served} if self.not_served else {})

    def exposition(self, others: Iterable[Any] = ()) -> bytes:
        """What Prometheus reads, of all workers; `others`: more collectors."""
        models = [
            {"model": model.name, "version": model.version, "digest": model.manifest.model_digest}
            for model in self.fleet.by_version().values()
        ]
        return exposition(self.board.total(self.metrics), self.board.shown(_PROCESS), models, others)

    @property
    def first(self) -> ServedModel:
        """The model that answers where none is named."""
        return self.fleet.lines[0].model

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

    def answered(
        self, line: Line, model: ServedModel, call: Call, asked: Asked, scored: Predictions, answer: Answer
    ) -> Answer:
        """What `model` answers to a request for predictions, after all that watches them has seen it."""
        self.metrics.count_rows(model.name, model.version, len(scored))
        if model.watch is not None:
            model.watch.observe(call, asked, scored, answer)
        if line.shadow is not None:
            line.answered(model, asked.columns(model.scorer), scored, call.took("infer"))
        return answer

    def close(self) -> None:
        """Let the watches and the models' threads end, and leave the numbers behind."""
        self.fleet.close()
        self.board.close()


@dataclass(slots=True)
class Share:
    """What one request holds of the bytes that all may hold."""

    service: Service
    held: int = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises Refusal 503 where that is too much for all."""
        self.held += size
        self.service.held += size
        if self.service.held > self.service.limits.held_bytes:
            raise Refusal(503, "too many long bodies at once", hint="try again in a second", headers=_AGAIN)

    def give_back(self) -> None:
        """The request is over."""
        self.service.held -= self.held


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
