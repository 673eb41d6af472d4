"""TensorBoard event files, which `tensorboard --logdir FOLDER` shows.

FOLDER            the run: final metrics, learning curves, its options for the HParams page
FOLDER/trials/…   one trial of a search each: its options and its score
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declarative_ml.core.optional import require
from declarative_ml.trackers import mlflow_entities as entities
from declarative_ml.trackers.base import NestedRun

Curves = Mapping[str, Sequence[Mapping[str, float]]]


def write_events(folder: Path, run: NestedRun, curves: Curves, trials: Sequence[NestedRun]) -> None:
    """Write the run and its trials below `folder`. Raises MissingDependency without tensorboardX."""
    _write(folder, run, curves)
    for trial in trials:
        _write(folder / "trials" / entities.folder_name(trial.name), trial, {})


def _write(folder: Path, run: NestedRun, curves: Curves) -> None:
    tensorboardx = require("tensorboardX", "tensorboard")
    final = entities.final_points(run.metrics)
    with tensorboardx.SummaryWriter(logdir=str(folder)) as writer:
        options = {name: _typed(value) for name, value in entities.flatten(run.params).items()}
        scores = {name: value for name, value, _ in final}
        # `writer.add_hparams` would put them into a folder of their own, away from the curves.
        for summary in require("tensorboardX.summary", "tensorboard").hparams(options, scores):
            writer.file_writer.add_summary(summary)
        for name, value, step in [*final, *entities.curve_points(curves)]:
            writer.add_scalar(name, value, step)


def _typed(text: str) -> Any:
    """Numbers and truth values as such, so that TensorBoard can sort by them; all else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) else text
