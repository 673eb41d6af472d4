"""`dml` by its command line: init, run with `model: auto`, predict; latency in a bare ONNX session.

The preset `capped` says in the spec how long a row may take.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.automl.contenders.contract import (
    LATENCY_ROWS,
    Job,
    hand_back,
    job_from_arguments,
    measure_latency,
)


def main(job: Job) -> None:
    spec = job.out / "spec.yaml"
    dml("init", str(job.train), "--target", job.target, "-o", str(spec), "-q")
    target = {"column": job.target, "type": job.task}
    if job.task == "binary":
        target["positive"] = job.positive
    settings: dict[str, Any] = {
        "target": target,
        "data.split": {"method": "files", "test": str(job.test)},
        "model": {"type": "auto"} | ({"max_latency": row_cap(job)} if job.preset == "capped" else {}),
        "resources": {"time": f"{job.seconds}s", "cpu": job.threads},
        # Explaining and tracking are no part of fitting: no other contender does them.
        "explain": "none",
        "track": False,
    }
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    result = json.loads(dml("run", str(spec), "-q", "--format", "json", *overrides))
    seconds = job.elapsed()
    bundle = Path(result["bundle"])
    classes, prediction = predicted(job, bundle)
    hand_back(
        job,
        seconds=seconds,
        model=bundle / "model.onnx",
        latency_ms=latency(job, bundle),
        prediction=prediction,
        packages=("declarative-ml", "lightgbm", "onnxruntime", "numpy"),
        classes=classes,
    )


def row_cap(job: Job) -> str:
    """The time that a row may take: 100 us up to 20 columns, and 2 us for each further one."""
    with job.train.open(encoding="utf-8", newline="") as stream:
        columns = len(next(csv.reader(stream))) - 1
    return f"{100 + 2 * max(0, columns - 20)}us"


def dml(*arguments: str) -> str:
    """Standard output of one call. Ends the contender with the call's own message when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"dml {arguments[0]} ended with {done.returncode}: {' '.join(done.stderr.split())}")
    return done.stdout


def predicted(job: Job, bundle: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names, and what `dml predict` writes of the test rows."""
    import pyarrow.parquet as papq

    out = job.out / "scored.parquet"
    dml("predict", str(bundle), str(job.test), "-o", str(out), "-q")
    scored = papq.read_table(out)
    classes = tuple(json.loads((bundle / "bundle.json").read_text())["task"]["classes"])
    names = [f"probability_{name}" for name in classes] or ["prediction"]
    columns = [scored[name].to_numpy().astype(np.float64) for name in names]
    return classes, np.column_stack(columns) if classes else columns[0]


def latency(job: Job, bundle: Path) -> float:
    """Milliseconds of one row in onnxruntime alone, typed as docs/bundle.md says."""
    import onnxruntime

    from declarative_ml.scoring.scorer import Scorer
    from declarative_ml.store.bundle import Bundle

    with job.test.open(encoding="utf-8", newline="") as stream:
        rows = list(islice(csv.DictReader(stream), LATENCY_ROWS))
    typed, _ = Scorer(Bundle.open(bundle)).raw_rows(rows, ignore_extra=True, strict=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more threads cost more than they give on one row
    session = onnxruntime.InferenceSession(
        (bundle / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    tensors = {name: as_tensor(values) for name, values in typed.items()}
    feeds = [{name: values[row : row + 1] for name, values in tensors.items()} for row in range(len(rows))]
    return measure_latency(lambda feed: session.run(None, feed), feeds)


def as_tensor(values: np.ndarray) -> np.ndarray:
    """A typed column as the graph takes it, [N, 1]."""
    column = np.asarray(values).reshape(-1, 1)
    return column.astype(object if column.dtype.kind in "OU" else np.float32)


if __name__ == "__main__":
    main(job_from_arguments())
