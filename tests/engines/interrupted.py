"""What an interrupted run of several processes may leave behind, and what must be gone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from declarative_ml.learning.torch_loop import _SEAL_BYTES

T = TypeVar("T")
EPOCHS = 1000
TOGETHER: dict[str, Any] = {
    "model": {"type": "mlp", "layers": [64], "epochs": EPOCHS, "early_stopping": EPOCHS},
    "resources": {"cpu": 2, "processes": 2},
}
"""Sections of a spec that trains for some seconds, in two processes."""


def wait_for(what: Callable[[], T], process: subprocess.Popen[str] | None = None, seconds: float = 120) -> T:
    """What `what` returns as soon as it is true; the process must not end before."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


def checkpoint_of(path: Path) -> Path | None:
    """The checkpoint that a run of this spec has left so far."""
    return next(path.parent.glob(".dml/store/work/*/checkpoint.pt"), None)


def epoch_of(checkpoint: Path) -> int:
    """The whole epochs in a checkpoint."""
    content = torch.load(io.BytesIO(checkpoint.read_bytes()[_SEAL_BYTES:]), weights_only=True)
    return int(content["position"]["epoch"])


def processes_of(folder: Path) -> list[str]:
    """The command lines that name the folder, of all processes but this."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile
            continue
        if str(folder) in words and line.parent.name != str(os.getpid()):
            found.append(words)
    return found


def require_clean(path: Path) -> None:
    """No process of the run is left, nothing half made, and no run that says it ended."""
    wait_for(lambda: not processes_of(path.parent), seconds=20)
    store = path.parent / ".dml" / "store"
    assert not list((store / "building").iterdir())
    assert not list(store.glob("work/*/group"))
    assert not list((store / "actions").glob("*/.*"))
    for record in (store / "actions").glob("*/*.json"):
        action = json.loads(record.read_text())
        folder = store / "artifacts" / action["digest"][:2] / action["digest"]
        assert all((folder / name).stat().st_size == size for name, size in action["files"].items())
    assert not list(path.parent.glob(".dml/runs/*/run.json"))


def first_epoch(events: list[Any], step: str) -> int:
    """The first epoch that a run told of in a step."""
    messages = [event.message for event in events if event.step == step and event.kind == "progress"]
    first = next(message for message in messages if message.startswith("epoch "))
    return int(first.removeprefix("epoch ").partition("/")[0])
