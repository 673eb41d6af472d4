"""MLflow's web page on a workspace: a child process that ends with its caller."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.core.optional import installed, require
from declarative_ml.trackers.mlflow_store import QUIET, create_database, import_mlflow, locate, locked

START_SECONDS = 90.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"


def serve_ui(
    workspace: Path,
    port: int,
    open_browser: bool,
    *,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve MLflow's page on 127.0.0.1 until Ctrl-C; `announce` gets the URL when it answers.

    Raises UsageError when the port is taken, MissingDependency without MLflow, DmlError when the
    server ends by itself.
    """
    with ui_server(workspace, port) as (url, server):
        with suppress(KeyboardInterrupt), _terminate_as_interrupt():
            announce(url)
            if open_browser:
                webbrowser.open(url)
            # Not `wait()`: a signal that another thread receives would not wake this one.
            while server.poll() is None:
                time.sleep(0.2)
            raise DmlError(
                f"the MLflow server ended with code {server.returncode}", hint=f"see {_log(workspace)}"
            )


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A polite `kill` ends the server too, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ui_server(workspace: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A running server on the workspace's history: its URL and its process, ended on the way out."""
    if not installed("mlflow"):
        require("mlflow", "mlflow")
    _check_free(port)
    store = locate(workspace, None)
    assert store.database is not None
    if not store.database.exists():
        import_mlflow()
        with locked(store):
            create_database(store.database)
    log = _log(workspace)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches us alone, and we end the server and all its workers.
        server = subprocess.Popen(
            _command(store.uri, store.artifacts or "", port),
            env={**os.environ, **QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://{HOST}:{port}"
        _wait_until_up(server, url, log)
        yield url, server
    finally:
        _stop(server)


def _command(uri: str, artifacts: str, port: int) -> list[str]:
    options = {
        "--backend-store-uri": uri,
        "--default-artifact-root": artifacts,
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
    }
    return [sys.executable, "-m", "mlflow", "server", *(part for pair in options.items() for part in pair)]


def _log(workspace: Path) -> Path:
    return workspace / "mlflow-ui.log"


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used: {error.strerror}", hint="choose another one with --port"
            ) from error


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DmlError(f"the MLflow server ended with code {server.returncode}", hint=f"see {log}")
        with suppress(OSError):
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        time.sleep(0.1)
    raise DmlError(f"the MLflow server did not answer within {START_SECONDS:.0f} s", hint=f"see {log}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
            if number == signal.SIGKILL or not _group_alive(server.pid):
                return


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
