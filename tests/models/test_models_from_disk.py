"""Rows on disk, in parts, with little memory: the same model as from rows in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout, TermColumn, open_dataset
from declarative_ml.learning.row_order import STRETCHES, epoch_order
from declarative_ml.learning.task import Task
from declarative_ml.learning.terms import TermWriter, term_digests, terms_of
from declarative_ml.models import lightgbm, linear_problem, mlp_rows
from declarative_ml.models.base import FitContext, Model, State
from declarative_ml.models.lightgbm import LightGBM
from declarative_ml.models.linear import Linear
from declarative_ml.models.mlp import MLP

ROWS, TERMS = 600, 12
BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def made(task: Task) -> Dataset:
    from scipy.sparse import random_array

    random = np.random.default_rng(0)
    raw = random.normal(size=(ROWS, 2)).astype(np.float32)
    scaled = np.concatenate([raw, np.ones((ROWS, 1), np.float32)], axis=1)
    codes = random.integers(0, 5, (ROWS, 2)).astype(np.int32)
    held = random_array((ROWS, TERMS), density=0.2, rng=random, dtype=np.float32).tocsr()
    value = raw[:, 0] + (codes[:, 0] == 3) + np.asarray(held[:, [1]].todense())[:, 0]
    targets = {
        "binary": (value > 0.4).astype(np.int64),
        "multiclass": np.digitize(value, [0.0, 1.0]).astype(np.int64),
        "number": value.astype(np.float64),
    }
    layout = Layout(
        raw=("a", "b"),
        scaled=("a", "b", "one"),
        codes=(CodeColumn(name="k", cardinality=5), CodeColumn(name="m", cardinality=5)),
        terms=(TermColumn(name="t", size=TERMS),),
    )
    digests = term_digests([str(number) for number in range(TERMS)])
    return Dataset(layout, raw, scaled, codes, targets[task.type], None, terms_of(held, digests))


def on_disk(data: Dataset, folder: Path) -> Dataset:
    for name in ("raw", "scaled", "codes", "target"):
        np.save(folder / f"{name}.npy", getattr(data, name))
    assert data.terms is not None
    with TermWriter(folder, len(data), data.terms.digests) as writer:
        writer.add(data.terms.matrix())
    return open_dataset(folder, data.layout)


def fit(model: Model, data: Dataset, task: Task, scratch: Path, memory: int | None = None) -> State:
    rows = np.arange(len(data)) % 5 > 0
    context = FitContext(task=task, seed=1, threads=1, scratch=scratch, memory=memory)
    return model.fit(data.view(rows), data.view(~rows), context).state


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


MODELS = {
    "linear": Linear(penalty=3.0, iterations=40),
    "mlp": MLP(layers=(8,), epochs=2, networks=1, batch_size=32),
    "lightgbm": LightGBM(rounds=5),
    "lightgbm-both": LightGBM(rounds=5, categories="both"),
}


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
@pytest.mark.parametrize("name", MODELS)
def test_neither_disk_nor_memory_changes_the_model(
    name: str, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_problem, "_PART_BYTES", 1 << 16)
    monkeypatch.setattr(mlp_rows, "POOL_BYTES", 28 * 128)
    monkeypatch.setattr(lightgbm, "_MATRIX_VALUES", 100)
    monkeypatch.setattr(lightgbm, "_BLOCK_ROWS", 70)
    data = made(task)
    fits = [
        fit(MODELS[name], data, task, tmp_path / "1"),
        fit(MODELS[name], on_disk(data, tmp_path), task, tmp_path / "2"),
        fit(MODELS[name], on_disk(data, tmp_path), task, tmp_path / "3", memory=0),
        fit(MODELS[name], on_disk(data, tmp_path), task, tmp_path / "4", memory=1 << 17),
    ]
    assert all(same(fits[0], other) for other in fits[1:])


def test_parts_come_to_the_same_minimum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(BINARY)
    whole = fit(Linear(penalty=1.0), data, BINARY, tmp_path)
    monkeypatch.setattr(linear_problem, "_PART_BYTES", 1 << 16)
    parts = fit(Linear(penalty=1.0), data, BINARY, tmp_path)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-4)


def test_bins_of_blocks_are_those_of_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(BINARY)
    matrix = fit(LightGBM(rounds=5), data, BINARY, tmp_path)
    monkeypatch.setattr(lightgbm, "_MATRIX_VALUES", 100)
    assert same(fit(LightGBM(rounds=5), data, BINARY, tmp_path), matrix)


@pytest.mark.parametrize("rows", [128, 129, 500, 1000])
def test_an_epoch_visits_every_row_pool_by_pool(rows: int) -> None:
    pool = 2 * STRETCHES
    order = epoch_order(rows, 1, 0, pool)
    assert torch.equal(order.sort().values, torch.arange(rows))
    assert not torch.equal(order, epoch_order(rows, 1, 1, pool))
    visited: set[int] = set()
    for start in range(0, rows - pool, pool):  # of the pools that are whole
        stretches = set((order[start : start + pool] // 2).tolist())
        assert len(stretches) <= STRETCHES + 1 and len(stretches & visited) <= 1
        visited |= stretches


def test_few_rows_are_shuffled_as_ever() -> None:
    assert torch.equal(epoch_order(100, 1, 0, 128), epoch_order(100, 1, 0))
