"""What every contender is given and must hand back. Needs numpy, and pandas in those that read with it.

    python -P -m benchmarks.automl.contenders.NAME TRAIN TEST TARGET TASK SECONDS OUT
        [--preset P] [--positive CLASS] [--threads N] [--started S]

OUT/predictions.npz: `classes` (text [C]) and `probabilities` (float64 [N, C]), or `values` (float64 [N]).
OUT/facts.json: `seconds` from the start of the process to the saved model, `bytes` of that model on disk,
`latency_ms` of one row (median, in steady work), `versions`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

LATENCY_ROWS = 50
LATENCY_SECONDS = 1.0
MISSING = ("", " ", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
"""Spellings of a missing cell, for everyone: those of `dml`."""

_IMPORTED = time.monotonic()


@dataclass(frozen=True)
class Job:
    """One fit."""

    train: Path
    test: Path
    target: str
    task: str
    """binary, multiclass or number."""
    seconds: int
    """0: no clock."""
    out: Path
    preset: str
    positive: str
    threads: int
    started: float
    """time.monotonic() when the process was started; it is one clock for all processes of a machine."""

    @property
    def is_classification(self) -> bool:
        return self.task != "number"

    def elapsed(self) -> float:
        """Seconds since the start of the process."""
        return time.monotonic() - self.started


def job_from_arguments() -> Job:
    """The job that the command line describes."""
    parser = argparse.ArgumentParser()
    for name in ("train", "test"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("target")
    parser.add_argument("task", choices=["binary", "multiclass", "number"])
    parser.add_argument("seconds", type=int)
    parser.add_argument("out", type=lambda text: Path(text).resolve())
    parser.add_argument("--preset", default="")
    parser.add_argument("--positive", default="", help="the positive one of two classes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--started", type=float, default=_IMPORTED)
    return Job(**vars(parser.parse_args()))


def read_frames(job: Job) -> tuple[Any, Any]:
    """Training and test rows as pandas frames; classes are text, whatever they look like."""
    import pandas  # type: ignore[import-untyped]

    kind = str if job.is_classification else np.float64
    frames = []
    for path in (job.train, job.test):
        frame = pandas.read_csv(
            path, keep_default_na=False, na_values=list(MISSING), dtype={job.target: kind}
        )
        frames.append(frame)
    return frames[0], frames[1]


def split_target(job: Job, frame: Any) -> tuple[Any, Any]:
    """(columns, target) of a frame."""
    return frame.drop(columns=[job.target]), frame[job.target]


def as_categories(train: Any, test: Any) -> tuple[Any, Any]:
    """Text columns as pandas categories with the levels of the training rows; other levels become missing."""
    import pandas

    train, test = train.copy(), test.copy()
    for name in train.columns:
        if not pandas.api.types.is_numeric_dtype(train[name]):
            levels = pandas.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
            train[name], test[name] = train[name].astype(levels), test[name].astype(levels)
    return train, test


def class_codes(target: Any) -> tuple[list[str], np.ndarray]:
    """Sorted class names, and the number of each row's class, int64 [N]."""
    names, codes = np.unique(np.asarray(target, dtype=str), return_inverse=True)
    return [str(name) for name in names], codes.astype(np.int64)


def measure_latency(predict: Callable[[Any], Any], rows: Sequence[Any]) -> float:
    """Median milliseconds of `predict` on one row in steady work: a second does not count, the next does.

    The first calls of a process pay for code and data that lie in no cache yet: up to three times as much.
    """
    _seconds_of(predict, rows)
    return 1e3 * statistics.median(_seconds_of(predict, rows))


def _seconds_of(predict: Callable[[Any], Any], rows: Sequence[Any]) -> list[float]:
    """What each call took, the rows in turn: all of them once, and on until a second is over."""
    taken: list[float] = []
    end = time.perf_counter() + LATENCY_SECONDS
    while len(taken) < len(rows) or time.perf_counter() < end:
        row = rows[len(taken) % len(rows)]
        start = time.perf_counter()
        predict(row)
        taken.append(time.perf_counter() - start)
    return taken


def single_rows(frame: Any) -> list[Any]:
    """The first rows of a frame, each a frame of its own."""
    return [frame.iloc[place : place + 1] for place in range(min(LATENCY_ROWS, len(frame)))]


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def hand_back(
    job: Job,
    *,
    seconds: float,
    model: Path,
    latency_ms: float,
    prediction: Any,
    packages: Sequence[str],
    classes: Sequence[str] = (),
) -> None:
    """Write predictions.npz and, last, facts.json. `prediction` is [N, C], as `classes` order it, or [N]."""
    values = np.asarray(prediction, dtype=np.float64)
    if job.is_classification:
        np.savez(job.out / "predictions.npz", classes=np.asarray(classes, dtype=str), probabilities=values)
    else:
        np.savez(job.out / "predictions.npz", values=values.reshape(-1))
    facts = {
        "seconds": seconds,
        "bytes": size_on_disk(model),
        "latency_ms": latency_ms,
        "versions": {name: metadata.version(name) for name in packages},
    }
    (job.out / "facts.json").write_text(json.dumps(facts))
