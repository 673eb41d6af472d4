"""Images that are built and run for real. benchmarks/image.py says how to make a base without a registry."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from releases import files, section

from declarative_ml.api.package import package

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.image import PODMAN, absent_tools, build, compare, has_image, inputs, prove

pytestmark = pytest.mark.slow
CONTAINERS = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]
"""
"""What podman needs on a machine without systemd."""


@pytest.fixture
def base() -> str:
    """The image to build on: $DML_IMAGE_BASE, or localhost/base:1."""
    name = os.environ.get("DML_IMAGE_BASE", "localhost/base:1")
    if absent := absent_tools():
        pytest.skip(f"not installed: {', '.join(absent)}")
    if not has_image(name):
        pytest.skip(f"there is no image {name} to build on; set DML_IMAGE_BASE")
    return name


def test_the_serve_image_answers_without_any_privilege(
    base: str, flowers: Callable[..., Path], run: Callable[..., Any]
) -> None:
    spec = flowers()
    run(spec)
    proof = prove(str(spec), spec.parent / "flowers.csv", base)
    with (spec.parent / "flowers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (proof.rows, proof.different) == (len(rows), 0)
    assert (proof.user, proof.capabilities, proof.no_new_privileges) == ("10001:10001", "0" * 16, "1")
    assert not proof.writable_root
    assert proof.above_base_mb < 300


def test_compose_starts_the_same_service(
    base: str, flowers: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    """The rendered file as it is, by podman-compose; only the image is built instead of pulled."""
    if shutil.which("podman-compose") is None:
        pytest.skip("podman-compose is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tag = f"localhost/dml-compose:{os.getpid()}"
    to = {"type": "docker-compose", "port": port}
    spec = flowers(deploy=section(to, train=None, image=tag))
    run(spec)
    for name, text in files(spec).items():
        (tmp_path / name).write_text(text)
    (context,) = package(str(spec), tmp_path / "image", images=["serve"], base=base)
    build(context.path, tag, None)
    with started(tmp_path, tag):
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/readyz")
        sent = inputs(str(spec), spec.parent / "flowers.csv", tmp_path)
        different, rows = compare(str(spec), sent, tmp_path, f"{address}/predict")
        assert (different, rows) == (0, 90)


@contextmanager
def started(folder: Path, tag: str) -> Iterator[None]:
    (folder / "containers.conf").write_text(CONTAINERS)
    environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def compose(*words: str) -> None:
        done = subprocess.run(
            ["podman-compose", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    try:
        compose("up", "--detach")
        yield
    finally:
        compose("down")
        subprocess.run([*PODMAN, "rmi", "--force", tag], capture_output=True, check=False)


def wait_for(address: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            return urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            assert time.monotonic() < until, f"{address} does not answer"
            time.sleep(0.2)
