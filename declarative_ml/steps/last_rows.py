"""What the rows of a good run were like, kept for the next run to hold its own rows against.

rows.json     {"rows", "columns": {name: entry as in reference.json}}, of the columns that `drift` is about
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from declarative_ml.core.row_hash import hash_places
from declarative_ml.learning.drift import column_drift
from declarative_ml.learning.histograms import quantile_bins
from declarative_ml.learning.statistics import ColumnProfiler, DateStatistics, LevelStatistics
from declarative_ml.spec.contract import Checks, Severity
from declarative_ml.steps.finding import Finding
from declarative_ml.steps.table import blocks, open_table

ROWS = "rows.json"
MOST_LEVELS = 200
"""Levels of a text column that are kept by name."""
NONE_YET = "there is no good run to compare with yet"


def profile_rows(contract: Checks, folder: Path) -> dict[str, Any]:
    """The object of rows.json for the table artifact in `folder`."""
    import numpy as np

    with open_table(folder) as reader:
        schema = reader.schema
    wanted = [name for name in schema.names if limit_of(contract, name) is not None]
    profilers = {name: ColumnProfiler(name, schema.field(name).type) for name in wanted}
    rows = 0
    for start, block in blocks(folder):
        rows = start + block.num_rows
        hashes = hash_places(np.arange(start, rows))
        for name, profiler in profilers.items():
            profiler.update(block.column(name), hashes)
    return {"rows": rows, "columns": {name: _entry(profiler) for name, profiler in profilers.items()}}


def limit_of(contract: Checks, name: str) -> tuple[float, Severity] | None:
    """How far the column may move, and how severe it is when it does; None: it is not asked."""
    check = contract.columns.get(name)
    if check is not None and check.drift is not None:
        return check.drift, check.severity
    return None if contract.drift is None else (contract.drift.max, contract.drift.severity)


def compare_rows(
    contract: Checks, now: Mapping[str, Any], last: Mapping[str, Any] | None
) -> Iterator[Finding]:
    """The findings of `rows.change` and `drift`, against the rows.json of the last good run, if any."""
    if contract.rows.change is not None:
        yield _change(contract.rows.change, contract.rows.severity, now, last)
    comparisons = len(now["columns"])
    for name, entry in now["columns"].items():
        limit = limit_of(contract, name)
        assert limit is not None
        before = None if last is None else last["columns"].get(name)
        moved, found = _moved(name, before, entry, comparisons, limit[0], known=last is not None)
        yield Finding(
            check=f"columns.{name}.drift",
            column=name,
            asked=f"at most {limit[0]:g} from the last good run",
            severity=limit[1],
            passed=not moved,
            found=found,
        )


def _change(
    allowed: float, severity: Severity, now: Mapping[str, Any], last: Mapping[str, Any] | None
) -> Finding:
    rows, before = int(now["rows"]), None if last is None else int(last["rows"])
    found = NONE_YET
    if before is not None:
        found = f"there are {rows:,}, {_signed(rows / before - 1)} of the {before:,} in the last good run"
    return Finding(
        check="rows.change",
        asked=f"at most {100 * allowed:g} % more or fewer than in the last good run",
        severity=severity,
        passed=before is None or abs(rows - before) <= allowed * before,
        found=found,
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.3g} %"


def _moved(
    name: str,
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any],
    comparisons: int,
    limit: float,
    *,
    known: bool,
) -> tuple[bool, str]:
    if before is None:
        return False, "the last good run did not look at it" if known else NONE_YET
    if before["kind"] != now["kind"]:
        return True, f"it was a {before['kind']} in the last good run and is a {now['kind']} now"
    drift = column_drift(name, before, now, comparisons, alert=limit)
    found = f"the population stability index is {drift.distance.psi:.3g}"
    if drift.missing[0] != drift.missing[1]:
        found += f"; {100 * drift.missing[0]:.3g} % were missing, now {100 * drift.missing[1]:.3g} %"
    if drift.unseen_levels:
        found += f"; new: {', '.join(map(repr, drift.unseen_levels[:3]))}"
    if drift.distance.psi >= limit and not drift.moved:
        found += f"; so few rows differ by {drift.distance.noise:.3g} by chance"
    return drift.moved, found


def _entry(profiler: ColumnProfiler) -> dict[str, Any]:
    statistics = profiler.statistics
    if isinstance(statistics, LevelStatistics):
        kept = dict(statistics.levels[:MOST_LEVELS])
        present = statistics.rows - statistics.missing
        return {
            "kind": "category",
            "levels": list(kept),
            "counts": list(kept.values()),
            "other": present - sum(kept.values()),
            "missing": statistics.missing,
            "rows": statistics.rows,
        }
    if isinstance(statistics, DateStatistics):
        return {"kind": "date", **quantile_bins(statistics.days)}
    return {"kind": "number", **quantile_bins(statistics)}
