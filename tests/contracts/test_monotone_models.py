"""Every model that says that it keeps directions does, on rows and values that it has never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout
from declarative_ml.learning.monotone import reversal
from declarative_ml.learning.task import Task
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
NUMBER = Task(target="y", type="number")
ABLE = [name for name in MODELS if MODELS.load(name).monotone]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "lightgbm": [
        {"learning_rate": 0.2, "early_stopping": 10},
        {"learning_rate": 0.2, "early_stopping": 10, "extra_trees": True},
        {"learning_rate": 0.2, "early_stopping": 10, "num_leaves": 40, "min_data_in_leaf": 2},
    ],
    "xgboost": [{"learning_rate": 0.2, "early_stopping": 10}],
}
DIRECTIONS = {"up": 1, "down": -1}


def table(task: Task, rows: int, seed: int) -> Dataset:
    """Columns that push both ways, with gaps, a category that turns the effect round, and noise."""
    random = np.random.default_rng(seed)
    raw = random.normal(size=(rows, 4)).astype(np.float32)
    codes = random.integers(0, 6, (rows, 1)).astype(np.int32)
    turn = np.where(codes[:, 0] % 2 == 0, 1.0, -1.0)
    value = turn * np.sin(2 * raw[:, 0]) + raw[:, 1] * raw[:, 2] + raw[:, 3] + random.normal(size=rows) / 4
    raw[random.random(raw.shape) < 0.15] = np.nan
    target = (value > 0).astype(np.int64) if task is BINARY else value
    layout = Layout(raw=("up", "down", "free", "other"), codes=(CodeColumn(name="k", cardinality=6),))
    return Dataset(layout, raw, np.zeros((rows, 0), np.float32), codes, target)


def wrong_way(name: str, options: dict[str, Any], task: Task, seed: int, directions: dict[str, int]) -> float:
    """The worst step against `directions` of a model fitted with DIRECTIONS as its context says."""
    model = MODELS.parse({"type": name, **options})
    context = FitContext(task, seed, 1, Path(), work=None, monotone=directions)
    fitted = model.fit(table(task, 900, seed), table(task, 300, seed + 50), context)
    rows = table(task, 60, seed + 100)
    values = np.linspace(-3.5, 3.5, 40, dtype=np.float32)
    worst = 0.0
    for column, direction in (("up", "increasing"), ("down", "decreasing")):
        many = rows.take(np.repeat(np.arange(60), 40))
        many.raw[:, rows.layout.raw.index(column)] = np.tile(values, 60)
        margins = model.predict(fitted.state, many, task)[:, 0].reshape(60, 40)
        worst = max(worst, float(reversal(margins, direction).max()))
    return worst


@pytest.mark.parametrize("task", [BINARY, NUMBER], ids=lambda task: task.type)
@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name in ABLE for options in OPTIONS.get(name, [{}])], ids=str
)
def test_directions_are_kept_whatever_the_data_say(name: str, options: dict[str, Any], task: Task) -> None:
    assert wrong_way(name, options, task, 0, {}) > 0.01, "this table does not tempt the model"
    for seed in range(2):
        assert wrong_way(name, options, task, seed, DIRECTIONS) <= 1e-6


@pytest.mark.parametrize("name", ABLE)
def test_a_model_of_nothing_but_such_columns_still_learns(name: str) -> None:
    random = np.random.default_rng(0)
    raw = random.normal(size=(600, 1)).astype(np.float32)
    target = np.floor(raw[:, 0].astype(np.float64) * 2)
    data = Dataset(Layout(raw=("up",)), raw, np.zeros((600, 0)), np.zeros((600, 0), np.int32), target)
    model = MODELS.parse(name)
    fitted = model.fit(data, None, FitContext(NUMBER, 0, 1, Path(), monotone={"up": 1}))
    error = model.predict(fitted.state, data, NUMBER)[:, 0] - target
    assert np.square(error).mean() < 0.1 * target.var()


def test_some_model_can() -> None:
    assert "lightgbm" in ABLE
