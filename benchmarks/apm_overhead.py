"""What Elastic APM costs the service: CPU time of its process per request, by how much is reported.

    python benchmarks/apm_overhead.py BUNDLE [--requests 3000] [--clients 8] [--rounds 3]

Server, driver and intake are processes of their own. Each round serves every variant for so many requests,
one variant after the other, so that all of them see the same neighbours; the numbers are medians over the
rounds, ratios are to the service without APM in the same round, with the least and the greatest. CPU time
counts the agent's threads, and what they send in the meantime; what is
left at the end is sent after the clock was read.

The drift watch is off in all variants, so that the ratios are those of APM alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

INTAKE = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(202); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *arguments): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
SERVER = """
import json, sys
from declarative_ml.serving.server import Settings, serve
serve(Settings.model_validate_json(sys.argv[1]), lambda application, url: print(url, flush=True))
"""
DEAD = "http://127.0.0.1:9"


def variants(url: str) -> dict[str, dict[str, Any] | None]:
    """Name -> the section `monitor.apm`."""
    return {
        "off": None,
        "metrics only (sample 0)": {"url": url, "sample": 0.0, "metrics_interval": "1s"},
        "sample 0.1": {"url": url, "sample": 0.1},
        "sample 1.0": {"url": url, "sample": 1.0},
        "sample 1.0, nobody listens": {"url": DEAD, "sample": 1.0},
    }


@contextmanager
def started(code: str, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **variables},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(port: int, body: bytes, requests: int, clients: int) -> None:
    """Send so many requests over connections that stay open."""
    faults: list[str] = []

    def ask() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(requests // clients):
            link.request("POST", "/predict", body)
            reply = link.getresponse()
            reply.read()
            if reply.status != 200:
                faults.append(str(reply.status))
        link.close()

    threads = [Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[:3]


def measure(bundle: str, body: bytes, apm: dict[str, Any] | None, requests: int, clients: int) -> float:
    """CPU microseconds of the server per request."""
    monitor = {"drift": {"enabled": False}, "apm": apm}
    settings = json.dumps({"bundles": [bundle], "options": {"port": 0}, "monitor": monitor})
    with started(SERVER, settings, ELASTIC_APM_API_REQUEST_TIME="1s") as (process, url):
        found = re.search(r":(\d+)$", url)
        assert found is not None, url
        port = int(found[1])
        drive(port, body, 10 * clients, clients)
        before = cpu_seconds(process.pid)
        drive(port, body, requests, clients)
        spent = cpu_seconds(process.pid) - before
    return 1e6 * spent / (requests // clients * clients)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    body = json.dumps({"rows": [_row(options.bundle)]}).encode()
    with started(INTAKE) as (_, port):
        wanted = variants(f"http://127.0.0.1:{port}")
        found: dict[str, list[float]] = {name: [] for name in wanted}
        for number in range(options.rounds):
            for name, apm in wanted.items():
                one = measure(options.bundle, body, apm, options.requests, options.clients)
                found[name].append(one)
                print(f"round {number + 1}: {name}: {one:.0f} us", file=sys.stderr, flush=True)
    _print(found)


def _row(path: str) -> dict[str, Any]:
    """One row that the model takes: the examples in its bundle."""
    bundle = Bundle.open(Path(path))
    row = {column.name: (column.field.get("examples") or [None])[0] for column in bundle.manifest.inputs}
    Scorer(bundle).predict_rows([row])
    return row


def _print(found: dict[str, list[float]]) -> None:
    print("| APM | CPU µs a request | ratio to off |\n|---|---|---|")
    for name, rounds in found.items():
        ratios = [one / off for one, off in zip(rounds, found["off"], strict=True)]
        span = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(rounds):.0f} | {span} |")


if __name__ == "__main__":
    main()
