"""The connection of `connection`, with an express way for small requests that come whole (see `express`).

What is not whole when a read ends, or is anything but a short POST to be scored, is handed to the ordinary
way as if it came only then.
"""

from __future__ import annotations

import time
from typing import Any

from declarative_ml.serving.connection import MOST_HEAD, Connection, whole_answer
from declarative_ml.serving.exchange import Answer, content_headers
from declarative_ml.serving.express import MOST_BYTES, Express, Ticket

MOST_OF_A_READ = 8
"""Requests of one read, one behind another, that go express."""


class ExpressConnection(Connection):
    """At most one request of a connection waits: what follows it has it answered first."""

    _ticket: Ticket | None = None
    """The request that waits for the turn of the event loop to end."""
    _body: bytes | None = None
    """What came of the body of a request that may go express."""
    _answered_at = 0.0
    _left = 0
    """Requests of this read that may still go express: others wait meanwhile."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._express: Express | None = getattr(self.app, "express", None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._ticket = self._body = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._left = MOST_OF_A_READ
        super().data_received(data)
        if self._body is not None:
            self._begin_ordinary()
        elif not self._whole:
            self._unset_keepalive_if_required()

    def _stir(self) -> None:
        """The timer of an idle connection goes on until it is known that the request is not express."""

    def on_message_begin(self) -> None:
        """See httptools."""
        self._settle()
        self._whole = False
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self._may_go_express():
            self._body = b""
        else:
            self._begin_ordinary()

    def _may_go_express(self) -> bool:
        return (
            self._express is not None
            and self._left > 0
            and self._express.takes(self.url)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self._no_body <= MOST_HEAD
            and (self.cycle is None or self.cycle.response_complete)
        )

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._body is None:
            super().on_body(body)
            return
        self._no_body = 0
        self._body += body
        if len(self._body) > MOST_BYTES:
            self._begin_ordinary()

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._body is None or self._express is None:
            super().on_message_complete()
            return
        self._whole = True
        self._no_body = 0
        self._rest()
        self._left -= 1
        self._ticket = Ticket(self, self.url, self.headers, self._body, time.perf_counter())
        self._body = None
        self._express.take(self._ticket, alone=len(self.connections) == 1)

    def _begin_ordinary(self) -> None:
        """Let the application have the request whose head is read, and what there is of its body."""
        self._unset_keepalive_if_required()
        head, body = (self.url, self.expect_100_continue, self.headers), self._body
        self._body = None
        super().on_message_begin()
        self.url, self.expect_100_continue = head[:2]
        self.headers.extend(head[2])
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def waits(self, ticket: Ticket) -> bool:
        """See express.Sender."""
        return self._ticket is ticket

    def go_ordinary(self, ticket: Ticket) -> None:
        """See express.Sender."""
        self._ticket = None
        self._no_body = 0  # the head was judged when it came
        self.url, self.headers, self._body = ticket.url, list(ticket.headers), ticket.body
        # The parser may be at the next request already.
        parser: Any = self.parser
        self.parser = _POST
        try:
            self._begin_ordinary()
            super().on_message_complete()
        finally:
            self.parser = parser

    def finish(self, answer: Answer) -> None:
        """See express.Sender."""
        self._ticket = None
        headers = (*self.server_state.default_headers, *content_headers(answer))
        self.transport.write(whole_answer(answer.status, headers, answer.body))
        self.server_state.total_requests += 1
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._idle_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that nothing came over; see uvicorn."""
        # One timer looks again as long as answers leave: one for each costs as much as reading a request.
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0 or self._ticket is not None:
            self._idle_after(left if left > 0 else self.timeout_keep_alive)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """See uvicorn."""
        self._settle()
        super().shutdown()

    def linger(self) -> None:
        """See Connection."""
        self._ticket = self._body = None
        super().linger()

    def _refuse(self, status: int, reason: str) -> None:
        self._settle()
        super()._refuse(status, reason)

    def _settle(self) -> None:
        """Have the request that waits answered, or given to the application."""
        if self._ticket is not None and self._express is not None:
            self._express.flush()


class _Post:
    """What the parser said of a request that could have gone express."""

    @staticmethod
    def get_method() -> bytes:
        return b"POST"

    @staticmethod
    def get_http_version() -> str:
        return "1.1"

    @staticmethod
    def should_keep_alive() -> bool:
        return True

    @staticmethod
    def should_upgrade() -> bool:
        return False


_POST: Any = _Post()
