"""Peak memory, seconds and processor seconds of every step of `dml run`, by rows, model and ceiling.

Each run is a process of its own in a fresh folder, with one step at a time. Its memory is the resident memory
of it and all that it starts, summed, looked at every 50 ms: pages that two processes share count twice.
Processor seconds tell what a step costs on a machine that has other work too.

    python benchmarks/big_table.py adult/data.csv big.csv --rows 5000000
    python benchmarks/memory.py big.csv income --models linear,mlp,lightgbm --ceilings none,1Gi [--steps]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TICK = 0.05


@dataclass
class Measured:
    """What a run took."""

    seconds: float
    cpu: float
    peak: float
    """MiB."""
    status: int
    digest: str
    steps: list[tuple[str, float, float, float]] = field(default_factory=list)
    """(step, seconds, processor seconds, peak in MiB while it ran)."""


@dataclass(frozen=True)
class Sample:
    """A process and all that it started, directly or not."""

    time: float
    memory: float
    """MiB."""
    cpu: float
    """Processor seconds until now, those of ended and waited for processes too."""


def look(root: int) -> Sample:
    """Sum over the processes below `root` and itself."""
    parents: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            pages[int(entry.name)] = int(fields[21])
            ticks[int(entry.name)] = sum(int(one) for one in fields[11:15])
    waiting, total, spent = [root], 0, 0
    while waiting:
        process = waiting.pop()
        total += pages.get(process, 0)
        spent += ticks.get(process, 0)
        waiting += parents.get(process, [])
    memory = total * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(time.time(), memory, spent / os.sysconf("SC_CLK_TCK"))


def spec_of(
    data: Path, target: str, model: str, ceiling: str, rest: dict[str, object], split: dict[str, object]
) -> dict[str, object]:
    resources: dict[str, object] = {"cpu": 1}
    if ceiling != "none":
        resources["memory"] = ceiling
    return {
        "name": "big",
        "data": {"source": str(data.resolve()), **({"split": split} if split else {})},
        "target": target,
        "model": {"type": model, **rest},
        "track": False,
        "resources": resources,
    }


def run(spec: dict[str, object], folder: Path, until: str | None) -> Measured:
    """Run the spec in `folder`."""
    (folder / "spec.yaml").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "declarative_ml", "run", "spec.yaml", "--format", "json", "--jobs", "1"]
    command += ["--until", until] if until else []
    samples: list[Sample] = []
    started = time.time()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(TICK):
                samples.append(look(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        ended.set()
        watcher.join()
    took = time.time() - started
    text = (folder / "out").read_text().strip()
    result = json.loads(text) if text.startswith("{") else {}
    peak = max(sample.memory for sample in samples)
    cpu = max(sample.cpu for sample in samples)
    return Measured(took, cpu, peak, status, result.get("model_digest") or "", _steps(folder, samples))


def _steps(folder: Path, samples: list[Sample]) -> list[tuple[str, float, float, float]]:
    begun: dict[str, float] = {}
    found = []
    for log in sorted(folder.glob(".dml/runs/*/events.jsonl"))[-1:]:
        for line in log.read_text().splitlines():
            event = json.loads(line)
            if event["kind"] == "start":
                begun[event["step"]] = event["time"]
            elif event["kind"] in ("run", "skipped", "failed") and event["step"] in begun:
                start, end = begun[event["step"]], event["time"]
                inside = [sample for sample in samples if start <= sample.time <= end]
                peak = max((sample.memory for sample in inside), default=0.0)
                cpu = inside[-1].cpu - inside[0].cpu if inside else 0.0
                found.append((event["step"], end - start, cpu, peak))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("target")
    parser.add_argument("--models", default="linear,mlp,lightgbm")
    parser.add_argument("--ceilings", default="none,1Gi")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: model -> its options")
    parser.add_argument("--split", type=json.loads, default={}, help="JSON: data.split of the spec")
    parser.add_argument("--until", help="a step: do no more than it needs")
    parser.add_argument("--shared", action="store_true", help="runs of a table share what steps have made")
    parser.add_argument("--steps", action="store_true", help="also show every step")
    parser.add_argument("--work", type=Path, help="a folder for the workspaces; else the system's")
    arguments = parser.parse_args()
    print(f"{'table':<16} {'model':<10} {'ceiling':<8} {'peak MiB':>8} {'seconds':>8} {'cpu s':>8}  digest")
    for data in arguments.data:
        shared = Path(tempfile.mkdtemp(dir=arguments.work)) if arguments.shared else None
        for model in arguments.models.split(","):
            for ceiling in arguments.ceilings.split(","):
                folder = shared or Path(tempfile.mkdtemp(dir=arguments.work))
                options = arguments.options.get(model, {})
                spec = spec_of(data, arguments.target, model, ceiling, options, arguments.split)
                found = run(spec, folder, arguments.until)
                ended = found.digest[:12] or (folder / "err").read_text()[-400:]
                print(
                    f"{data.name:<16} {model:<10} {ceiling:<8} {found.peak:>8.0f} {found.seconds:>8.1f}"
                    f" {found.cpu:>8.1f}  {ended}",
                    flush=True,
                )
                for name, seconds, cpu, peak in found.steps if arguments.steps else ():
                    print(f"    {name:<32} {peak:>8.0f} {seconds:>8.1f} {cpu:>8.1f}", flush=True)
                if shared is None:
                    shutil.rmtree(folder)
        if shared is not None:
            shutil.rmtree(shared)


if __name__ == "__main__":
    main()
