"""Serve bundles by uvicorn: one process or several, stopped without dropping a request."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.core.size import bytes_of
from declarative_ml.serving.app import Application
from declarative_ml.serving.board import Board, meeting_place
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.first_model import first_model
from declarative_ml.serving.fleet import open_fleet
from declarative_ml.serving.lineup import Entry, Lineup, read_lineup
from declarative_ml.serving.origin_watch import Wanted, Watcher
from declarative_ml.serving.origins import FromBundle
from declarative_ml.serving.service import Service
from declarative_ml.serving.workers import run_workers
from declarative_ml.spec.monitor import Monitor
from declarative_ml.spec.service import Serve

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 2048
"""Connections that wait to be taken."""
_SETTINGS = "DML_SERVING"
"""The environment variable by which workers learn what to serve. It names secrets, and holds none."""


class Settings(Section):
    """What is served, and how."""

    bundles: tuple[Path, ...] = Field(default=(), description="The first answers where no model is named")
    options: Serve = Field(default=Serve(), description="The section `serve` of the spec")
    board: Path | None = Field(default=None, description="Where workers leave their numbers for each other")
    monitor: Monitor = Field(default=Monitor(), description="The section `monitor` of the spec")
    lineup: Path | None = Field(default=None, description="The file that says what to serve now")

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
    settings: Settings,
    told: Callable[[Application, str], None] = lambda application, url: None,
    wanted: Sequence[Wanted] = (),
    *,
    wait: bool = False,
) -> None:
    """Serve until a signal ends it: what is `wanted`, else the settings' bundles.

    They are opened once here, so that a damaged one is told at once, or waited for with `wait`; `told` gets
    the application and its address when the port is open. SIGHUP looks at once whether there are other models
    to serve.

    Raises DataError for a damaged bundle, UsageError for models that cannot serve together, or a port that
    is taken.
    """
    wanted = wanted or [Wanted(FromBundle(path, str(path))) for path in settings.bundles]
    with tempfile.TemporaryDirectory(prefix="dml-serve-") as folder:
        options = settings.options
        watcher = Watcher(wanted, Path(folder), seconds_of(options.poll), options.reload)
        listening: socket.socket | None = None
        if wait:
            listening = _bound(options)
            if not first_model(watcher.begin, listening, _address(listening), watcher.poll):
                listening.close()
                return
        else:
            watcher.begin()
        _run(settings.model_copy(update={"lineup": watcher.file}), watcher, told, listening)


def _run(
    settings: Settings,
    watcher: Watcher,
    told: Callable[[Application, str], None],
    listening: socket.socket | None,
) -> None:
    import uvicorn

    options = settings.options
    alone = options.workers == 1
    application = build(settings)
    listening = listening or _bound(options)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = _config(options, application if alone else f"{__name__}:worker")
    told(application, _address(listening))
    if not alone:
        application.service.close()

    def look(*_: object) -> None:
        watcher.asked = True

    # uvicorn ends well and then repeats the signal: for a service, having been stopped is no failure.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, look)
    watcher.start()
    try:
        if alone:
            uvicorn.Server(config).run([listening])
        else:
            with meeting_place() as folder:
                os.environ[_SETTINGS] = settings.model_copy(update={"board": folder}).model_dump_json()
                run_workers(config, listening, look)
    finally:
        watcher.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _config(options: Serve, application: Application | str) -> uvicorn.Config:
    import uvicorn

    from declarative_ml.serving.express_connection import ExpressConnection

    return uvicorn.Config(
        application,
        factory=isinstance(application, str),
        host=options.host,
        port=options.port,
        workers=options.workers,
        http=ExpressConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=seconds_of(options.timeout),
        timeout_graceful_shutdown=seconds_of(options.timeout) + 10,
    )


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build(settings: Settings) -> Application:
    """The application for these settings. Raises DataError for a secret or a certificate that is absent."""
    options, token, apm = settings.options, settings.options.token, settings.monitor.apm
    if settings.lineup is not None:
        lineup = read_lineup(settings.lineup)
    else:
        lineup = Lineup(entries=tuple(Entry(bundle=path, origin=str(path)) for path in settings.bundles))
    service = Service(
        open_fleet(lineup, options.threads, monitor=settings.monitor),
        settings.limits,
        token=None if token is None else token.reveal().encode(),
        board=Board(settings.board),
        monitor=settings.monitor,
        lineup=lineup,
        threads=options.threads,
    )
    if apm is None:
        return Application(service, lineup_file=settings.lineup)
    from declarative_ml.serving.apm.reporter import Reporter

    return Application(service, Reporter(apm, service), settings.lineup)


def worker() -> Application:
    """The application of one worker process, which the supervisor starts."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
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
