"""Serve bundles by uvicorn: one process or several, stopped without dropping a request."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.core.size import bytes_of
from declarative_ml.serving.app import Application
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.spec.service import Serve
from declarative_ml.store.bundle import Bundle

_BACKLOG = 2048
"""Connections that wait to be taken."""
_SETTINGS = "DML_SERVING"
"""The environment variable by which workers learn what to serve. It names secrets, and holds none."""


class Settings(Section):
    """What is served, and how."""

    bundles: tuple[Path, ...] = Field(min_length=1, description="The first answers where no model is named")
    options: Serve = Field(default=Serve(), description="The section `serve` of the spec")

    @property
    def limits(self) -> Limits:
        """The limits of requests."""
        options = self.options
        return Limits(
            body_bytes=bytes_of(options.max_body),
            rows=options.max_rows,
            waiting=options.max_waiting,
            linger_seconds=seconds_of(options.linger),
        )


def serve(
    settings: Settings, told: Callable[[Application, str], None] = lambda application, url: None
) -> None:
    """Serve until a signal ends it. The bundles are opened once here, so that a damaged one is told at once;
    `told` gets the application and its address when the port is open.

    Raises DataError for a damaged bundle, UsageError for two bundles of one name, or a port that is taken.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from declarative_ml.serving.connection import Connection

    options = settings.options
    alone = options.workers == 1
    application = build(settings)
    listening = _bound(options)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        application if alone else f"{__name__}:worker",
        factory=not alone,
        host=options.host,
        port=options.port,
        workers=options.workers,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=seconds_of(options.timeout),
        timeout_graceful_shutdown=seconds_of(options.timeout) + 10,
    )
    told(application, _address(listening))
    os.environ[_SETTINGS] = settings.model_dump_json()
    if not alone:
        application.service.close()
    # uvicorn ends well and then repeats the signal: for a service, having been stopped is no failure.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if alone:
            uvicorn.Server(config).run([listening])
        else:
            Multiprocess(config, [listening]).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build(settings: Settings) -> Application:
    """The application for these settings. Raises DataError for a token that is not there."""
    token = settings.options.token
    models = [ServedModel(Bundle.open(path), settings.options.threads) for path in settings.bundles]
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two bundles have the name {', '.join(twice)}", hint="serve them on two ports")
    return Application(
        Service(models, settings.limits, token=None if token is None else token.reveal().encode()),
    )


def worker() -> Application:
    """The application of one worker process, which the supervisor starts."""
    return build(Settings.model_validate_json(os.environ[_SETTINGS]))


def _bound(options: Serve) -> socket.socket:
    """The socket to listen on. uvicorn would end the process where the port is taken."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror or error}",
            hint="--port chooses another port",
        ) from error
    listening.set_inheritable(True)
    return listening
