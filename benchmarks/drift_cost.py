"""What watching costs a row: on the event loop, and in the model's thread.

python benchmarks/drift_cost.py [--rows 20000] [--columns 14]

A table: requests of one row and of 1,000 rows; seconds of one processor by row, without and with drift
counted, and with the prediction log beside it. The loop's part is what requests wait for: without a log it
counts single rows itself. The thread's comes out of the same processor where there is only one, but never
stands before an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.exchange import Answer, Call
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.watch import Watch
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle

LEVELS = [f"level {number}" for number in range(12)]


def train(folder: Path, columns: int) -> Bundle:
    """A linear model of so many columns, two thirds numbers and the others categories."""
    random = np.random.default_rng(0)
    rows = 4_000
    numbers = columns * 2 // 3
    values: dict[str, Any] = {f"n{place}": random.normal(size=rows).round(4) for place in range(numbers)}
    values |= {f"c{place}": random.choice(LEVELS, rows) for place in range(columns - numbers)}
    values["y"] = np.where(values["n0"] + random.normal(size=rows) > 0, "yes", "no")
    with (folder / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(values)
        writer.writerows(zip(*values.values(), strict=True))
    features = {name: "number" if name.startswith("n") else "category" for name in values if name != "y"}
    spec = {
        "name": "drift-cost",
        "data": {"source": "table.csv"},
        "target": "y",
        "features": features,
        "model": "linear",
        "explain": False,
        "track": False,
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    report = run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
    return Bundle.open(report.result["bundle"])


async def measure(model: ServedModel, monitor: Monitor, size: int, rows: int) -> tuple[float, float]:
    """Microseconds a row: of the event loop, and of the threads behind it."""
    watch = Watch(model, monitor)
    random = np.random.default_rng(1)
    columns: dict[str, np.ndarray] = {}
    for item in model.manifest.inputs:
        if item.dtype == "float32":
            columns[item.name] = random.normal(size=(size, 1)).astype(np.float32)
        else:
            columns[item.name] = random.choice(np.array(LEVELS, dtype=object), (size, 1))
    scored = model.scorer.predict_raw(columns)
    call = Call("POST", "/predict", {})
    on_loop, before = 0, time.process_time()
    for begin in range(0, rows, size):
        started = time.thread_time_ns()
        watch.observe(call, Asked(size, lambda scored: Answer(b""), raw=columns), scored, Answer(b""))
        on_loop += time.thread_time_ns() - started
        if begin % 2_048 < size:  # as the loop does between requests: the thread behind it has its turn
            await model.aside(lambda: None)
    await model.aside(lambda: None)
    await asyncio.to_thread(watch.close)
    whole = time.process_time() - before
    return on_loop / 1e3 / rows, max(whole * 1e6 / rows - on_loop / 1e3 / rows, 0.0)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--columns", type=int, default=14)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(Path(folder), given.columns)
        kinds = {
            "drift": Monitor(),
            "drift and log": Monitor.model_validate({"log": {"path": f"{folder}/log"}}),
            "drift and log of a tenth": Monitor.model_validate(
                {"log": {"path": f"{folder}/log", "sample": 0.1}}
            ),
        }
        print(f"{'watched':<26}{'rows a request':>15}{'loop, us a row':>16}{'threads, us a row':>19}")
        for name, monitor in kinds.items():
            for size in (1, 1_000):
                model = ServedModel(bundle)
                loop, threads = asyncio.run(measure(model, monitor, size, given.rows))
                model.close()
                print(f"{name:<26}{size:>15,}{loop:>16.2f}{threads:>19.2f}")


if __name__ == "__main__":
    main()
