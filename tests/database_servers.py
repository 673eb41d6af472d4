"""Servers of databases for tests: real ones from the system's packages, on 127.0.0.1, not run by root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "canary-pass"


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, with a password; skips where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    programs = found[-1].parent
    with _folder("postgres") as (folder, user):
        data, port = str(folder / "data"), _free_port()
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)

        def call(*command: str) -> None:
            subprocess.run([*user, *command], check=True, capture_output=True, cwd="/", timeout=120)

        secret = f"--pwfile={folder / 'password'}"
        call(str(programs / "initdb"), "-D", data, "-U", "me", "-A", "scram-sha-256", secret, "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -F"
        call(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            call(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")


@contextmanager
def mariadb() -> Iterator[str]:
    """The address of a MariaDB server of our own, with a password; skips where it is not installed."""
    programs = [shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("mariadb-install-db", "mariadbd")]
    if None in programs:
        pytest.skip("MariaDB's server is not installed")
    install, server = map(str, programs)
    with _folder("mysql") as (folder, user):
        data, port = folder / "data", _free_port()
        (folder / "init.sql").write_text(
            f"CREATE DATABASE shop;\nCREATE USER me@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON shop.* TO me@'127.0.0.1';\n"
        )
        (folder / "init.sql").chmod(0o644)
        given = [
            *user,
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
        ]
        subprocess.run(
            [*given, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
            cwd="/",
            timeout=240,
        )
        options = [
            "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}",
            f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}",
            f"--init-file={folder / 'init.sql'}",
            "--skip-name-resolve", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*user, server, *options], stdout=log, stderr=log, cwd="/")
        try:
            _wait_for(port, process, folder / "log")
            yield f"mysql://me:{PASSWORD}@127.0.0.1:{port}/shop"
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def _folder(owner: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder of that user, and what to put before its commands: the servers refuse to be root."""
    runuser = shutil.which("runuser", path="/usr/sbin:/sbin:/usr/bin")
    user = [str(runuser), "-u", owner, "--"] if os.geteuid() == 0 else []
    if user and runuser is None:
        pytest.skip("runuser is not installed, and the server refuses to be root")
    folder = Path(tempfile.mkdtemp(prefix=f"dml-{owner}-"))
    if user:
        shutil.chown(folder, owner)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(log.read_text(errors="replace")[-2000:])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")
