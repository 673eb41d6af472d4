"""Does `dml serve` hold under load? Memory over time, overload, and an end in the middle of it.

    python -m benchmarks.serving_load [BUNDLE] [--seconds 60] [--connections 64]

Needs wrk (apt-get install wrk). Without a BUNDLE it trains the one of benchmarks/serving/model.py. Exits with
1 where an answer is not 2xx, where memory grows by more than 1 MiB a minute after warming up, where overload
is not shed with 503 and Retry-After, or where SIGTERM drops a request.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import bench_folder
from benchmarks.serving import model
from benchmarks.serving.load import load, resident_mebibytes
from benchmarks.serving.servers import JSON, free_port
from declarative_ml.serving.server import Settings
from declarative_ml.spec.service import Serve
from declarative_ml.store.bundle import Bundle

SERVE = """
import sys
from declarative_ml.serving.server import Settings, serve
serve(Settings.model_validate_json(sys.argv[1]))
"""
SLOPE = 1.0
"""Mebibytes a minute that count as growth."""


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predict"


@contextlib.contextmanager
def serving(bundle: Path, folder: Path, **options: int) -> Iterator[Running]:
    """What `dml serve` runs, with keys of the section `serve`, from its first answer on."""
    port = free_port()
    settings = Settings(bundles=(bundle,), options=Serve(port=port, **options))
    process = subprocess.Popen([sys.executable, "-c", SERVE, settings.model_dump_json()])
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                break
            time.sleep(0.2)
        yield Running(process, port, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def steady(running: Running, body: bytes, connections: int, seconds: float) -> bool:
    """Load for so long; a table of resident memory by time."""
    place = running.folder / "load.body"
    place.write_bytes(body)
    pieces = 6
    load(running.process.pid, running.url, place, JSON, connections, max(1.0, seconds / pieces))  # Warms up.
    print("\n| seconds | requests | not 2xx | MiB | p99 |\n|---|---|---|---|---|")
    sizes, faults = [], 0
    for piece in range(pieces):
        done = load(running.process.pid, running.url, place, JSON, connections, seconds / pieces)
        sizes.append(resident_mebibytes(running.process.pid, "Rss"))
        faults += done.faults
        when = (piece + 1) * seconds / pieces
        print(f"| {when:.0f} | {done.requests} | {done.faults} | {sizes[-1]:.1f} | {done.tail} |", flush=True)
    slope = (sizes[-1] - sizes[0]) / (seconds * (pieces - 1) / pieces) * 60
    print(f"\n{faults} answers not 2xx; memory grows by {slope:.2f} MiB a minute")
    return faults == 0 and slope < SLOPE


def overload(running: Running, body: bytes, most: int, seconds: float) -> bool:
    """Four times as many requests at once as may be: some are shed, none fails, and it ends with the load."""
    statuses: Counter[str] = Counter()
    end = time.monotonic() + seconds
    _in_threads(4 * most, running.port, body, lambda: time.monotonic() > end, statuses)
    link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    link.request("POST", "/predict", body, JSON)
    after = link.getresponse().status
    link.close()
    print(f"\n{4 * most} requests at once where {most} may be: {dict(statuses)}; one afterwards: {after}")
    return set(statuses) == {"200", "503 + Retry-After"} and after == 200


def ending(running: Running, body: bytes, seconds: float) -> bool:
    """SIGTERM under load: every request that was sent gets its answer."""
    statuses: Counter[str] = Counter()
    over = threading.Event()
    threads = threading.Thread(
        target=_in_threads, args=(16, running.port, body, over.is_set, statuses), daemon=True
    )
    threads.start()
    time.sleep(seconds)
    os.kill(running.process.pid, signal.SIGTERM)
    code = running.process.wait(30)
    over.set()
    threads.join(30)
    print(f"\nSIGTERM under load: exit {code}; {dict(statuses)}")
    return code == 0 and set(statuses) <= {"200", "not taken"}


def _in_threads(count: int, port: int, body: bytes, over: Callable[[], bool], statuses: Counter[str]) -> None:
    threads = [threading.Thread(target=_ask, args=(port, body, over, statuses)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(port: int, body: bytes, over: Callable[[], bool], statuses: Counter[str]) -> None:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not over():
        try:
            if link.sock is None:
                link.connect()
            link.request("POST", "/predict", body, JSON)
            reply = link.getresponse()
            reply.read()
        except (ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
            # The system had taken the connection, the service had not: the request had not begun.
            statuses["not taken"] += 1
            return
        except OSError as error:
            statuses[type(error).__name__] += 1
            return
        again = " + Retry-After" if reply.headers["Retry-After"] else ""
        statuses[f"{reply.status}{again}"] += 1
    link.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args(arguments)
    folder = bench_folder() / "serving-load"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = Path(given.bundle or model.bundle(folder).path)
    served = Bundle.open(bundle).manifest
    row = {column.name: (column.field.get("examples") or [None])[0] for column in served.inputs}
    one, many = (json.dumps({"rows": [row] * count}).encode() for count in (1, 2000))
    good = []
    with serving(bundle, folder) as running:
        good.append(steady(running, one, given.connections, given.seconds))
    with serving(bundle, folder, max_waiting=4) as running:
        good.append(overload(running, many, 4, min(given.seconds, 5)))
    with serving(bundle, folder) as running:
        good.append(ending(running, one, min(given.seconds, 3)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
