"""Serve bundles by uvicorn: one process or several, stopped without dropping a request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.errors import UsageError
from declarative_ml.serving.app import Application
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.store.bundle import Bundle

_SETTINGS, _TOKEN = "DML_SERVING", "DML_SERVING_TOKEN"
"""Environment variables by which worker processes learn what to serve, and what a request must bring."""


class Settings(Section):
    """What is served, where, and within which limits."""

    bundles: tuple[Path, ...] = Field(min_length=1)
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    workers: int = Field(default=1, ge=1, le=256)
    threads: int = Field(default=1, ge=1, le=256)
    max_body: int = Field(default=16 << 20, ge=1024)
    max_rows: int = Field(default=10_000, ge=1)
    max_waiting: int = Field(default=256, ge=1)
    timeout: float = Field(default=10.0, gt=0)
    linger: float = Field(default=0.5, ge=0)

    @property
    def limits(self) -> Limits:
        """The limits of requests."""
        return Limits(
            body_bytes=self.max_body,
            rows=self.max_rows,
            waiting=self.max_waiting,
            read_seconds=self.timeout,
            linger_seconds=self.linger,
        )


def serve(settings: Settings, token: str | None = None) -> None:
    """Serve until a signal ends it. The bundles are opened once here, so that a damaged one is told at once.

    Raises DataError for a damaged bundle, and UsageError for two bundles of one name, or a port that is taken.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from declarative_ml.serving.connection import Connection

    alone = settings.workers == 1
    if token is not None:
        os.environ[_TOKEN] = token
    os.environ[_SETTINGS] = settings.model_dump_json()
    application = build(settings, token)
    if not alone:
        application.service.close()
    config = uvicorn.Config(
        application if alone else f"{__name__}:worker",
        factory=not alone,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.timeout) + 10,
    )
    listening = _bound(config)
    if alone:
        uvicorn.Server(config).run([listening])
    else:
        Multiprocess(config, [listening]).run()


def build(settings: Settings, token: str | None) -> Application:
    """The application for these settings."""
    models = [ServedModel(Bundle.open(path), settings.threads) for path in settings.bundles]
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two bundles have the name {', '.join(twice)}", hint="serve them on two ports")
    return Application(
        Service(models, settings.limits, token=None if token is None else token.encode()),
    )


def worker() -> Application:
    """The application of one worker process, which the supervisor starts."""
    return build(Settings.model_validate_json(os.environ[_SETTINGS]), os.environ.get(_TOKEN))


def _bound(config: Any) -> Any:
    """The socket to listen on. uvicorn would end the process where the port is taken."""
    import socket

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror or error}",
            hint="--port chooses another port",
        ) from error
    listening.set_inheritable(True)
    return listening
