"""A small model whose every answer can be worked out, and rows to ask it."""

from __future__ import annotations

from typing import Any

import numpy as np

from declarative_ml.behaviour.base import Rows, Subject
from declarative_ml.core.task import Task
from declarative_ml.store.bundle import Input

CITIES = {"Bern": 0.0, "Oslo": 0.2, "Rome": 0.4}
INPUTS = (
    Input(name="age", feature="number", dtype="float32", rule={"type": "number"}),
    Input(name="city", feature="category", dtype="string", rule={"type": "text"}),
    Input(name="seen", feature="date", dtype="string", rule={"type": "date"}),
    Input(name="member", feature="binary", dtype="string", rule={"type": "boolean"}),
)
BINARY = Task(target="stays", type="binary", classes=("no", "yes"))
THREE = Task(target="kind", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="price", type="number")

AGES = [20.0, 40.0, None, 60.0]
TOWNS = ["Bern", "Oslo", "Rome", ""]
DAYS = ["2024-01-30", "2024-12-31", "", "2023-06-01"]
MEMBERS = ["true", "false", "true", ""]


def share(rows: Rows) -> np.ndarray:
    """0.01 for ten years of age from 20 on (missing: 40), and what the city adds; after 2025 a tenth more."""
    ages = rows["age"][:, 0]
    known = np.where(np.isnan(ages), 40.0, ages)
    towns = np.array([CITIES.get(town, 0.1) for town in rows["city"][:, 0]])
    late = np.array([0.1 if day >= "2025" else 0.0 for day in rows["seen"][:, 0]])
    found: np.ndarray = 0.1 + (known - 20.0) / 1000.0 + towns + late
    return found


def predict_of(task: Task) -> Any:
    """The model for a type of target; of three classes c has a constant tenth."""

    def predict(rows: Rows) -> np.ndarray:
        yes = share(rows)
        if task.type == "binary":
            return np.stack([1.0 - yes, yes], axis=1)
        if task.type == "multiclass":
            return np.stack([yes, 0.9 - yes, np.full(len(yes), 0.1)], axis=1)
        found: np.ndarray = 1000.0 * yes
        return found

    return predict


def subject(task: Task = BINARY, copies: int = 1, **fields: Any) -> Subject:
    """Four rows, or `copies` times as many; keyword arguments replace fields."""
    columns: dict[str, list[Any]] = {"age": AGES, "city": TOWNS, "seen": DAYS, "member": MEMBERS}
    rows = {
        item.name: np.array(
            columns[item.name] * copies, dtype=np.float32 if item.dtype == "float32" else object
        ).reshape(-1, 1)
        for item in INPUTS
    }
    standard: dict[str, Any] = {
        "task": task,
        "inputs": INPUTS,
        "predict": predict_of(task),
        "rows": rows,
        "numbers": np.arange(len(AGES) * copies),
        "part": "test",
        "seed": 7,
    }
    return Subject(**{**standard, **fields})
