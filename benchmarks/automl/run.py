"""Fill a folder of results, one cell (table, division, entry) at a time, and print the report.

    python -m benchmarks.automl.run TABLES_FOLDER [--only titanic penguins] [--entries dml@30 catboost]
        [--splits 0 1 2] [--peers fresh] [--results FOLDER] [--report-only] [--page docs/quality-benchmark.md]

Resumable: what is there is kept, and a killed run goes on with the same command. `--peers fresh` first
forgets the results of the peers. Ours are done again whenever the code of the package has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.automl.entries import DEFAULT, Entry, parse_entry
from benchmarks.automl.machine import machine_facts
from benchmarks.automl.recipes import RECIPES
from benchmarks.automl.report import page
from benchmarks.automl.results import (
    Cell,
    Status,
    cell_path,
    forget_peers,
    is_current,
    read_cells,
    write_cell,
    write_truth,
)
from benchmarks.automl.scores import cell_scores, primary, read_prediction
from benchmarks.automl.tables import TABLES, Division, Table, chosen, divide
from benchmarks.environments import Absent, Environment, bench_folder, environment
from declarative_ml.core.atomic import read_json, write_text
from declarative_ml.core.digest import digest_file, digest_json
from declarative_ml.core.errors import DataError, DmlError

ROOT = Path(__file__).parents[2]
THREADS = 2
_CONTENDERS = Path(__file__).parent / "contenders"
_REASON_LENGTH = 200


@dataclass(frozen=True)
class Outcome:
    """How a contender's process ended."""

    status: Status
    reason: str
    facts: dict[str, Any]
    prediction: np.ndarray | None


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        tables = chosen(options.only)
        entries = [parse_entry(text) for text in options.entries] if options.entries else list(DEFAULT)
        if options.peers == "fresh":
            count = forget_peers(options.results, {table.name for table in tables})
            print(f"{count} results of peers forgotten", flush=True)
        if not options.report_only:
            fill(options.tables.resolve(), options.results, tables, entries, options.splits)
        wanted = {
            (table.name, split, entry) for table in tables for split in options.splits for entry in entries
        }
        cells = [
            cell for cell in read_cells(options.results) if (cell.table, cell.split, cell.entry) in wanted
        ]
        text = page(options.results, cells)
    except DmlError as error:
        raise SystemExit(str(error)) from error
    print(f"\n{text}")
    if options.page is not None:
        write_text(options.page, text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", type=Path, help="folder of folders with train.csv and test.csv")
    parser.add_argument("--only", nargs="+", default=[], help=", ".join(table.name for table in TABLES))
    parser.add_argument("--entries", nargs="+", default=[], help=" ".join(entry.label for entry in DEFAULT))
    parser.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2], help="0: the files as they are")
    parser.add_argument("--peers", choices=["cached", "fresh"], default="cached")
    parser.add_argument("--results", type=Path, default=bench_folder() / "results")
    parser.add_argument("--report-only", action="store_true", help="run nothing, report what is there")
    parser.add_argument("--page", type=Path, help="also write the report to this file")
    return parser.parse_args(arguments)


def fill(
    folder: Path, results: Path, tables: Sequence[Table], entries: Sequence[Entry], splits: Sequence[int]
) -> None:
    """Do every cell that is not there, whole divisions first, so that an early stop leaves a whole table."""
    places = _environments(entries)
    for split in splits:
        for table in tables:
            division = divide(table, folder, split)
            write_truth(results, table.name, split, division.truth())
            with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
                data = division.write(Path(scratch))
                for entry in entries:
                    _cell(results, division, split, entry, places.get(entry.contender), Path(scratch), data)


def _environments(entries: Sequence[Entry]) -> dict[str, Environment | Absent]:
    """By contender, made where they are not there; ours runs in this one."""
    places: dict[str, Environment | Absent] = {}
    for name in dict.fromkeys(entry.contender for entry in entries if not entry.ours):
        place = environment(name, bench_folder() / "envs", RECIPES[name])
        told = f"absent: {place.reason}" if isinstance(place, Absent) else str(place.python.parents[1])
        print(f"{name:<12} {told}", flush=True)
        places[name] = place
    return places


def _cell(
    results: Path,
    division: Division,
    split: int,
    entry: Entry,
    place: Environment | Absent | None,
    scratch: Path,
    data: str,
) -> None:
    key = cell_key(entry, data)
    path = cell_path(results, division.table.name, split, entry)
    if is_current(path, key):
        return
    machine, task = machine_facts(), division.task()
    if isinstance(place, Absent):
        outcome = Outcome("absent", place.reason, {}, None)
    else:
        python = place.python if place is not None else Path(sys.executable)
        with tempfile.TemporaryDirectory(prefix="out-", dir=scratch, ignore_cleanup_errors=True) as out:
            outcome = run_contender(division, entry, python, scratch, Path(out))
    scores: dict[str, float] = {}
    if outcome.prediction is not None:
        scores = cell_scores(task, division.truth(), outcome.prediction)
    rows = {"train": len(division.train), "test": len(division.test), "columns": len(division.header) - 1}
    cell = Cell(
        table=division.table.name, split=split, entry=entry, status=outcome.status, reason=outcome.reason,
        task=task, scores=scores, facts=outcome.facts, machine=machine, rows=rows, key=key,
    )  # fmt: skip
    write_cell(results, cell, outcome.prediction)
    print(_line(cell), flush=True)


def cell_key(entry: Entry, data: str) -> dict[str, Any]:
    """What the result depends on; the clock and the machine are facts of it, not parts."""
    scripts = [_CONTENDERS / "contract.py", _CONTENDERS / f"{entry.contender}.py"]
    code = {path.name: digest_file(path) for path in scripts}
    made = code_digest(ROOT / "declarative_ml") if entry.ours else RECIPES[entry.contender].digest
    return {"data": data, "script": digest_json(code), "made": made, "threads": THREADS}


def code_digest(package: Path) -> str:
    """Of all sources below the folder."""
    sources = [path for path in sorted(package.rglob("*")) if path.suffix in {".py", ".pyx", ".pxd"}]
    return digest_json({path.relative_to(package).as_posix(): digest_file(path) for path in sources})


def run_contender(division: Division, entry: Entry, python: Path, scratch: Path, out: Path) -> Outcome:
    """Run the contender's script in its own process group, and read what it hands back."""
    table = division.table
    command = [
        str(python), "-P", "-m", f"benchmarks.automl.contenders.{entry.contender}",
        str(scratch / "train.csv"), str(scratch / "test.csv"), table.target, table.type,
        str(entry.seconds), str(out), "--threads", str(THREADS), "--preset", entry.preset,
        "--positive", table.positive or "", "--started", repr(time.monotonic()),
    ]  # fmt: skip
    with (out / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=out,
            env=_environment_variables(scratch),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(entry.killed)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_group(process)
    if code is None:
        return Outcome("failed", f"ended after {entry.killed:.0f} s", {}, None)
    if code != 0:
        return Outcome("failed", last_words(out / "log.txt") or f"exit status {code}", {}, None)
    return _read_outcome(division, entry, out)


def _read_outcome(division: Division, entry: Entry, out: Path) -> Outcome:
    try:
        facts: dict[str, Any] = read_json(out / "facts.json")
        prediction = read_prediction(out / "predictions.npz", division.task(), len(division.test))
    except (OSError, DataError) as error:
        return Outcome("failed", str(error)[:_REASON_LENGTH], {}, None)
    seconds = facts["seconds"]
    if seconds > entry.latest:
        return Outcome("late", f"{seconds:.0f} s, allowed {entry.latest:.0f} s", facts, prediction)
    return Outcome("ok", "", facts, prediction)


def _environment_variables(scratch: Path) -> dict[str, str]:
    """Ours, with the threads that all may use, and a proxy that leads nowhere: no fit needs the network."""
    libraries = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    added = {f"{library}_NUM_THREADS": str(THREADS) for library in libraries}
    added |= {"LOKY_MAX_CPU_COUNT": str(THREADS), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    for name in ("http_proxy", "https_proxy"):
        added |= {name: "http://127.0.0.1:9", name.upper(): "http://127.0.0.1:9"}
    added |= {"no_proxy": "localhost,127.0.0.1", "NO_PROXY": "localhost,127.0.0.1"}
    added["RAY_TMPDIR"] = str(scratch)  # a short path: its sockets lie there
    return {**os.environ, **added, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the contender and whatever it started: a server may outlive its client."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_words(log: Path) -> str:
    """The last line that a failed process wrote, shortened."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_REASON_LENGTH] if lines else ""


def _line(cell: Cell) -> str:
    told = f"{cell.table} {cell.split}  {cell.entry.label:<20} {cell.status}"
    if cell.scores:
        name = primary(cell.task)
        told += f"  {name} {cell.scores[name]:.5g}  {cell.facts['seconds']:.1f} s"
    return f"{told}  {cell.reason}" if cell.reason else told


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the contender is ended too
    main()
