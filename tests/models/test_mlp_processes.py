"""The mlp in several processes: the same model as in one, but for rounding.

What one process computes with a batch of n rows, several compute in parts whose sums are added up in another
order. In float32 that is about 1e-7 of a step; TOLERANCE is what became of it at the end of these fits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_mlp import BINARY, NUMBER, THREE, fit, make_data
from threaded_ranks import in_threads

from declarative_ml.core.errors import StepFailed
from declarative_ml.learning.dataset import open_dataset, save_dataset
from declarative_ml.learning.rank import Rank
from declarative_ml.learning.task import Task
from declarative_ml.learning.torch_loop import Settings, Trained, train_network
from declarative_ml.models import mlp_fit
from declarative_ml.models.base import Fitted, State
from declarative_ml.models.mlp import MLP
from declarative_ml.models.mlp_network import Design, Network
from declarative_ml.models.mlp_sharing import Sharing

TOLERANCE = 1e-5
MODEL = MLP(layers=(16, 8), epochs=4, networks=2, dropout=0.2, batch_size=64)
DESIGN = Design(layers=(8, 6), networks=2, activation="relu", dropout=0.2, embedding_size=4, bins=4)


def difference(one: State, other: State) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max(initial=0.0)) for name in one)


def in_ranks(
    processes: int, task: Task, scratch: Path, rows: int, batch_size: int, design: Design = DESIGN
) -> list[Trained]:
    """Train the same network in so many ranks: with row weights, dropout and early stopping."""
    train = make_data(task, rows)
    train = replace(train, weight=np.random.default_rng(4).uniform(0.2, 3.0, len(train)))
    settings = Settings(
        rows=len(train),
        batch_size=batch_size,
        epochs=4,
        horizon=4,
        learning_rate=0.02,
        weight_decay=0.01,
        patience=2,
        seed=3,
        threads=1,
        processes=processes,
    )

    def work(rank: Rank) -> Trained:
        network = Network(design, task, 3, train, make_data(task, 41, seed=1), pool=1000)
        folder = scratch / f"{processes}.{rank.number}"
        return train_network(
            network, settings, scratch=folder, identity="", progress=lambda *_: None, rank=rank
        )

    return in_threads(processes, work)


@pytest.mark.parametrize(
    ("task", "processes", "rows", "batch_size", "share"),
    [
        (BINARY, 2, 100, 32, "nothing"),
        (THREE, 3, 100, 32, "weights"),
        (NUMBER, 2, 100, 33, "layers"),
        (BINARY, 3, 24, 2, "nothing"),
    ],
    ids=["binary", "multiclass uneven", "number uneven", "more ranks than rows of a batch"],
)
def test_ranks_make_the_steps_of_one(
    task: Task, processes: int, rows: int, batch_size: int, share: Sharing, tmp_path: Path
) -> None:
    design = replace(DESIGN, share=share)
    (alone,) = in_ranks(1, task, tmp_path, rows, batch_size, design)
    ranks = in_ranks(processes, task, tmp_path, rows, batch_size, design)
    for other in ranks:
        assert other.epochs == alone.epochs and other.curve == ranks[0].curve
        assert difference(other.weights, ranks[0].weights) == 0.0, "all ranks hold the same weights"
    assert difference(ranks[0].weights, alone.weights) < TOLERANCE
    for point, expected in zip(ranks[0].curve, alone.curve, strict=True):
        assert point == pytest.approx(expected, abs=TOLERANCE)


def test_rows_come_back_from_their_folder(tmp_path: Path) -> None:
    data = replace(make_data(BINARY, 20), weight=np.linspace(0.5, 1.5, 20))
    save_dataset(tmp_path / "rows", data)
    again = open_dataset(tmp_path / "rows", data.layout)
    for name in ("raw", "scaled", "codes", "target", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def in_two(scratch: Path, **changes: object) -> Fitted:
    scratch.mkdir(exist_ok=True)
    return fit(MODEL, BINARY, scratch, processes=2, threads=2, **changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return in_two(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.slow
def test_two_processes_fit_what_one_does(undisturbed: Fitted, tmp_path: Path) -> None:
    alone = fit(MODEL, BINARY, tmp_path)
    assert undisturbed.work == alone.work and undisturbed.stopped_after is None
    assert 0.0 < difference(undisturbed.state, alone.state) < TOLERANCE
    for point, expected in zip(undisturbed.curve, alone.curve, strict=True):
        assert point == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["rank1:start0:torch:epoch:2:batch:3", "rank0:start0:torch:epoch:3"])
def test_a_killed_rank_is_survived(
    point: str, undisturbed: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DML_FAULT", point)
    monkeypatch.setattr(mlp_fit, "CHECKPOINT_SECONDS", 0.0)
    messages: list[str] = []
    found = in_two(tmp_path, progress=lambda _, message: messages.append(message))
    again = [message for message in dict.fromkeys(messages) if message.endswith("start 2")]
    assert again and not any(message.startswith("epoch 1/") for message in again), "it goes on, not anew"
    assert difference(found.state, undisturbed.state) == 0.0
    assert found.curve == undisturbed.curve and found.work == undisturbed.work
    assert not (tmp_path / "group").exists()


@pytest.mark.slow
def test_a_rank_that_is_always_lost_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_FAULT", "rank1:torch:epoch:1:batch:1")
    with pytest.raises(StepFailed) as caught:
        in_two(tmp_path)
    assert caught.value.message == (
        "the training lost a process 4 times, the last time process 1: it was ended by SIGKILL"
    )
    assert "lower resources.processes" in (caught.value.hint or "")


@pytest.mark.slow
def test_divergence_is_told_once(tmp_path: Path) -> None:
    model = MODEL.model_copy(update={"learning_rate": 1e30})
    messages: list[str] = []
    with pytest.raises(StepFailed, match="training diverged") as caught:
        fit(model, NUMBER, tmp_path, processes=2, progress=lambda _, message: messages.append(message))
    assert caught.value.hint == "lower learning_rate"
    assert not any("start" in message for message in messages if message != "starting processes")


@pytest.mark.slow
def test_the_deadline_ends_all_ranks_and_the_place_is_repeatable(tmp_path: Path) -> None:
    cut = in_two(tmp_path / "cut", deadline=lambda: 0.0)
    assert cut.cut and cut.stopped_after is not None and cut.work["epochs"] == 1
    again = in_two(tmp_path / "again", stop_after=cut.stopped_after)
    assert again.stopped_after == cut.stopped_after
    assert difference(again.state, cut.state) == 0.0


class Interrupt(BaseException):
    """What a run's cancellation looks like."""


@pytest.mark.slow
@pytest.mark.parametrize("beginning", ["starting", "epoch"], ids=["while starting", "while training"])
def test_an_interrupt_ends_all_processes(beginning: str, tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        if message.startswith(beginning):
            raise Interrupt

    with pytest.raises(Interrupt):
        in_two(tmp_path, progress=stop)
    wait_for(lambda: not processes_of(tmp_path))


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_mlp_processes import in_two
in_two(Path(sys.argv[1]), progress=lambda fraction, message: print(message, flush=True))
"""


@pytest.mark.slow
def test_the_processes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN.format(folder=str(Path(__file__).parent)), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any(line.startswith("epoch ") for line in run.stdout)
        run.kill()
    wait_for(lambda: not processes_of(tmp_path))


def processes_of(folder: Path) -> list[str]:
    """The command lines that name the folder, of all processes."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().decode(errors="replace")
        except OSError:  # ended meanwhile
            continue
        if str(folder) in words and line.parent.name != str(os.getpid()):
            found.append(words)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
