from __future__ import annotations

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from declarative_ml.api.run import RunReport
    from declarative_ml.engines.events import Event

# A shell that starts the tests in the background lets them ignore Ctrl-C, and their children with them:
# the tests that send it need the usual handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What dml keeps for a user between projects, kept away from the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared tables: $DML_SHARED/data, else ../shared/data beside the repository."""
    shared = Path(os.environ.get("DML_SHARED") or Path(__file__).parents[2] / "shared")
    if not (shared / "data").is_dir():
        pytest.skip(f"the shared tables are not in {shared}; set DML_SHARED")
    return shared / "data"


@dataclass(frozen=True)
class Outcome:
    """How one `dml` command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def dml(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Outcome]]:
    """`dml` in this process, through its real entry point."""
    from declarative_ml.cli import main

    def run(*argv: object) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["dml", *map(str, argv)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        return Outcome(int(end.value.code or 0), captured.out, captured.err)

    before, threshold = signal.getsignal(signal.SIGTERM), gc.get_threshold()
    yield run
    signal.signal(signal.SIGTERM, before)
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `dml` in a process of its own; whatever still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "declarative_ml", *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,  # as at a terminal, where Ctrl-C goes to the group of the command
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def write_flowers() -> Callable[..., Path]:
    """Write a small table: two numbers, a category with gaps, a date, a yes/no, and three kinds to learn."""

    def write(path: Path, rows: int = 90, seed: int = 0) -> Path:
        source = random.Random(seed)
        lines = ["length,width,colour,seen,wild,kind"]
        for row in range(rows):
            kind = row % 3
            colour = source.choice(["red", "green", "blue", ""])
            seen = f"2024-{1 + row % 12:02d}-{1 + row % 28:02d}"
            wild = "yes" if source.random() < 0.2 + 0.3 * kind else "no"
            length, width = source.gauss(kind, 0.6), source.gauss(-kind, 1.0)
            lines.append(f"{length:.3f},{width:.3f},{colour},{seen},{wild},{'abc'[kind]}")
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def flowers(tmp_path: Path, write_flowers: Callable[..., Path]) -> Callable[..., Path]:
    """Write a spec over the table of flowers: a linear model, no explanation, no tracking."""

    def write(folder: str = "a", **sections: Any) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        data = tmp_path / folder / "flowers.csv"
        if not data.exists():
            write_flowers(data)
        whole = {
            "name": "flowers",
            "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
            "target": "kind",
            "model": "linear",
            "explain": False,
            "track": False,
            "resources": {"cpu": 1},
        }
        path = tmp_path / folder / "spec.yaml"
        path.write_text(json.dumps({**whole, **sections}))
        return path

    return write


@pytest.fixture
def run() -> Callable[..., RunReport]:
    """Run a spec and collect its events in the list `events`."""
    from declarative_ml.api.run import RunOptions, run_spec
    from declarative_ml.spec.load import load_spec

    def start(path: Path, events: list[Event] | None = None, **options: Any) -> RunReport:
        heard = events if events is not None else []
        return run_spec(load_spec(path, data=True), RunOptions(listener=heard.append, **options))

    return start


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real `mlflow server`, which keeps runs and artifacts. Tests share it."""
    from declarative_ml.trackers.mlflow_store import create_database

    home = tmp_path_factory.mktemp("server")
    create_database(home / "server.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "2", "--backend-store-uri", f"sqlite:///{home / 'server.db'}"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=home, env=environment, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait_for(uri: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the server does not answer; exit code {process.poll()}")
