"""Bytes that a fit of trees takes for each row, by its columns: what the plan's estimates rest on.

Each fit is a process of its own on rows that lie on disk, as a `train` step has them. From the peaks with two
numbers of rows and two of columns follow the bytes of a row beside its values, and those of a value.

    python benchmarks/tree_memory.py [--models lightgbm,xgboost,extra_trees] [--rows 100000,300000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout, open_dataset, save_dataset
from declarative_ml.learning.task import Task
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext

LEVELS = 200
CODES = 4
FEW = {"lightgbm": {"rounds": 5}, "xgboost": {"rounds": 5}, "extra_trees": {"trees": 4}}
"""Trees more than these take time, not memory for each row."""


def _layout(numbers: int) -> Layout:
    codes = tuple(CodeColumn(name=f"c{number}", cardinality=LEVELS) for number in range(CODES))
    return Layout(raw=tuple(f"x{number}" for number in range(numbers)), codes=codes)


def _write(folder: Path, rows: int, numbers: int) -> None:
    random = np.random.default_rng(0)
    raw = random.normal(size=(rows, numbers)).astype(np.float32)
    codes = random.integers(0, LEVELS, (rows, CODES)).astype(np.int32)
    target = (raw[:, 0] + random.normal(size=rows) > 0).astype(np.int64)
    save_dataset(folder, Dataset(_layout(numbers), raw, np.zeros((rows, 0), np.float32), codes, target))


def _fit(folder: Path, model: str, numbers: int) -> None:
    """Fit in this process and print its peak in bytes, before the rows and at the end."""
    learner = MODELS.parse({"type": model, **FEW[model]})
    task = Task(target="y", type="binary", classes=("no", "yes"))
    data = open_dataset(folder, _layout(numbers))
    context = FitContext(task=task, seed=0, threads=1, scratch=folder)
    learner.fit(data.take(np.arange(1_000)), None, context)  # loads the libraries
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    learner.fit(data, None, context)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([before * 1024, after * 1024]))


def _peak(model: str, rows: int, numbers: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "rows"
        _write(folder, rows, numbers)
        command = [sys.executable, __file__, "--fit", str(folder), model, str(numbers)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return int(json.loads(found.splitlines()[-1])[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join(FEW))
    parser.add_argument("--rows", default="100000,300000")
    parser.add_argument("--numbers", default="20,80")
    parser.add_argument("--fit", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        _fit(Path(arguments.fit[0]), arguments.fit[1], int(arguments.fit[2]))
        return
    few, many = (int(rows) for rows in arguments.rows.split(","))
    narrow, wide = (int(numbers) for numbers in arguments.numbers.split(","))
    print(f"{'model':<12} {'a value':>8} {'a row beside':>13} {'fixed MiB':>10}")
    for model in arguments.models.split(","):
        slopes, fixed = {}, 0.0
        for numbers in (narrow, wide):
            peaks = [_peak(model, rows, numbers) for rows in (few, many)]
            slopes[numbers] = (peaks[1] - peaks[0]) / (many - few)
            fixed = peaks[0] / 2**20 - slopes[numbers] * few / 2**20
        value = (slopes[wide] - slopes[narrow]) / (wide - narrow)
        beside = slopes[narrow] - value * (narrow + CODES)
        print(f"{model:<12} {value:>8.1f} {beside:>13.0f} {fixed:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
