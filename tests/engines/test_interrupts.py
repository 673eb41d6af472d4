"""Ctrl-C and SIGTERM in the middle of training: the documented exit code, nothing torn, and a way on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interrupted import (
    TOGETHER,
    checkpoint_of,
    epoch_of,
    first_epoch,
    processes_of,
    require_clean,
    wait_for,
)

from declarative_ml.engines import local

SLOW = {"type": "mlp", "layers": [64], "epochs": 100_000, "early_stopping": 100_000}
QUICK = {"type": "mlp", "layers": [8], "epochs": 2}


def _wait_for(path: Path, step: str, kind: str, process: subprocess.Popen[str]) -> None:
    """Wait until the run's log says that the step has started or ended."""
    for _ in range(1200):
        for log in path.parent.glob(".dml/runs/*/events.jsonl"):
            lines = log.read_text().splitlines()
            if any(f'"step": "{step}", "kind": "{kind}"' in line for line in lines):
                return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError(f"{step} did not {kind}")


@pytest.mark.parametrize(
    ("signals", "code", "words"),
    [
        ([signal.SIGINT], 130, "interrupted; finished steps are kept, the same command resumes"),
        ([signal.SIGTERM], 143, "terminated; finished steps are kept, the same command resumes"),
        ([signal.SIGINT, signal.SIGINT, signal.SIGINT], 130, "interrupted"),
    ],
    ids=["SIGINT", "SIGTERM", "three times SIGINT"],
)
def test_a_signal_while_training(
    signals: list[signal.Signals], code: int, words: str, flowers: Any, spawn: Any, run: Any
) -> None:
    path = flowers(model=SLOW)
    process = spawn("run", path, "-q")
    _wait_for(path, "train.mlp.fold0", "start", process)
    time.sleep(0.3)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)
    began = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, words in error) == (code, True), error
    assert "Traceback" not in error
    assert time.monotonic() - began < 20
    store = path.parent / ".dml" / "store"
    assert not list((store / "actions").glob("*/.*"))
    for record in (store / "actions").glob("*/*.json"):
        json.loads(record.read_text())
    assert not list(path.parent.glob(".dml/runs/*/run.json"))
    resumed = run(flowers(model=QUICK))
    status = {step["id"]: step["status"] for step in resumed.result["steps"]}
    assert resumed.error is None
    assert {status[name] for name in ("acquire.source", "split", "profile", "prepare")} == {"cached"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number", "code", "word"),
    [
        (os.killpg, signal.SIGINT, 130, "interrupted"),
        (os.kill, signal.SIGINT, 130, "interrupted"),
        (os.kill, signal.SIGTERM, 143, "terminated"),
    ],
    ids=["Ctrl-C", "SIGINT", "SIGTERM"],
)
def test_a_signal_while_processes_train_together(
    send: Callable[[int, int], None], number: int, code: int, word: str, flowers: Any, spawn: Any, run: Any
) -> None:
    path = flowers(**TOGETHER)
    process = spawn("run", path, "-q")
    wait_for(lambda: checkpoint_of(path), process)
    assert sum("mlp_fit" in words for words in processes_of(path.parent)) == 3, "two and their launcher"
    send(process.pid, number)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, ""), error
    last = error.splitlines()[-1]
    assert last == f"{word}; finished steps are kept, the same command resumes" and "Traceback" not in error
    require_clean(path)
    saved = epoch_of(wait_for(lambda: checkpoint_of(path)))
    events: list[Any] = []
    resumed = run(path, events)
    assert resumed.error is None
    assert first_epoch(events, "train.mlp.fold0") > saved > 0
    assert resumed.result["model_digest"] == run(flowers("b", **TOGETHER)).result["model_digest"]


class Interrupting(list[Any]):
    """A listener that sends Ctrl-C when the first model begins to be fitted; the second is in the queue."""

    def append(self, event: Any) -> None:
        if event.kind == "start" and "train" in event.step:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)


def test_nobody_waits_for_steps_in_the_queue(flowers: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE", 60.0)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(flowers(model="lightgbm"), Interrupting(), jobs=1)
    assert time.monotonic() - began < local.GRACE, "a step that never began was waited for"


@pytest.mark.slow
def test_a_signal_while_waiting_for_another_run(flowers: Any, spawn: Any) -> None:
    path = flowers(model=SLOW)
    first = spawn("run", path, "-q")
    _wait_for(path, "train.mlp.fold0", "start", first)
    second = spawn("run", path, "-q")
    _wait_for(path, "train.mlp.fold0", "waiting", second)
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=20) == 130
    assert first.poll() is None


def test_a_pipe_that_closes_is_no_error(spawn: Any, flowers: Any, run: Any) -> None:
    path = flowers()
    run(path)
    process = spawn("predict", path, path.parent / "flowers.csv")
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) == 141, error
    assert "Traceback" not in error
    assert "Error" not in error
