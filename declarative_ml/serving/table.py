"""The routes of the models of one moment, by method and path, and what FastAPI makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from declarative_ml.core.versions import library_version
from declarative_ml.serving.browser import page
from declarative_ml.serving.exchange import Answer, Call, Refusal, as_json
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.routes import Route, routes_of
from declarative_ml.serving.service import Service


class Table:
    """The routes of one fleet. A change of the fleet is a change of the whole table."""

    def __init__(self, service: Service, fleet: Fleet) -> None:
        self.fleet, self._service = fleet, service
        self.routes = routes_of(service, fleet)
        self.known = {(route.method, route.path): route for route in self.routes}
        self.scoring = {route.path.encode(): route for route in self.routes if route.scoring is not None}
        """By address: those that may go express."""
        self.slow = _fastapi(fleet, self.routes)
        self.inside = 0
        """Requests that are answered by these routes."""
        for route in self._documents():
            self.known[route.method, route.path] = route

    def clear(self) -> None:
        """Let go of the handlers, and of the models that they hold."""
        self.known.clear()
        self.scoring.clear()
        self.routes.clear()

    @cached_property
    def openapi(self) -> Answer:
        """The OpenAPI document."""
        return as_json(self.slow.openapi())

    def _documents(self) -> list[Route]:
        """Routes that the document does not describe: itself, and the pages."""

        async def document(call: Call) -> Answer:
            return self.openapi

        async def overview(call: Call) -> Answer:
            return self._page("service")

        async def reading(call: Call) -> Answer:
            return self._page("docs")

        # The pages hold nothing of the model: with a token they ask for it, and then for the rest.
        return [
            Route("GET", "/openapi.json", document, "This document", "documents"),
            Route("GET", "/", overview, "The service as a page", "documents", probe=True),
            Route("GET", "/docs", reading, "This document as a page", "documents", probe=True),
        ]

    def _page(self, name: str) -> Answer:
        closed = self._service.token is not None
        title = "dml serve" if closed else self.fleet.lines[0].model.name
        return page(name, title=title, token=closed, drift=("GET", "/drift") in self.known)


def _fastapi(fleet: Fleet, routes: Sequence[Route]) -> Any:
    """The FastAPI application with all routes: its document, and its answers to what is unknown."""
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    first = fleet.lines[0].model.manifest
    app = FastAPI(
        title=first.name,
        description=first.description,
        version=library_version("declarative-ml"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        answer = Refusal(error.status_code, str(error.detail)).answer()
        return Response(answer.body, answer.status, dict(error.headers or {}), "application/json")

    for route in routes:
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
    # Stands for a handler in FastAPI's table: the short way knows every route that stands there. A docstring
    # would become the description of each.
    raise RuntimeError("a known route took the long way")
