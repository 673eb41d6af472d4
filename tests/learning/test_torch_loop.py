from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from declarative_ml.core.errors import StepFailed
from declarative_ml.learning.rank import ALONE, Rank
from declarative_ml.learning.row_order import epoch_order
from declarative_ml.learning.torch_loop import (
    Settings,
    Trained,
    learning_rate_at,
    train_network,
)

SETTINGS = Settings(
    rows=100,
    batch_size=16,
    epochs=6,
    horizon=6,
    learning_rate=0.02,
    weight_decay=0.01,
    patience=6,
    seed=3,
    threads=1,
)


class Noisy:
    """A tiny network whose inputs are randomly masked: a lost generator state would show."""

    def __init__(self, rows: int = 100, *, validate: bool = True) -> None:
        random = np.random.default_rng(0)
        inputs = random.normal(size=(rows + 40, 5)).astype(np.float32)
        target = (np.tanh(inputs[:, 0] * inputs[:, 1]) + inputs[:, 2] + random.normal(size=rows + 40)).astype(
            np.float32
        )
        self.inputs, self.target, self.rows, self.validate = (
            torch.tensor(inputs),
            torch.tensor(target),
            rows,
            validate,
        )
        self.parameters = {
            "weight0": torch.tensor(random.normal(size=(5, 12)) / 3, dtype=torch.float32, requires_grad=True),
            "bias0": torch.zeros(12, requires_grad=True),
            "weight1": torch.tensor(random.normal(size=(12, 1)) / 3, dtype=torch.float32, requires_grad=True),
        }
        self.decayed = frozenset({"weight0", "weight1"})
        self.seen: list[int] = []

    def outputs(self, weights: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        return (torch.relu(inputs @ weights["weight0"] + weights["bias0"]) @ weights["weight1"])[:, 0]

    def loss(self, rows: torch.Tensor, generator: torch.Generator, rank: Rank = ALONE) -> torch.Tensor:
        assert rank == ALONE
        self.seen += rows.tolist()
        mask = torch.empty(len(rows), 5).bernoulli_(0.8, generator=generator)
        return (self.outputs(self.parameters, self.inputs[rows] * mask) - self.target[rows]).square().mean()

    def validation_loss(self, weights: dict[str, torch.Tensor], rank: Rank = ALONE) -> float | None:
        if not self.validate:
            return None
        with torch.no_grad():
            found = self.outputs(weights, self.inputs[self.rows :])
            return float((found - self.target[self.rows :]).square().mean())


def silent(fraction: float, message: str) -> None:
    """Take a report."""


def run(
    scratch: Path, settings: Settings = SETTINGS, learner: Noisy | None = None, **changes: object
) -> Trained:
    options = {"identity": "noisy", "progress": silent, **changes}
    return train_network(learner or Noisy(settings.rows), settings, scratch=scratch, **options)


def same(one: Trained, other: Trained) -> bool:
    equal = all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
    return equal and one.epochs == other.epochs and one.curve == other.curve


def test_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=40, horizon=40, patience=5)
    trained = run(tmp_path, settings)
    losses = [point["validation"] for point in trained.curve]
    assert trained.epochs == int(np.argmin(losses)) + 1
    assert losses[trained.epochs - 1] < losses[0]
    assert len(losses) in (trained.epochs + 5, 40)
    weights = {name: torch.tensor(weight) for name, weight in trained.weights.items()}
    assert Noisy().validation_loss(weights) == pytest.approx(min(losses), abs=1e-6)


def test_without_validation_the_last_epoch_counts(tmp_path: Path) -> None:
    trained = run(tmp_path, learner=Noisy(validate=False))
    assert trained.epochs == 6
    assert [point.keys() for point in trained.curve] == [{"step", "train"}] * 6


def test_a_shorter_run_is_a_prefix_of_a_longer_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", replace(SETTINGS, epochs=6))
    part = run(tmp_path / "part", replace(SETTINGS, epochs=4))
    assert part.curve == whole.curve[:4]


def test_every_epoch_visits_every_row_once(tmp_path: Path) -> None:
    learner = Noisy()
    run(tmp_path, learner=learner)
    epochs = np.array(learner.seen).reshape(6, 100)
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 6


@pytest.mark.parametrize("other", [(5, 4), (6, 3)], ids=["seed", "epoch"])
def test_the_order_is_a_function_of_seed_and_epoch(other: tuple[int, int]) -> None:
    assert torch.equal(epoch_order(50, 5, 3), epoch_order(50, 5, 3))
    assert not torch.equal(epoch_order(50, 5, 3), epoch_order(50, *other))


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate_at(step / 100, 0.5) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == 0.5
    assert rates[100] == pytest.approx(0.0)
    assert all(later <= earlier for earlier, later in pairwise(rates[5:]))


def test_the_global_generator_is_neither_used_nor_moved(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(tmp_path / "1")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, run(tmp_path / "2"))


def test_one_step_is_that_of_torch_adamw(tmp_path: Path) -> None:
    learner, twin = Noisy(validate=False), Noisy(validate=False)
    settings = replace(SETTINGS, batch_size=100, epochs=1, horizon=1, average=0.0, weight_decay=0.3)
    groups = [
        {"params": [twin.parameters["weight0"], twin.parameters["weight1"]], "weight_decay": 0.3},
        {"params": [twin.parameters["bias0"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate_at(0.0, settings.learning_rate))
    trained = run(tmp_path, settings, learner)
    generator = torch.Generator()
    masks = []

    def loss(rows: torch.Tensor, given: torch.Generator, rank: Rank) -> torch.Tensor:
        masks.append(given.get_state())
        return Noisy.loss(learner, rows, given)

    learner = Noisy(validate=False)
    learner.loss = loss  # type: ignore[method-assign]
    run(tmp_path / "again", settings, learner)
    twin.loss(epoch_order(100, settings.seed, 0), generator.set_state(masks[0])).backward()
    optimizer.step()
    for name, tensor in twin.parameters.items():
        np.testing.assert_allclose(trained.weights[name], tensor.detach().numpy(), atol=1e-6)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_torch_loop import run
run(Path(sys.argv[1]), checkpoint_seconds=float(sys.argv[2]))
"""


def killed(scratch: Path, point: str, checkpoint_seconds: float) -> None:
    script = CHILD.format(folder=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(scratch), str(checkpoint_seconds)]
    done = subprocess.run(command, env={**os.environ, "DML_FAULT": point}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("point", "checkpoint_seconds", "left"),
    [
        ("torch:epoch:3", 0.0, 3),
        ("torch:epoch:4:batch:2", 0.0, 3),
        ("torch:epoch:6", 0.0, 0),
        ("torch:epoch:3", 1e9, 6),
    ],
)
def test_a_kill_loses_nothing(tmp_path: Path, point: str, checkpoint_seconds: float, left: int) -> None:
    killed(tmp_path / "killed", point, checkpoint_seconds)
    learner, messages = Noisy(), []
    resumed = run(tmp_path / "killed", learner=learner, progress=lambda _, message: messages.append(message))
    assert same(resumed, run(tmp_path / "straight"))
    assert len(messages) == left
    assert (len(learner.seen) < 600) == (checkpoint_seconds == 0.0)


class Interrupt(BaseException):
    """What a run's cancellation looks like."""


def test_an_interrupt_leaves_a_checkpoint(tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        if message.startswith("epoch 2/6"):
            raise Interrupt

    with pytest.raises(Interrupt):
        run(tmp_path / "stopped", progress=stop)
    learner = Noisy()
    assert same(run(tmp_path / "stopped", learner=learner), run(tmp_path / "straight"))
    assert len(learner.seen) == 400


def test_a_shorter_run_brings_its_learning_rate_to_an_end(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []

    def shorten(seconds: float, done: int) -> int:
        asked.append((seconds, done))
        return 4

    whole = run(tmp_path / "whole", shorten=lambda seconds, done: None)
    short = run(tmp_path / "short", shorten=shorten, checkpoint_seconds=0.0)
    assert whole.horizon is None and same(whole, run(tmp_path / "plain"))
    assert short.horizon == 4 and len(short.curve) == 4
    assert [done for _, done in asked] == [2], "after 20 batches of seven an epoch"
    plain = run(tmp_path / "cut", ends_after=lambda batches: batches >= 28)
    assert short.curve[:2] == plain.curve[:2] and short.curve[3] != plain.curve[3]
    # What was shortened is no place to go on from.
    assert same(run(tmp_path / "short"), whole)


@pytest.mark.parametrize("stop", [20, 24, 27, 28])
def test_where_a_last_epoch_was_cut_is_told(tmp_path: Path, stop: int) -> None:
    """Four epochs of seven batches: the fourth is the last, and may itself be cut."""

    def short(folder: str, **changes: object) -> Trained:
        return run(tmp_path / folder, shorten=lambda seconds, done: 4, **changes)

    cut = short("cut", ends_after=lambda batches: batches >= stop)
    assert cut.stopped_after == (stop if stop < 28 else None)
    again = short("again", ends_after=lambda batches: batches >= (cut.stopped_after or 99))
    assert same(again, cut) and again.stopped_after == cut.stopped_after


def test_a_resumed_run_measures_its_own_batches(tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        if message.startswith("epoch 2/6"):
            raise Interrupt

    with pytest.raises(Interrupt):
        run(tmp_path, progress=stop)
    asked: list[float] = []
    run(tmp_path, shorten=lambda seconds, done: asked.append(seconds))
    assert len(asked) == 1 and 0 < asked[0] < 60, "not since the machine was started"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9],
        lambda data: data[:40],
        lambda data: b"",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    ],
    ids=["torn", "head only", "empty", "one bit"],
)
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, damage: object) -> None:
    straight = run(tmp_path, checkpoint_seconds=0.0)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    learner = Noisy()
    assert same(run(tmp_path, learner=learner), straight)
    assert len(learner.seen) == 600


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        (replace(SETTINGS, learning_rate=0.01), "noisy"),
        (replace(SETTINGS, seed=4), "noisy"),
        (SETTINGS, "other"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_ignored(
    tmp_path: Path, settings: Settings, identity: str
) -> None:
    run(tmp_path / "used", checkpoint_seconds=0.0)
    again = run(tmp_path / "used", settings, identity=identity)
    assert same(again, run(tmp_path / "fresh", settings, identity=identity))


def test_reports_rise_to_one_and_tell_the_losses(tmp_path: Path) -> None:
    reports: list[tuple[float, str]] = []
    run(tmp_path, progress=lambda fraction, message: reports.append((fraction, message)))
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert reports[0][1].startswith("epoch 1/6 · loss ")
    assert " · validation " in reports[0][1]


def test_long_epochs_report_and_save_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declarative_ml.learning.torch_loop.PROGRESS_SECONDS", 0.0)
    reports: list[str] = []
    run(tmp_path, progress=lambda _, message: reports.append(message))
    assert len(reports) == 6 * SETTINGS.steps
    assert reports[0] == "epoch 1/6"


def test_divergence_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"training diverged: the loss is (nan|inf) in epoch \d+") as caught:
        run(tmp_path, replace(SETTINGS, learning_rate=1e30))
    assert caught.value.hint == "lower learning_rate"


def test_a_run_that_is_ended_ends_its_epoch_where_it_is(tmp_path: Path) -> None:
    learner = Noisy()
    cut = train_network(
        learner, SETTINGS, scratch=tmp_path, identity="", progress=silent, ends_after=lambda batches: True
    )
    assert cut.stopped_after == 1
    assert (cut.epochs, len(cut.curve)) == (1, 1)
    assert len(learner.seen) == 100 // 7, "one batch"
    assert np.isfinite(cut.curve[0]["train"])


def test_a_run_with_more_time_is_not_misled_by_one_that_was_cut(tmp_path: Path) -> None:
    scratch = tmp_path / "shared"
    options = {"identity": "noisy", "progress": silent, "checkpoint_seconds": 0.0}
    cut = train_network(Noisy(), SETTINGS, scratch=scratch, ends_after=(21).__eq__, **options)
    assert cut.stopped_after == 21
    whole = train_network(Noisy(), SETTINGS, scratch=scratch, **options)
    assert whole.stopped_after is None
    assert same(whole, run(tmp_path / "alone"))
