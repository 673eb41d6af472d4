"""`dml serve` in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "torch mlflow pandas sklearn shap lightgbm scipy onnx".split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from declarative_ml.cli import main
main()
"""


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            link.request(
                method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
            )
            reply = link.getresponse()
            return reply.status, reply.read()
        finally:
            link.close()

    def exchange(self, *parts: bytes, timeout: float = 20) -> bytes:
        """Send bytes as they are, one part after another; what comes back until the service closes."""
        found = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as link:
            try:
                for number, part in enumerate(parts):
                    time.sleep(0.02 * (number > 0))
                    link.sendall(part)
                while more := link.recv(1 << 16):
                    found += more
            except ConnectionError:
                pass  # The service refused before it had read everything.
        return found

    def resident_mebibytes(self) -> float:
        """Memory of the process that is resident now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        """Processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def workers(self) -> set[int]:
        """The processes of its workers, those that are just starting among them."""
        listed = subprocess.run(
            ["ps", "-ww", "--ppid", str(self.process.pid), "-o", "pid=", "-o", "args="],
            capture_output=True,
            text=True,
            check=False,
        )
        return {int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line}


@contextmanager
def serving(*arguments: object, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """`dml serve`, with the libraries of training out of reach."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", BLOCKED, "serve", *map(str, arguments), "--port", "0"],
                stderr=stream,
                env={**os.environ, **(environment or {})},
            )
        try:
            wait_for(lambda: "stop with" in log.read_text() or process.poll() is not None, 90)
            port = re.search(r":(\d+)\n", log.read_text())
            assert port is not None, log.read_text()
            yield Running(process, int(port[1]), log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()


def wait_for(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
