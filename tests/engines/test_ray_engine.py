"""The plan on a real Ray cluster of two nodes: the same model, with a worker that is killed on the way."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
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

from declarative_ml.core.optional import installed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not installed("ray"), reason="ray is not installed: pip install 'declarative-ml[ray]'"
    ),
]
SLOW = {"type": "mlp", "layers": [64], "epochs": 100_000, "early_stopping": 100_000}
MEMORY = 100_000_000
"""Bytes of shared memory of a node."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Two nodes with a processor each, as the environment that a driver needs."""
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, text in settings.items():
            patch.setenv(name, text)
        from ray.cluster_utils import Cluster

        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        nodes = Cluster(initialize_head=True, head_node_args=node)
        try:
            nodes.add_node(**node)
            yield {**settings, "RAY_ADDRESS": str(nodes.address)}
        finally:
            nodes.shutdown()


def _workers(step: str) -> list[int]:
    """The processes that do a step just now: Ray gives them its name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(f"ray::dml:{step}".encode()):
            found.append(int(folder.name))
    return found


def _wait(what: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 180.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("it did not come")


def _begun(path: Path, start: str) -> str | None:
    """The step with this start of its id that is at work."""
    logs = path.parent.glob(".dml/runs/*/events.jsonl")
    events = [event for log in logs for event in _lines(log)]
    over = {event["step"] for event in events if event["kind"] in ("run", "cached", "failed")}
    begun = [event["step"] for event in events if event["kind"] == "start" and event["step"] not in over]
    return next((step for step in begun if step.startswith(start)), None)


def _at_work(path: Path, start: str) -> tuple[str, int] | None:
    """A step that has begun, and the process that does it."""
    step = _begun(path, start)
    workers = [] if step is None else _workers(step)
    return (step, workers[0]) if step is not None and workers else None


def _lines(log: Path) -> list[dict[str, Any]]:
    """The whole lines of a log that is being written."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _events(path: Path) -> list[dict[str, Any]]:
    (log,) = path.parent.glob(".dml/runs/*/events.jsonl")
    return _lines(log)


def test_adult_is_the_same_model_although_a_worker_is_killed(
    cluster: dict[str, str], shared_data: Path, tmp_path: Path, spawn: Any, run: Any
) -> None:
    spec = {
        "name": "adult",
        "data": {"source": str(shared_data / "adult" / "train.csv")},
        "target": "income",
        "model": {"type": "lightgbm", "rounds": 600, "early_stopping": 600},
        "explain": {"rows": 20, "background": 20},
        "track": False,
        "resources": {"cpu": 1},
    }
    paths = []
    for name in ("ray", "local"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "spec.yaml")
        paths[-1].write_text(json.dumps(spec))
    process = spawn("run", paths[0], "--engine", "ray", "--format", "json", **cluster)
    step, victim = _wait(lambda: _at_work(paths[0], "train."), process)
    os.kill(victim, signal.SIGKILL)
    out, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    result = json.loads(out)
    events = _events(paths[0])
    lost = {event["step"] for event in events if "its worker was lost" in event["message"]}
    assert lost == {step}
    local = run(paths[1])
    assert local.error is None
    assert result["model_digest"] == local.result["model_digest"]
    assert [step["id"] for step in result["steps"]] == [step["id"] for step in local.result["steps"]]
    starts = [event["step"] for event in events if event["kind"] == "start"]
    assert sorted(starts) == sorted(step["id"] for step in result["steps"])
    again = spawn("run", paths[0], "--format", "json")
    assert json.loads(again.communicate(timeout=200)[0])["run"] == result["run"]


def test_ctrl_c_ends_the_tasks_and_the_same_command_resumes(
    cluster: dict[str, str], flowers: Any, spawn: Any
) -> None:
    path = flowers(model=SLOW)
    process = spawn("run", path, "-q", "--engine", "ray", **cluster)
    _wait(lambda: _begun(path, "train.mlp"), process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in error) == (130, False), error
    assert "interrupted; finished steps are kept, the same command resumes" in error
    until = time.monotonic() + 30
    while _workers(""):
        assert time.monotonic() < until, "a task still runs"
        time.sleep(0.1)
    store = path.parent / ".dml" / "store"
    assert not list((store / "building").glob("*")) and not list((store / "actions").glob("*/.*"))
    path = flowers(model={"type": "mlp", "layers": [8], "epochs": 2}, resources={"cpu": 1, "time": "60s"})
    again = spawn("run", path, "--engine", "ray", "--format", "json", **cluster)
    out, error = again.communicate(timeout=200)
    assert again.returncode == 0, error
    status = {step["id"]: step["status"] for step in json.loads(out)["steps"]}
    assert {status[name] for name in ("acquire.source", "split", "profile", "prepare")} == {"cached"}
    assert "✓ train.mlp.fold0" in error


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
    send: Callable[[int, int], None],
    number: int,
    code: int,
    word: str,
    cluster: dict[str, str],
    flowers: Any,
    spawn: Any,
    run: Any,
) -> None:
    """The worker's group ends with the task, and either engine goes on from its checkpoint."""
    path = flowers(**TOGETHER)
    process = spawn("run", path, "-q", "--engine", "ray", **cluster)
    wait_for(lambda: checkpoint_of(path), process)
    assert sum("mlp_fit" in words for words in processes_of(path.parent)) == 3, "two and their launcher"
    send(process.pid, number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), error
    last = error.splitlines()[-1]
    assert last == f"{word}; finished steps are kept, the same command resumes" and "Traceback" not in error
    wait_for(lambda: not _workers(""), seconds=30)
    require_clean(path)
    saved = epoch_of(wait_for(lambda: checkpoint_of(path)))
    events: list[Any] = []
    there, here = run(path, events), run(flowers("b", **TOGETHER))
    assert there.error is None and first_epoch(events, "train.mlp.fold0") > saved > 0
    assert there.result["model_digest"] == here.result["model_digest"]


def test_a_step_that_fails_is_not_tried_again(cluster: dict[str, str], flowers: Any, spawn: Any) -> None:
    path = flowers(evaluate={"slices": ["colour"], "metric": "rmse"})
    process = spawn("run", path, "--engine", "ray", **cluster)
    _, error = process.communicate(timeout=200)
    assert process.returncode == 5
    assert "'rmse' does not apply to the multiclass target 'kind'" in error
    kinds = [event["kind"] for event in _events(path) if event["step"] == "evaluate"]
    assert kinds == ["start", "failed"]


def test_a_run_starts_a_ray_of_its_own_and_ends_it(flowers: Any, spawn: Any) -> None:
    path = flowers(model=SLOW)
    token = {"RAY_ADDRESS": "", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    process = spawn("run", path, "-q", "--engine", "ray", **token)
    _wait(lambda: _begun(path, "train.mlp"), process)
    assert {"acquire.source", "split", "prepare"} <= {
        event["step"] for event in _events(path) if event["kind"] == "run"
    }
    process.terminate()
    out, error = process.communicate(timeout=100)
    assert (process.returncode, out, "Traceback" in error) == (143, "", False), error
    assert not _workers("")


def test_a_client_of_ray_is_refused(flowers: Any, spawn: Any) -> None:
    process = spawn("run", flowers(), "--engine", "ray", RAY_ADDRESS="ray://127.0.0.1:10001")
    _, error = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "ray://127.0.0.1:10001: Ray Client sees no store" in error


def test_an_address_where_nobody_is(flowers: Any, spawn: Any) -> None:
    process = spawn("run", flowers(), "--engine", "ray", "--address", "127.0.0.1:1")
    _, error = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "no Ray at 127.0.0.1:1: Connection refused" in error
    assert "Traceback" not in error
