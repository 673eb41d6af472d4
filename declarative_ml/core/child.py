"""A process of our own: a module of this package in a fresh interpreter, without the network.

It and what it starts have a group of their own: an interrupt is ours to take, and when the block that uses
it is left, however that happens, they all end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

TICK = 0.5
"""Seconds between two looks at whether the run still goes on."""


@contextlib.contextmanager
def child(
    module: str,
    *arguments: str,
    folder: Path,
    log: IO[bytes],
    threads: int,
    pipes: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module arguments…` in `folder`. Its output goes to `log`; with `pipes` only errors do."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else log,
        stderr=log,
        env=_environment(threads),
        cwd=folder,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    """The exit status. `tick` is called twice a second; what it raises goes up."""
    while True:
        try:
            return process.wait(TICK)
        except subprocess.TimeoutExpired:
            tick()


def _environment(threads: int) -> Mapping[str, str]:
    """Ours, quiet, without the network, and with so many threads."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    nowhere = dict.fromkeys([*proxies, *map(str.upper, proxies)], "http://127.0.0.1:9")
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1")
    pools = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    counts = dict.fromkeys(pools, str(threads))
    paths = [
        str(Path(item).absolute()) for item in os.environ.get("PYTHONPATH", "").split(os.pathsep) if item
    ]
    return {**os.environ, **quiet, **nowhere, **local, **counts, "PYTHONPATH": os.pathsep.join(paths)}
