"""The express way: small requests for predictions that came whole are answered by plain functions.

All that one turn of the event loop read is scored together and written at once. The task, the events and the
messages that ASGI has for each request cost more than a prediction does. Nothing is refused here: what cannot
be answered at once, for whatever reason, goes the ordinary way (`app`) from its beginning, which says why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.asked import SMALL_ROWS
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.exchange import Answer, Call
from declarative_ml.serving.line import Line
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.routes import Route
from declarative_ml.serving.service import Service
from declarative_ml.serving.table import Table

if TYPE_CHECKING:
    from declarative_ml.serving.apm.reporter import Reporter

log = logging.getLogger("declarative_ml.serving")

MOST_BYTES = 8 << 10
"""Of a body that goes express: few rows."""


class Sender(Protocol):
    """A connection that waits for the answer to its request."""

    def waits(self, ticket: Ticket) -> bool:
        """Whether the client is still there."""

    def finish(self, answer: Answer) -> None:
        """Send the answer, whose status is 200."""

    def go_ordinary(self, ticket: Ticket) -> None:
        """Hand the request to the application."""

    def linger(self) -> None:
        """End the connection."""


@dataclass(slots=True)
class Ticket:
    """A whole request."""

    sender: Sender
    url: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    began: float


@dataclass(slots=True)
class _Work:
    ticket: Ticket
    route: Route
    line: Line
    call: Call
    asked: Asked


class Express:
    """Answers what the connections of one event loop hand over."""

    def __init__(self, service: Service, table: Callable[[], Table], reporter: Reporter | None) -> None:
        self._service, self._table, self._reporter = service, table, reporter
        self._waiting: list[Ticket] = []

    def takes(self, url: bytes) -> bool:
        """Whether a POST of this address may go express."""
        return url in self._table().scoring

    def take(self, ticket: Ticket, *, alone: bool) -> None:
        """Answer the request: now where no other connection is open, else with what else this turn brings."""
        self._waiting.append(ticket)
        if alone:
            self.flush()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Answer what waits."""
        tickets, self._waiting = self._waiting, []
        room = self._service.limits.waiting - self._service.inside
        by_model: dict[ServedModel, list[_Work]] = {}
        for ticket in tickets:
            if not ticket.sender.waits(ticket):
                continue
            found = self._read(ticket) if room > 0 else None
            if found is None:
                self._go_ordinary(ticket)
            else:
                room -= 1
                by_model.setdefault(found[0], []).append(found[1])
        for model, works in by_model.items():
            self._score(model, works)

    def _read(self, ticket: Ticket) -> tuple[ServedModel, _Work] | None:
        """Who is asked what; None where a closer look is needed."""
        service, route = self._service, self._table().scoring.get(ticket.url)
        if route is None or route.scoring is None or service.draining:
            return None
        line, read = route.scoring
        call = Call(route.method, route.path, dict(ticket.headers), ticket.body)
        # A canary is drawn once a request: drawn again for those that it refuses, it would seem better.
        if line.canary is not None or b"content-encoding" in call.headers:
            return None
        if len(ticket.body) > service.limits.body_bytes:
            return None
        call.begin("decode")
        try:
            service.admit(call.headers)
            asked = read(line.model, call, service.limits)
        except Exception:  # noqa: BLE001  (the ordinary way meets it again, and tells it)
            return None
        call.rows = asked.rows
        return (line.model, _Work(ticket, route, line, call, asked)) if asked.rows <= SMALL_ROWS else None

    def _go_ordinary(self, ticket: Ticket) -> None:
        try:
            ticket.sender.go_ordinary(ticket)
        except Exception:
            # The other tickets get their answers.
            log.exception("a request could not be handed over")
            ticket.sender.linger()

    def _score(self, model: ServedModel, works: Sequence[_Work]) -> None:
        began = time.perf_counter()
        found = model.scored([work.asked for work in works])
        done: list[tuple[_Work, float]] = []
        for work, scored in zip(works, found, strict=True):
            work.call.stages.append(("infer", began))
            answer = None if isinstance(scored, Exception) else self._answer(model, work, scored)
            if answer is None:
                self._go_ordinary(work.ticket)
            else:
                done.append((work, self._finish(work, answer)))
        if self._reporter is not None:
            for work, ended in done:
                self._report(self._reporter, model, work, ended)

    def _answer(self, model: ServedModel, work: _Work, scored: Predictions) -> Answer | None:
        work.call.begin("encode")
        try:
            answer = work.asked.reply(scored)
        except Exception:  # noqa: BLE001  (as above)
            return None
        try:
            return self._service.answered(work.line, model, work.call, work.asked, scored, answer)
        except Exception:
            # Counted in part, it is not asked again.
            log.exception("an answer could not be watched")
            return answer

    def _finish(self, work: _Work, answer: Answer) -> float:
        ticket, ended = work.ticket, time.perf_counter()
        self._service.metrics.count(work.route.path, answer.status, ended - ticket.began)
        try:
            ticket.sender.finish(answer)
        except Exception:
            log.exception("an answer could not be sent")
            ticket.sender.linger()
        return ended

    def _report(self, reporter: Reporter, model: ServedModel, work: _Work, ended: float) -> None:
        ticket = work.ticket
        try:
            reporter.report(work.call, model, ticket.headers, 200, ticket.began, ended)
        except Exception:
            log.exception("a request could not be reported")
