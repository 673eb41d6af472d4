"""The folder of results: one JSON a cell (table, division, entry), with its predictions beside it.

    RESULTS/TABLE/DIVISION/truth.npz, ENTRY.json, ENTRY.npz

A cell is written when it is done, so a kill loses the one that was running. It carries what it depends on
(`key`); one whose key is no longer true is done again.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.automl.entries import Entry, parse_entry
from declarative_ml.core.atomic import read_json, write_bytes, write_json
from declarative_ml.core.task import Task

Status = Literal["ok", "late", "failed", "absent"]


@dataclass(frozen=True)
class Cell:
    """What one entry did on one division of one table."""

    table: str
    split: int
    entry: Entry
    status: Status
    reason: str
    """Why it is not ok; empty when it is."""
    task: Task
    scores: dict[str, float]
    """Empty unless the predictions count."""
    facts: dict[str, Any]
    """seconds, bytes, latency_ms, versions: as far as the contender came."""
    machine: dict[str, Any]
    rows: dict[str, int]
    key: dict[str, Any]

    @property
    def counts(self) -> bool:
        """Whether it is ranked by its score; the others are ranked last."""
        return self.status == "ok"


def cell_path(results: Path, table: str, split: int, entry: Entry) -> Path:
    """Where the cell is; its predictions have the same name with .npz."""
    return results / table / str(split) / f"{entry.label}.json"


def write_cell(results: Path, cell: Cell, prediction: np.ndarray | None) -> None:
    """Keep the cell; its JSON comes last."""
    path = cell_path(results, cell.table, cell.split, cell.entry)
    if prediction is not None:
        write_bytes(path.with_suffix(".npz"), _npz(prediction=prediction))
    else:
        path.with_suffix(".npz").unlink(missing_ok=True)
    content = {
        "table": cell.table,
        "split": cell.split,
        "entry": cell.entry.label,
        "status": cell.status,
        "reason": cell.reason,
        "task": cell.task.model_dump(mode="json"),
        "scores": cell.scores,
        "facts": cell.facts,
        "machine": cell.machine,
        "rows": cell.rows,
        "key": cell.key,
    }
    write_json(path, content)


def read_cell(path: Path) -> Cell:
    """The cell in the JSON file."""
    content = read_json(path)
    content["entry"] = parse_entry(content["entry"])
    content["task"] = Task.model_validate(content["task"])
    return Cell(**content)


def is_current(path: Path, key: dict[str, Any]) -> bool:
    """Whether the cell is there and depends on nothing that has changed. Absences are tried again."""
    if not path.exists():
        return False
    cell = read_cell(path)
    return cell.status != "absent" and cell.key == key


def read_cells(results: Path) -> list[Cell]:
    """All cells of the folder, in the order of their names."""
    return [read_cell(path) for path in _paths(results)]


def forget_peers(results: Path, tables: set[str]) -> int:
    """Remove the cells of all peers on these tables; how many there were."""
    count = 0
    for path in list(_paths(results)):
        if path.parent.parent.name in tables and not parse_entry(path.stem).ours:
            path.unlink()
            path.with_suffix(".npz").unlink(missing_ok=True)
            count += 1
    return count


def write_truth(results: Path, table: str, split: int, truth: np.ndarray) -> None:
    """Keep what the test rows are."""
    write_bytes(results / table / str(split) / "truth.npz", _npz(truth=truth))


def read_truth(results: Path, cell: Cell) -> np.ndarray:
    """What the cell's test rows are: class numbers, or values [N]."""
    return _array(results / cell.table / str(cell.split) / "truth.npz", "truth")


def read_stored(results: Path, cell: Cell) -> np.ndarray:
    """The cell's predictions in the order of the task's classes: [N, C] or [N]."""
    return _array(cell_path(results, cell.table, cell.split, cell.entry).with_suffix(".npz"), "prediction")


def _paths(results: Path) -> Iterator[Path]:
    for path in sorted(results.glob("*/*/*.json")):
        if re.fullmatch(r"\d+", path.parent.name):
            yield path


def _array(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        return np.asarray(stored[name])


def _npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
