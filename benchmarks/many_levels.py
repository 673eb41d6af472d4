"""What trees should see of a category of many levels: the levels, the target in them on average, or both.

    python benchmarks/many_levels.py [--models lightgbm xgboost extra_trees] [--levels 20 20000]

Each table is made: 60,000 rows to learn from, 8,000 to stop by and 20,000 to judge by, of two classes, whose
log-odds are the sum of a number and of an effect of the row's level, both standard normal. Prints the log
loss, the processor seconds of the fit, and the bytes of the model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext

TASK = Task(target="y", type="binary", classes=("no", "yes"))
KNOWN = 2
"""Codes of missing and of rare levels come first."""


def made(rows: int, effects: np.ndarray, seed: int) -> Dataset:
    random = np.random.default_rng(seed)
    level = random.integers(0, len(effects), rows)
    raw = random.normal(size=(rows, 2)).astype(np.float32)
    chance = 1.0 / (1.0 + np.exp(-(effects[level] + raw[:, 0])))
    target = (random.random(rows) < chance).astype(np.int64)
    layout = Layout(raw=("a", "b"), codes=(CodeColumn(name="k", cardinality=KNOWN + len(effects)),))
    codes = (KNOWN + level).astype(np.int32)[:, None]
    return Dataset(layout, raw, np.zeros((rows, 0), np.float32), codes, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["lightgbm", "xgboost", "extra_trees"])
    parser.add_argument("--levels", nargs="+", type=int, default=[20, 20_000])
    options = parser.parse_args()
    print("model        levels  categories  log loss  seconds       bytes")
    for levels in options.levels:
        effects = np.random.default_rng(0).normal(size=levels)
        train, validation, test = (
            made(rows, effects, seed) for seed, rows in ((1, 60_000), (2, 8_000), (3, 20_000))
        )
        for name in options.models:
            for ways in ("native", "target", "both"):
                model, started = MODELS.parse({"type": name, "categories": ways}), time.process_time()
                with tempfile.TemporaryDirectory() as scratch:
                    context = FitContext(task=TASK, seed=0, threads=1, scratch=Path(scratch))
                    state = model.fit(train, validation, context).state
                seconds = time.process_time() - started
                answers = predictions_from_margins(TASK, model.predict(state, test, TASK))
                loss = score("log_loss", TASK, test.target, answers)
                size = sum(array.nbytes for array in state.values())
                print(
                    f"{name:<11} {levels:>7,}  {ways:<10}  {loss:8.4f}  {seconds:7.1f}  {size:10,}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
