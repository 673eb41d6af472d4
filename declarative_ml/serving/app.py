"""The application: known requests take the short way, everything else goes through FastAPI.

Both ways end in the same handlers. FastAPI owns the OpenAPI document, and the answers to what is not known;
the short way is a dictionary, because routing and request objects cost more than a prediction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.versions import library_version
from declarative_ml.serving.exchange import (
    Answer,
    Call,
    Gone,
    Receive,
    Refusal,
    Scope,
    Send,
    as_json,
    read_body,
    send_answer,
)
from declarative_ml.serving.routes import Route, routes_of
from declarative_ml.serving.service import Service, stop_gently

log = logging.getLogger("declarative_ml.serving")


class Application:
    """An ASGI application for one Service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._routes = routes_of(service)
        self._known = {(route.method, route.path): route for route in self._routes}
        self._slow = _fastapi(self)
        for route in self._documents():
            self._known[route.method, route.path] = route

    @cached_property
    def openapi(self) -> Answer:
        """The OpenAPI document."""
        return as_json(self._slow.openapi())

    def _documents(self) -> list[Route]:
        """Routes that the document does not describe: itself."""

        async def document(call: Call) -> Answer:
            return self.openapi

        return [Route("GET", "/openapi.json", document, "This document", "documents")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] == "http":
            route = self._known.get((scope["method"], scope["path"]))
            if route is not None:
                await self.answer(route, scope, receive, send)
                return
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._slow(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the process."""
        await receive()
        stop_gently(self.service)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.service.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of `route`."""
        service, began = self.service, time.perf_counter()
        service.inside += 1
        try:
            answer = await self._handled(route, scope, receive)
        except Gone:
            return
        finally:
            service.inside -= 1
        service.metrics.count(route.path, answer.status, time.perf_counter() - began)
        if service.draining:
            answer = replace(answer, headers=(*answer.headers, (b"connection", b"close")))
        await send_answer(send, answer)

    async def _handled(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        service = self.service
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        try:
            if not route.probe:
                service.admit(headers)
            if route.works:
                service.require_room()
            body = await read_body(headers, receive, service.limits) if route.method == "POST" else b""
            return await route.handler(
                Call(route.method, route.path, headers, body, scope.get("query_string", b""))
            )
        except Refusal as refusal:
            return refusal.answer()
        except DataError as error:
            return Refusal(422, error.message, hint=error.hint).answer()
        except Gone:
            raise
        except Exception:
            # The service goes on, and tells the client nothing of its inside.
            log.exception("%s %s failed", route.method, route.path)
            return as_json({"error": "the service failed; its log says why"}, 500)


def _fastapi(application: Application) -> Any:
    """The FastAPI application with all routes: its document, and its answers to what is unknown."""
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    first = application.service.first.manifest
    app = FastAPI(
        title=first.name,
        description=first.description,
        version=library_version("declarative-ml"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        answer = Refusal(error.status_code, str(error.detail)).answer()
        return Response(answer.body, answer.status, dict(error.headers or {}), "application/json")

    for route in application._routes:
        app.add_api_route(
            route.path,
            _unreached,
            methods=[route.method],
            summary=route.summary,
            tags=[route.tag],
            openapi_extra=dict(route.about) or None,
            responses={status: dict(about) for status, about in route.responses.items()},
            response_class=Response,
            name=f"{route.method} {route.path}",
        )
    return app


def _unreached() -> None:
    """Stands for a handler in FastAPI's table: the short way knows every route that stands there."""
    raise RuntimeError("a known route took the long way")
