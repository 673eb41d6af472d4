"""A Spark Connect server for tests: a real one, on 127.0.0.1, of SPARK_HOME or of the package pyspark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

_START = 240.0
"""Seconds that the server may take to start on a busy machine."""


@contextmanager
def spark(folder: Path) -> Iterator[str]:
    """The address of a server whose files are in `folder`; skips where there is no Spark, or no Java."""
    pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
    home = _home()
    if home is None:
        pytest.skip("no Spark with a Connect server: set SPARK_HOME to one (pip install pyspark)")
    if shutil.which("java") is None:
        pytest.skip("Spark's server needs Java")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": folder / "warehouse",
        "spark.sql.shuffle.partitions": 2,
    }
    command = [str(home / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    for name, value in settings.items():
        command += ["--conf", f"{name}={value}"]
    environment = {**os.environ, "SPARK_HOME": str(home)}
    with (folder / "spark.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "spark-internal"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(port, server, folder / "spark.log")
            yield f"sc://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _home() -> Path | None:
    found = find_spec("pyspark")
    homes = [os.environ.get("SPARK_HOME"), *(found.submodule_search_locations or [] if found else [])]
    for home in map(Path, filter(None, homes)):
        if any((home / "jars").glob("spark-connect_*.jar")):
            return home
    return None


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"Spark did not start: {log.read_text()[-2000:]}")
