"""Ctrl-C and SIGTERM in the middle of training: the documented exit code, nothing torn, and a way on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

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
