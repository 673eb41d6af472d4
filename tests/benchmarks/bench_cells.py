"""Cells as a run would leave them."""

from __future__ import annotations

from typing import Any

from benchmarks.automl.entries import parse_entry
from benchmarks.automl.results import Cell
from declarative_ml.core.task import Task

TASKS = {
    "binary": Task(target="y", type="binary", classes=("no", "yes")),
    "multiclass": Task(target="y", type="multiclass", classes=("a", "b", "c")),
    "number": Task(target="y", type="number"),
}
PRIMARY = {"binary": "roc_auc", "multiclass": "log_loss", "number": "rmse"}
MACHINE = {
    "cpu": "A processor", "cores": 2, "memory_gib": 8.0, "yardstick_cpu_s": 0.2, "yardstick_wall_s": 0.2,
}  # fmt: skip


def make_cell(
    label: str, *, table: str = "titanic", split: int = 0, kind: str = "binary", **given: Any
) -> Cell:
    """A cell with that score; without one, none counts. `given`: status, reason, score, machine."""
    score, status = given.get("score"), given.get("status", "ok")
    scores = {} if score is None else {PRIMARY[kind]: score, "accuracy": 0.5}
    facts = {"seconds": 12.0, "bytes": 3_400_000, "latency_ms": 0.25, "versions": {"numpy": "2.3.5"}}
    return Cell(
        table=table,
        split=split,
        entry=parse_entry(label),
        status=status,
        reason=given.get("reason", ""),
        task=TASKS[kind],
        scores=scores,
        facts=facts if status in ("ok", "late") else {},
        machine=given.get("machine", MACHINE),
        rows={"train": 8, "test": 2, "columns": 3},
        key={"data": "a", "threads": 2},
    )
