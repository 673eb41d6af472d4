"""The processes that train together, from the outside: started, listened to, and ended with the run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.learning import rank_launcher
from declarative_ml.learning.rank import ERROR, PROGRESS, STOP

_POLL = 0.1
_GRACE = 2.0
"""Seconds that the launcher gets."""
_MEMORY = "SIGKILL is often for want of memory: every process holds all rows; lower resources.processes"
_NO_PORT = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Otherwise the agent keeps a store of its own, on a port that every interface listens to."""
_FOREIGN = ("PET_", "TORCHELASTIC_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "GROUP_RANK")
"""Variables of a launcher around the run, such as Kubeflow's: they are not about this group."""


def run_group(
    module: str,
    folder: Path,
    processes: int,
    *,
    progress: Callable[[float, str], None],
    is_late: Callable[[], bool],
) -> None:
    """Run `module FOLDER` in so many processes until all have ended well; `run_rank` is what they call.

    Where `is_late` says so they are asked to end where they are. What `progress` raises ends them all.
    Raises StepFailed with the error that they leave, and when processes are lost again and again.
    """
    log = folder / "log"
    command = [sys.executable, "-m", rank_launcher.__name__, str(folder), str(processes), module]
    with log.open("wb") as stream:
        launcher = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env=environment(),
            start_new_session=True,  # an interrupt at the terminal is for the run, which ends the group
        )
        try:
            _watch(launcher, folder / PROGRESS, progress, folder / STOP, is_late)
        finally:
            _end(launcher)
    _require_success(launcher.returncode, folder, log)


def _watch(
    launcher: subprocess.Popen[bytes],
    told: Path,
    progress: Callable[[float, str], None],
    stop: Path,
    is_late: Callable[[], bool],
) -> None:
    place = 0
    fraction, message = 0.0, "starting processes"
    while launcher.poll() is None:
        for line in _lines(told, place):
            place += len(line)
            fraction, message = json.loads(line)
        progress(fraction, message)  # again where nothing is new: it is what interrupts
        if not stop.exists() and is_late():
            stop.touch()
        time.sleep(_POLL)


def _lines(told: Path, place: int) -> list[bytes]:
    """The whole lines from a place on."""
    if not told.exists():
        return []
    with told.open("rb") as stream:
        stream.seek(place)
        return [line for line in stream if line.endswith(b"\n")]


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """End all processes: they, and the launcher, watch the pipe that is closed here."""
    if launcher.stdin is not None:
        launcher.stdin.close()
    try:
        launcher.wait(_GRACE)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def _require_success(code: int, folder: Path, log: Path) -> None:
    if (folder / ERROR).exists():
        error = read_json(folder / ERROR)
        raise StepFailed(error["message"], hint=error["hint"])
    if (folder / rank_launcher.LOST).exists():
        lost = read_json(folder / rank_launcher.LOST)
        raise StepFailed(
            f"the training lost a process {rank_launcher.MOST_RESTARTS + 1} times, the last time process "
            f"{lost['number']}: {lost['reason']}",
            hint=_MEMORY if "SIGKILL" in lost["reason"] else "resources.processes: 1 trains without others",
        )
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"exit code {code}"
        raise StepFailed(
            f"the processes of the training could not be started: {why}",
            hint="resources.processes: 1 trains without others",
        )


def environment() -> dict[str, str]:
    """The environment of the launcher: that of the run, less what another launcher has put there."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    return {**kept, **_NO_PORT, **({"GLOO_SOCKET_IFNAME": loopback[0]} if loopback else {})}
