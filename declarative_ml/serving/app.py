"""The application: known requests take the short way, everything else goes through FastAPI.

Both ways end in the same handlers. FastAPI owns the OpenAPI document, and the answers to what is not known;
the short way is a dictionary, because routing and request objects cost more than a prediction.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.serving.exchange import (
    REPLY,
    Answer,
    Call,
    Gone,
    Receive,
    Refusal,
    Reply,
    Scope,
    Send,
    as_json,
    read_body,
    send_answer,
)
from declarative_ml.serving.express import Express
from declarative_ml.serving.fleet import Fleet, open_fleet
from declarative_ml.serving.lineup import read_lineup, stamp
from declarative_ml.serving.routes import Route
from declarative_ml.serving.service import Service, Share, stop_gently
from declarative_ml.serving.table import Table

if TYPE_CHECKING:
    from declarative_ml.serving.apm.reporter import Reporter

log = logging.getLogger("declarative_ml.serving")

FOLLOW_SECONDS = 0.25
"""Between two looks at the time of the lineup's file."""


class Application:
    """An ASGI application for one Service."""

    def __init__(
        self, service: Service, reporter: Reporter | None = None, lineup_file: Path | None = None
    ) -> None:
        """`lineup_file` says which models to serve; None: always the service's."""
        self.service, self.lineup_file = service, lineup_file
        self._reporter = reporter
        self._table = Table(service, service.fleet)
        self.express = Express(service, lambda: self._table, reporter)
        self._retired: deque[Table] = deque()

    @property
    def routes(self) -> Sequence[Route]:
        """Those of the models of now."""
        return self._table.routes

    @property
    def openapi(self) -> Answer:
        """The OpenAPI document."""
        return self._table.openapi

    async def change(self, make: Callable[[], Fleet]) -> None:
        """Let another fleet answer from now on: `make` opens it, in a thread. Requests that have begun are
        answered by the old one, which is closed behind the last of them. Raises what `make` raises."""
        loop = asyncio.get_running_loop()
        table = await loop.run_in_executor(None, lambda: Table(self.service, make()))
        self._retired.append(self._table)
        self._table = table
        self.service.take(table.fleet)
        if self._reporter is not None:
            self._reporter.follow(table.routes)
        self._close_retired()

    def _close_retired(self) -> None:
        """Close old fleets that no request is in any more, the oldest first: it may share models with the
        next."""
        while self._retired and not self._retired[0].inside:
            old = self._retired.popleft()
            after = self._retired[0].fleet if self._retired else self._table.fleet
            # Its handlers hold the models: they go now, and not when the collector comes by.
            old.clear()
            old.fleet.flush()
            # A thread may be in the middle of a comparison: the loop does not wait for it.
            threading.Thread(target=old.fleet.close, args=(after,), daemon=True).start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] == "http":
            # The function holds what holds the scope: left there, each request would be garbage in a ring.
            reply = scope.pop(REPLY, None)
            method = scope["method"]
            table = self._table
            # The server leaves out the body of the answer.
            route = table.known.get(("GET" if method == "HEAD" else method, scope["path"]))
            if route is not None:
                table.inside += 1
                try:
                    await self.answer(route, scope, receive, send, reply)
                finally:
                    table.inside -= 1
                    if table is not self._table:
                        self._close_retired()
                return
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._unknown(scope, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What no route takes."""
        began = time.perf_counter()
        statuses: list[int] = []

        async def seen(message: MutableMapping[str, Any]) -> None:
            if "status" in message:
                statuses.append(message["status"])
            await send(message)

        await self._table.slow(scope, receive, seen)
        if self._reporter is not None and statuses:
            call = Call(scope["method"], "unknown route", {})
            self._reporter.report(call, None, scope["headers"], statuses[0], began, time.perf_counter())

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the process."""
        await receive()
        stop_gently(self.service)
        if self._reporter is not None:
            self._reporter.start(self.routes)
        self.service.board.start()
        following = asyncio.create_task(follow(self)) if self.lineup_file else None
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if following is not None:
            following.cancel()
        self.service.close()
        if self._reporter is not None:
            # uvicorn ends the process by the signal that it got: nothing that waits for its end would run.
            await asyncio.to_thread(self._reporter.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(
        self, route: Route, scope: Scope, receive: Receive, send: Send, reply: Reply | None = None
    ) -> None:
        """Answer a request of `route`; `reply` sends an answer whole."""
        service, began = self.service, time.perf_counter()
        call = Call(route.method, route.path, dict(scope["headers"]), query=scope.get("query_string", b""))
        share = Share(service)
        service.inside += 1
        try:
            answer = await self._handled(route, call, receive, share)
        except Gone:
            return
        finally:
            service.inside -= 1
            share.give_back()
        ended = time.perf_counter()
        service.metrics.count(route.path, answer.status, ended - began)
        if service.draining:
            answer = replace(answer, headers=(*answer.headers, (b"connection", b"close")))
        await send_answer(send, answer, reply)
        if self._reporter is not None and not route.probe and route.tag != "state":
            self._reporter.report(
                call, call.model or route.model, scope["headers"], answer.status, began, ended
            )

    async def _handled(self, route: Route, call: Call, receive: Receive, share: Share) -> Answer:
        service = self.service
        try:
            if not route.probe:
                service.admit(call.headers)
            if route.works:
                service.require_room()
            if route.method == "POST":
                call.body = await read_body(call.headers, receive, service.limits, share.take)
            return await route.handler(call)
        except Refusal as refusal:
            return refusal.answer()
        except DataError as error:
            return Refusal(422, error.message, hint=error.hint).answer()
        except RecursionError:
            return Refusal(400, "the body is nested too deeply").answer()
        except Gone:
            raise
        except Exception as error:
            # The service goes on, and tells the client nothing of its inside.
            call.fault = error
            log.exception("%s %s failed", route.method, route.path)
            return as_json({"error": "the service failed; its log says why"}, 500)


async def follow(application: Application) -> None:
    """Serve what the lineup says, as often as it changes. What cannot be opened changes nothing."""
    service, file = application.service, application.lineup_file
    assert file is not None
    seen: object = None  # the file may have changed between the opening and this moment
    while True:
        now = stamp(file)
        if now is not None and now != seen:
            seen = now
            try:
                await _serve_lineup(application, file)
            except Exception as error:  # noqa: BLE001
                # The models of before go on: the lineup is not changed to, and the log says why.
                told = error.message if isinstance(error, DmlError) else repr(error)
                log.warning("the new models are not served: %s", told)
                service.not_served = told
        await asyncio.sleep(FOLLOW_SECONDS)


async def _serve_lineup(application: Application, file: Path) -> None:
    service = application.service
    lineup = read_lineup(file)
    if lineup.entries != service.lineup.entries:
        await application.change(lambda: open_fleet(lineup, service.threads, service.fleet, service.monitor))
        log.warning("serving %s", ", ".join(f"{m.name} {m.version}" for m in service.fleet.models))
    service.lineup, service.not_served = lineup, None
