"""CPU seconds of our preparation against the plain jobs of DuckDB and polars on the same table, in one run.

    python benchmarks/big_table.py adult/data.csv big.csv --rows 500000
    python benchmarks/preparation.py big.csv income --text note

Ours: the steps `acquire`, `split`, `profile` and `prepare` of a run, one thread, an empty workspace. A plain
job: the CSV to typed Parquet; approximate counts, quantiles and distinct values of every column; a split by
hash, every column of levels as codes, everything written. Its types rest on the first rows (--all-rows: on
all, as ours do); it has no notes, no faults with row and column, no spellings of missing, no folds, no terms
of texts and no scaling: it is the least that must be done. Texts (--text) it only carries along, so that
ours is also measured with these left out of the features: read, typed, hashed and profiled like the rest, and
then not encoded. Each is a process of its own with one thread; what
a process takes to begin is not counted. A peer that is not installed is left out, and that is said.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STEPS = {"acquire": "acquire.source", "split": "split", "profile": "profile", "prepare": "prepare"}
OURS = ("ours", "ours, no text")
JOBS = ("read", "statistics", "encode")


def cpu() -> float:
    """User and system seconds of this process and the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def ours(data: Path, target: str, folder: Path, exclude: list[str] | None = None) -> dict[str, float]:
    """Step -> seconds. The columns to `exclude` are no features."""
    from declarative_ml.api.run import RunOptions, run_spec
    from declarative_ml.engines.events import Event
    from declarative_ml.spec.load import load_spec

    spec = {"name": "big", "data": {"source": str(data.resolve())}, "target": target, "track": False}
    spec |= {"model": {"type": "linear"}, "resources": {"cpu": 1}}
    spec |= {"exclude": exclude} if exclude else {}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    begun, took = {}, {}

    def listen(event: Event) -> None:
        if event.kind == "start":
            begun[event.step] = cpu()
        elif event.kind == "run":
            took[event.step] = cpu() - begun[event.step]

    report = run_spec(load_spec(folder / "spec.yaml"), RunOptions(until="prepare", jobs=1, listener=listen))
    if report.error is not None:
        raise report.error
    return {name: took[step] for name, step in STEPS.items()}


def with_duckdb(data: Path, text: set[str], folder: Path, all_rows: bool) -> dict[str, float]:
    """Job -> seconds."""
    import duckdb

    table, db, at = folder / "table.parquet", duckdb.connect(), [cpu()]
    db.execute("SET threads = 1")
    read = f"read_csv('{data}'{', sample_size = -1' if all_rows else ''})"
    db.execute(f"COPY (SELECT * FROM {read}) TO '{table}' (FORMAT parquet)")
    at.append(cpu())
    db.execute(f"SUMMARIZE SELECT * FROM '{table}'").fetchall()
    at.append(cpu())
    kinds = {name: kind for name, kind, *_ in db.execute(f"DESCRIBE SELECT * FROM '{table}'").fetchall()}
    coded = [name for name, kind in kinds.items() if kind == "VARCHAR" and name not in text]
    for place, name in enumerate(coded):
        distinct = f"SELECT DISTINCT \"{name}\" AS level FROM '{table}'"
        numbered = f"SELECT level, row_number() OVER (ORDER BY level) AS code FROM ({distinct})"
        db.execute(f"CREATE TABLE l{place} AS {numbered}")
    columns = [f'l{coded.index(name)}.code AS "{name}"' if name in coded else f't."{name}"' for name in kinds]
    joins = " ".join(f'LEFT JOIN l{place} ON t."{name}" = l{place}.level' for place, name in enumerate(coded))
    cells = ", ".join(f't."{name}"' for name in kinds)
    part = f"hash({cells}) % 10 < 8 AS train"
    db.execute(
        f"COPY (SELECT {', '.join(columns)}, {part} FROM '{table}' t {joins}) "
        f"TO '{folder / 'encoded.parquet'}' (FORMAT parquet)"
    )
    at.append(cpu())
    return _between(at)


def with_polars(data: Path, text: set[str], folder: Path, all_rows: bool) -> dict[str, float]:
    """Job -> seconds."""
    import polars  # type: ignore[import-not-found]

    table, at = folder / "table.parquet", [cpu()]
    polars.scan_csv(
        data, infer_schema_length=None if all_rows else 10_000, try_parse_dates=True
    ).sink_parquet(table)
    at.append(cpu())
    frame = polars.scan_parquet(table)
    schema = frame.collect_schema()
    numbers = [name for name, kind in schema.items() if kind.is_numeric()]
    quantiles = [
        polars.col(numbers).quantile(q).name.suffix(f"_q{number}")
        for number, q in enumerate((0.25, 0.5, 0.75))
    ]
    counted = [polars.all().approx_n_unique().name.suffix("_n"), polars.all().null_count().name.suffix("_0")]
    moments = [polars.col(numbers).mean().name.suffix("_m"), polars.col(numbers).std().name.suffix("_s")]
    ends = [polars.col(numbers).min().name.suffix("_l"), polars.col(numbers).max().name.suffix("_h")]
    frame.select(*quantiles, *counted, *moments, *ends).collect(engine="streaming")
    at.append(cpu())
    coded = [name for name, kind in schema.items() if kind == polars.String and name not in text]
    whole = frame.with_columns((polars.struct(polars.all()).hash() % 10 < 8).alias("train"))
    encoded = whole.with_columns(polars.col(coded).rank("dense").cast(polars.Int32))
    encoded.sink_parquet(folder / "encoded.parquet")
    at.append(cpu())
    return _between(at)


def _between(at: list[float]) -> dict[str, float]:
    return dict(zip(JOBS, (later - earlier for earlier, later in itertools.pairwise(at)), strict=True))


def work(name: str, options: argparse.Namespace) -> None:
    """One of the three, in this process; prints its seconds as JSON."""
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        if name in OURS:
            exclude = [] if name == "ours" else options.text
            found = ours(options.data, options.target, Path(folder), exclude)
        else:
            job = with_duckdb if name == "duckdb" else with_polars
            found = job(options.data, set(options.text), Path(folder), options.all_rows)
    print(json.dumps(found))


def _apart(name: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    one = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=one).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def show(found: dict[str, dict[str, float]]) -> None:
    """The table: seconds of every part, and how many times the peer's whole job ours takes."""
    whole = {name: sum(parts.values()) for name, parts in found.items()}
    print(f"{'job':<26} {'CPU s':>7}")
    for name, parts in found.items():
        for part, seconds in parts.items():
            print(f"{name + ' ' + part:<26} {seconds:>7.2f}")
        print(f"{name + ' together':<26} {whole[name]:>7.2f}")
    for name, peer in itertools.product(OURS, ("duckdb", "polars")):
        if name not in found or peer not in found:
            continue
        mine, theirs = found[name], found[peer]
        ratios: dict[str, Any] = {
            "acquire / read": mine["acquire"] / theirs["read"],
            "profile / statistics": mine["profile"] / theirs["statistics"],
            "split + prepare / encode": (mine["split"] + mine["prepare"]) / theirs["encode"],
            "together": whole[name] / whole[peer],
        }
        for what, ratio in ratios.items():
            print(f"{name + ' over ' + peer + ': ' + what:<50} {ratio:>6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="CSV")
    parser.add_argument("target")
    parser.add_argument("--text", action="append", default=[], help="a column of prose, which is not coded")
    parser.add_argument("--all-rows", action="store_true", help="peers take types from all rows, as we do")
    parser.add_argument("--work", type=Path, help="a folder for what is written; else the system's")
    parser.add_argument("--only", choices=(*OURS, "duckdb", "polars"), help="one of them, printed as JSON")
    options = parser.parse_args()
    if options.only:
        work(options.only, options)
        return
    found = {name: _apart(name) for name in (OURS if options.text else OURS[:1])}
    for peer in ("duckdb", "polars"):
        if importlib.util.find_spec(peer) is None:
            print(f"{peer} is not installed: left out")
        else:
            found[peer] = _apart(peer)
    show(found)


if __name__ == "__main__":
    main()
