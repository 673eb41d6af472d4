"""Process-tree CPU of a whole `dml run`: data, training, MLflow, SHAP, report, bundle.

    python benchmarks/end_to_end.py TRAIN_CSV TARGET TEST_CSV [--models lightgbm mlp] [--runs 3]

Each run starts from an empty workspace. Prints the median of the runs for each model: user + system
seconds of the process and its children, wall seconds, peak memory, and the test score. Before each run
stands the CPU time of a fixed loop: it tells how fast the machine was just then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(arguments: list[str]) -> tuple[str, float, float, float]:
    """(stdout, CPU seconds, wall seconds, peak MB) of one `dml` call, children included."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-m", "declarative_ml", *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        output.seek(0)
        if status != 0:
            raise SystemExit(f"dml {' '.join(arguments)} ended with status {status}")
        return output.read(), usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def yardstick() -> float:
    """CPU seconds of ten million additions in Python."""
    started, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - started


def run_once(options: argparse.Namespace, model: str) -> tuple[float, float, float, float]:
    speed = yardstick()
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        measure(["init", str(options.train), "--target", options.target, "-o", str(spec), "-q"])
        split = f"data.split={{method: files, test: {json.dumps(str(options.test.resolve()))}}}"
        printed, cpu, wall, peak = measure(
            ["run", str(spec), "-q", "--format", "json", "--set", f"model={model}", "--set", split]
        )
        result = json.loads(printed)
        _, again, _, _ = measure(
            ["run", str(spec), "-q", "--format", "json", "--set", f"model={model}", "--set", split]
        )
        score = result["metrics"]["test"][result["primary"]]
        print(
            f"  {model:<10} cpu {cpu:6.1f} s  wall {wall:6.1f} s  peak {peak:6.0f} MB  "
            f"no-op {again:5.2f} s  {result['primary']} {score:.4f}  loop {speed:.2f} s"
        )
        return cpu, wall, peak, again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("target")
    parser.add_argument("test", type=Path)
    parser.add_argument("--models", nargs="+", default=["lightgbm", "mlp"])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for model in options.models:
        found = [run_once(options, model) for _ in range(options.runs)]
        cpu, wall, peak, again = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"{model}: median cpu {cpu:.1f} s, wall {wall:.1f} s, peak {peak:.0f} MB, "
            f"no-op re-run {again:.2f} s cpu"
        )


if __name__ == "__main__":
    main()
