"""The fit of the mlp, in this process or in several.

Of several each reads its rows from a folder below `scratch`, and the first leaves the result there:

job.json       what to train (see Job)
train/ …       arrays of the training rows; validation/ of those held out
state.npz, trained.json   what came of it
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.core.component import Section
from declarative_ml.core.digest import digest_json
from declarative_ml.learning.dataset import Dataset, Layout, open_dataset, save_dataset
from declarative_ml.learning.rank import Rank, run_rank, stopper, teller
from declarative_ml.learning.rank_group import run_group
from declarative_ml.learning.task import Task
from declarative_ml.learning.torch_loop import CHECKPOINT_SECONDS, Settings, train_network
from declarative_ml.models.base import FitContext, Fitted, load_state, save_state
from declarative_ml.models.mlp_network import Design, Network

JOB, STATE, TRAINED = "job.json", "state.npz", "trained.json"
_LEARNING = 0.85
"""Of the time of an epoch; the rest is validation."""


class Job(Section):
    """What the processes train, as JSON."""

    task: Task
    layout: Layout
    design: dict[str, Any]
    settings: dict[str, Any]
    validate_on: bool
    """Whether rows are held out."""
    stop_after: int | None
    scratch: str
    """The folder of the checkpoint, which outlives the group."""
    checkpoint_seconds: float
    memory: int | None
    """Bytes that a process may take for speed alone."""


def fit_alone(
    design: Design, settings: Settings, train: Dataset, validation: Dataset | None, context: FitContext
) -> Fitted:
    """Fit in this process; the work holds `epochs`, and the `horizon` where the clock made it shorter."""
    network = Network(
        design, context.task, context.seed, train, validation, pool=settings.pool, memory=context.memory
    )
    trained = train_network(
        network,
        settings,
        scratch=context.scratch,
        identity=digest_json(network.identity),
        progress=context.progress,
        ends_after=context.ends_after,
        shorten=lambda seconds, done: _epochs_for(context, settings.horizon, seconds, done),
    )
    work = {"epochs": trained.epochs}
    hurried = None
    if trained.horizon is not None:
        work["horizon"] = trained.horizon
        hurried = float(trained.horizon)
    return Fitted(network.state(trained), work, trained.curve, trained.stopped_after, hurried)


def _epochs_for(context: FitContext, wanted: int, seconds: float, done: int) -> int | None:
    """After how many epochs to end, at so many seconds each, with `done` of them over; None: as wanted. A
    repetition looks at no clock."""
    if context.repeats:
        return None if context.hurried is None else round(context.hurried)
    if context.work is not None or not context.hurries or context.deadline is None:
        return None
    possible = done + _LEARNING * (context.deadline() - time.monotonic()) / max(seconds, 1e-9)
    return max(done + 1, int(possible)) if possible < wanted else None


def fit_together(
    design: Design, settings: Settings, train: Dataset, validation: Dataset | None, context: FitContext
) -> Fitted:
    """Fit in `settings.processes` processes; otherwise as `fit_alone`, but for rounding."""
    folder = context.scratch / "group"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    job = Job(
        task=context.task,
        layout=train.layout,
        design=asdict(design),
        settings=asdict(settings),
        validate_on=validation is not None,
        stop_after=context.stop_after,
        scratch=str(context.scratch),
        checkpoint_seconds=CHECKPOINT_SECONDS,
        memory=None if context.memory is None else context.memory // settings.processes,
    )
    try:
        write_json(folder / JOB, job.model_dump(mode="json"))
        save_dataset(folder / "train", train)
        if validation is not None:
            save_dataset(folder / "validation", validation)
        run_group(
            __name__,
            folder,
            settings.processes,
            progress=context.progress,
            is_late=lambda: context.stop_after is None and context.ends_after(1),
        )
        told = read_json(folder / TRAINED)
        work = {"epochs": told["epochs"]}
        return Fitted(load_state(folder / STATE), work, told["curve"], told["stopped_after"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path) -> None:
    """Train as one of the processes of the group."""
    job = Job.model_validate(read_json(folder / JOB))
    run_rank(folder, lambda rank: _train(folder, job, rank))


def _train(folder: Path, job: Job, rank: Rank) -> None:
    design = Design(**{**job.design, "layers": tuple(job.design["layers"])})
    settings = Settings(**job.settings)
    train = open_dataset(folder / "train", job.layout)
    validation = open_dataset(folder / "validation", job.layout) if job.validate_on else None
    network = Network(
        design, job.task, settings.seed, train, validation, pool=settings.pool, memory=job.memory
    )
    trained = train_network(
        network,
        settings,
        scratch=Path(job.scratch),
        identity=digest_json(network.identity),
        progress=teller(folder, rank),
        ends_after=stopper(folder, job.stop_after),
        checkpoint_seconds=job.checkpoint_seconds,
        rank=rank,
    )
    if rank.is_first:
        save_state(network.state(trained), folder / STATE)
        told = {"epochs": trained.epochs, "curve": trained.curve, "stopped_after": trained.stopped_after}
        write_json(folder / TRAINED, told)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
