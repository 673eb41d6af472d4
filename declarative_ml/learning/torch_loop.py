"""The one training loop for networks in torch: own batches, early stopping, exact resume.

What a step does depends on nothing but the configuration: the order of the rows is a function of
(seed, epoch), the learning rate of (step, horizon), and random masks come from a generator of the
loop's own, never from torch's global one, so that steps in other threads cannot disturb it. A
checkpoint holds everything else. A run that was killed anywhere and started again therefore ends
in the same bits as one that was not.

Several processes may share the work of each batch (see learning.rank): the batches, their order and every
decision are those of one process, and sums differ by their rounding alone.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from declarative_ml.core.atomic import write_bytes
from declarative_ml.core.digest import digest_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.faults import fault_point
from declarative_ml.core.optional import require
from declarative_ml.learning.rank import ALONE, Rank
from declarative_ml.learning.row_order import epoch_pools, mix, stretches_of
from declarative_ml.learning.torch_optimizer import Optimizer

if TYPE_CHECKING:
    import numpy as np
    import torch

_SEAL_BYTES = 32
"""A checkpoint begins with a hash over its configuration and content: a foreign or torn one is ignored."""

PROGRESS_SECONDS = 0.5
"""Within a long epoch, progress is reported (and may interrupt) this often."""


CHECKPOINT_SECONDS = 2.0
"""The least time between two checkpoints."""

LOOK = 20
"""Batches after which a run looks how long its epochs take."""


class Learner(Protocol):
    """A network with its training rows: what the loop needs to know of it."""

    parameters: dict[str, torch.Tensor]
    """Leaf tensors that the loop changes in place."""
    decayed: frozenset[str]
    """Names of the parameters that weight decay applies to."""

    def loss(self, rows: torch.Tensor, generator: torch.Generator, rank: Rank) -> torch.Tensor:
        """What the rank's part adds to the mean loss over the training rows at the positions `rows`.

        The generator is left as if the whole batch had been computed, so that it is the same in all ranks.
        """

    def validation_loss(self, weights: dict[str, torch.Tensor], rank: Rank) -> float | None:
        """What the rank's part adds to the loss of `weights` on the validation rows; None: there are none."""


@dataclass(frozen=True)
class Settings:
    """How to train. Everything here enters the fingerprint of a checkpoint, `threads` included."""

    rows: int
    batch_size: int
    epochs: int
    """Stop after this many."""
    horizon: int
    """The epochs that the learning-rate schedule spans: a run of fewer epochs is a prefix of it."""
    learning_rate: float
    weight_decay: float
    patience: int
    """Stop when this many epochs in a row have not improved the validation loss."""
    seed: int
    threads: int
    processes: int = 1
    """How many train together; each takes its part of a batch."""
    pool: int = 0
    """With more rows than this, whole stretches of so many / STRETCHES rows are shuffled together, pool by
    pool, so that no more of them need to be in memory; 0: all rows at once."""
    average: float = 1.0
    """Weights are averaged exponentially over about this many epochs; 0 switches it off."""

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self.rows / self.batch_size)


@dataclass(frozen=True)
class Trained:
    """The best weights (the last, without validation), and how they were found."""

    weights: dict[str, np.ndarray]
    epochs: int
    """The epoch that the weights are from, counted from 1."""
    curve: list[dict[str, float]]
    stopped_after: int | None = None
    """The batches after which the run was ended from outside; None: it came to its own end."""
    horizon: int | None = None
    """The epochs that the run was shortened to; None: those of the settings."""


@dataclass
class _Position:
    """Where a run stands: all that a checkpoint holds beside tensors of the network and optimiser."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0
    done: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def learning_rate_at(fraction: float, peak: float) -> float:
    """The learning rate after `fraction` (0..1) of the horizon: warm-up, flat, then cosine to zero."""
    warm, flat = 0.05, 0.3
    if fraction < warm:
        return peak * (0.1 + 0.9 * fraction / warm)
    if fraction < flat:
        return peak
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (fraction - flat) / (1.0 - flat))))


def train_network(
    learner: Learner,
    settings: Settings,
    *,
    scratch: Path,
    identity: str,
    progress: Callable[[float, str], None],
    ends_after: Callable[[int], bool] = lambda batches: False,
    shorten: Callable[[float, int], int | None] = lambda seconds, done: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    rank: Rank = ALONE,
) -> Trained:
    """Train the learner, resuming from the checkpoint in `scratch` where one fits.

    `identity` names what the settings do not: the network and its data. `checkpoint_seconds` is the
    least time between two checkpoints; 0 writes one after every batch. `ends_after` is asked after each
    batch, with the number of batches so far: where it says so the epoch ends where it is, and the run with
    it. `shorten` is asked once, after LOOK batches, with the seconds that an epoch takes and the epochs that
    are over: what it answers is the horizon from there on, so that the learning rate comes to its end before
    the time does. Whatever `progress` raises goes through, after a checkpoint of the position reached.

    With a `rank` among several every one of them calls this alike, each with the whole learner: they move
    through the same batches together. The first saves, and its `ends_after` counts.
    """
    torch = require("torch", "torch")
    torch.set_num_threads(settings.threads)
    run = _Run(learner, settings, scratch / "checkpoint.pt", identity, progress, checkpoint_seconds)
    run.rank, run.ends_after, run.shorten = rank, ends_after, shorten
    run.resume()
    while not run.position.done:
        run.epoch()
    return run.result()


class _Run:
    """One training run: optimiser, averages and position, moved on by `epoch`."""

    def __init__(
        self,
        learner: Learner,
        settings: Settings,
        path: Path,
        identity: str,
        progress: Callable[[float, str], None],
        checkpoint_seconds: float,
    ) -> None:
        torch = require("torch", "torch")
        self.learner, self.settings, self.path = learner, settings, path
        self.progress, self.checkpoint_seconds = progress, checkpoint_seconds
        self.fingerprint = digest_json(
            {"settings": asdict(settings), "identity": identity, "torch": torch.__version__}
        )
        self.position = _Position()
        self.ends_after: Callable[[int], bool] = lambda batches: False
        self.shorten: Callable[[float, int], int | None] = lambda seconds, done: None
        self.shortened: int | None = None
        self.first: int | None = None
        self.begun = 0.0
        self.rank = ALONE
        self.stopped_after: int | None = None
        self.optimizer = Optimizer(learner.parameters, learner.decayed, settings.weight_decay)
        self.average = self.optimizer.weights.clone()
        self.best = self.average.clone()
        self.generator = torch.Generator().manual_seed(mix(settings.seed, 0, 1))
        self.saved_at = self.reported_at = time.monotonic()

    def epoch(self) -> None:
        """The rest of the current epoch, its validation, and the report."""
        position, settings = self.position, self.settings
        cuts = [settings.rows * k // settings.steps for k in range(position.batch, settings.steps + 1)]
        pools = epoch_pools(settings.rows, settings.seed, position.epoch, settings.pool)
        for rows in stretches_of(pools, cuts):
            batches = position.epoch * settings.steps + position.batch + 1
            loss, ends = self._step(rows, batches)
            self._look(batches)
            position.loss_sum += loss * len(rows)
            position.batch += 1
            if ends:
                self.stopped_after = batches
                break
            if position.batch < settings.steps:
                self._pause(f"torch:epoch:{position.epoch + 1}:batch:{position.batch}")
        self._finish_epoch()
        self._save_if_due()
        self._fault_point(f"torch:epoch:{position.epoch}")
        self._report(self._message())

    def _step(self, rows: torch.Tensor, batches: int) -> tuple[float, bool]:
        """Learn from one batch. Returns its loss, and whether the run ends with it."""
        position, settings = self.position, self.settings
        done = position.epoch + position.batch / settings.steps
        loss = self.learner.loss(rows, self.generator, self.rank)
        loss.backward()
        whole_loss, ends = self._together(float(loss.detach()), batches)
        horizon = self.shortened or settings.horizon
        self.optimizer.step(learning_rate_at(done / horizon, settings.learning_rate))
        self._update_average()
        return whole_loss, ends

    def _look(self, batches: int) -> None:
        """Ask whether the run has to be shorter. What the first batch of a process costs does not count."""
        if self.first is None:
            self.first, self.begun = batches, time.monotonic()
        elif batches == LOOK:
            seconds = (time.monotonic() - self.begun) / (LOOK - self.first) * self.settings.steps
            self.shortened = self.shorten(seconds, self.position.epoch)

    @property
    def epochs(self) -> int:
        """Stop after this many."""
        return self.shortened or self.settings.epochs

    def _together(self, loss: float, batches: int) -> tuple[float, bool]:
        """Add up the ranks' gradients and losses; the first rank says whether the run ends."""
        ends = self.rank.is_first and self.ends_after(batches)
        if self.rank.of == 1:
            return loss, ends
        told = self.optimizer.told
        told[0], told[1] = loss, float(ends)
        self.rank.add_up(self.optimizer.sums)
        return float(told[0]), bool(told[1])

    def _update_average(self) -> None:
        settings = self.settings
        taken = self.position.epoch * settings.steps + self.position.batch + 1
        window = settings.average * settings.steps
        # Early on the average is over the steps taken so far, or it would remember the random start.
        self.average.lerp_(self.optimizer.weights, 1.0 / max(1.0, min(window, taken / 2.0)))

    def _finish_epoch(self) -> None:
        position, settings = self.position, self.settings
        train_loss = position.loss_sum / (settings.rows * position.batch // settings.steps)
        if not math.isfinite(train_loss):
            raise StepFailed(
                f"training diverged: the loss is {train_loss} in epoch {position.epoch + 1}",
                hint="lower learning_rate",
            )
        complete = position.batch == settings.steps
        position.epoch += 1
        position.batch, position.loss_sum = 0, 0.0
        validation = self._validation_loss()
        point = {"step": float(position.epoch), "train": train_loss}
        if validation is not None:
            point["validation"] = validation
        position.curve.append(point)
        if validation is None or validation < position.best_loss or position.best_epoch == 0:
            position.best_loss = math.inf if validation is None else validation
            position.best_epoch = position.epoch
            self.best = self.average.clone()
        waited = position.epoch - position.best_epoch
        whole = position.epoch >= self.epochs or waited >= settings.patience
        if whole and complete:
            self.stopped_after = None
        position.done = whole or self.stopped_after is not None

    def _validation_loss(self) -> float | None:
        import torch

        own = self.learner.validation_loss(self.optimizer.views(self.average), self.rank)
        if own is None or self.rank.of == 1:
            return own
        total = torch.tensor([own], dtype=torch.float64)
        self.rank.add_up(total)
        return float(total)

    def _fault_point(self, name: str) -> None:
        for point in self.rank.fault_points(name):
            fault_point(point)

    def _pause(self, name: str) -> None:
        """Between two batches: the place to save, to be killed, and to be interrupted."""
        self._save_if_due()
        self._fault_point(name)
        if time.monotonic() - self.reported_at >= PROGRESS_SECONDS:
            self._report(self._message())

    def _report(self, message: str) -> None:
        position = self.position
        done = (position.epoch + position.batch / self.settings.steps) / self.epochs
        self.reported_at = time.monotonic()
        try:
            self.progress(1.0 if position.done else min(1.0, done), message)
        except BaseException:
            self.save()
            raise

    def _message(self) -> str:
        position = self.position
        number = position.epoch + (1 if position.batch else 0)
        parts = [f"epoch {number}/{self.epochs}"]
        if position.curve:
            parts.append(f"loss {position.curve[-1]['train']:.3f}")
            if "validation" in position.curve[-1]:
                parts.append(f"validation {position.curve[-1]['validation']:.3f}")
        return " · ".join(parts)

    def result(self) -> Trained:
        """The best weights as arrays."""
        weights = {name: tensor.numpy() for name, tensor in self.optimizer.views(self.best).items()}
        position = self.position
        return Trained(weights, position.best_epoch, position.curve, self.stopped_after, self.shortened)

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at >= self.checkpoint_seconds:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, atomically. What a deadline has cut or shortened is no place to go on from:
        the checkpoint before it is, for a run with more time."""
        import torch

        if self.stopped_after is not None or self.shortened is not None or not self.rank.is_first:
            return
        content = {
            "position": asdict(self.position),
            "optimizer": self.optimizer.content(),
            "average": self.average,
            "best": self.best,
            "generator": self.generator.get_state(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        payload = buffer.getvalue()
        write_bytes(self.path, self._seal(payload) + payload)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Continue from the checkpoint if there is a whole one of this very configuration."""
        import torch

        stored = self.path.read_bytes() if self.path.exists() else b""
        seal, payload = stored[:_SEAL_BYTES], stored[_SEAL_BYTES:]
        if seal != self._seal(payload):
            return
        content = torch.load(io.BytesIO(payload), weights_only=True)
        self.optimizer.restore(content["optimizer"])
        self.average, self.best = content["average"], content["best"]
        self.generator.set_state(content["generator"])
        self.position = _Position(**content["position"])

    def _seal(self, payload: bytes) -> bytes:
        return hashlib.sha256(self.fingerprint.encode() + payload).digest()
