from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.dataset import CodeColumn, Dataset, EncodedNames, Layout
from declarative_ml.learning.task import Task
from declarative_ml.models.base import FitContext, State
from declarative_ml.models.extra_trees import ExtraTrees
from declarative_ml.models.lightgbm import LightGBM
from declarative_ml.models.target_statistics import Folds, learn_statistics
from declarative_ml.models.tree_columns import TreeModel
from declarative_ml.models.xgboost import XGBoost

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
TASKS = [BINARY, THREE, NUMBER]
FAST: dict[type[TreeModel], dict[str, int]] = {
    LightGBM: {"rounds": 12},
    XGBoost: {"rounds": 12},
    ExtraTrees: {"trees": 4},
}
LAYOUT = Layout(
    raw=("a",), codes=(CodeColumn(name="k", cardinality=30), CodeColumn(name="noise", cardinality=8))
)


def make_data(task: Task, rows: int = 500, seed: int = 0) -> Dataset:
    """Levels 0 to 20 of `k` occur, half of them raise the value; those of `noise` say nothing."""
    random = np.random.default_rng(seed)
    raw = random.normal(size=(rows, 1)).astype(np.float32)
    codes = np.stack([random.integers(0, 21, rows), random.integers(0, 7, rows)], axis=1).astype(np.int32)
    value = 2.0 * (codes[:, 0] % 2) + raw[:, 0] + random.normal(size=rows) / 2
    targets = {
        "binary": (value > 1.0).astype(np.int64),
        "multiclass": np.digitize(value, [0.0, 2.0]).astype(np.int64),
        "number": 1e6 + 50.0 * value.astype(np.float64),
    }
    return Dataset(LAYOUT, raw, np.zeros((rows, 0), np.float32), codes, targets[task.type])


def context(task: Task) -> FitContext:
    return FitContext(task=task, seed=1, threads=1, scratch=Path())


def spoilt(data: Dataset, rows: np.ndarray, task: Task) -> Dataset:
    """With the targets of these rows exchanged; their mean and deviation stay."""
    target = np.asarray(data.target).copy()
    target[rows] = target[rows][::-1] if task.type == "number" else (target[rows] + 1) % len(task.classes)
    return replace(data, target=target)


@pytest.mark.parametrize("units", [False, True], ids=["rows", "units"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_no_row_sees_the_target_of_its_fold(task: Task, units: bool) -> None:
    data = make_data(task)
    if units:
        data = replace(data, unit=np.random.default_rng(2).integers(0, 40, len(data)))
    folds = Folds.over(data).of(0, len(data))
    assert set(folds) == set(range(10))
    own = learn_statistics(data, task, None)[1].of(data.codes, 0)
    for fold in range(10):
        inside = np.flatnonzero(folds == fold)
        other = learn_statistics(spoilt(data, inside, task), task, None)[1].of(data.codes, 0)
        np.testing.assert_allclose(other[inside], own[inside], atol=1e-6)
        assert np.abs(other - own).max() > 1e-3


def test_rows_of_a_unit_share_a_fold() -> None:
    units = np.random.default_rng(0).integers(0, 17, 300)
    folds = Folds.over(replace(make_data(BINARY, 300), unit=units)).of(0, 300)
    assert all(len(np.unique(folds[units == unit])) == 1 for unit in range(17))


def test_a_stretch_of_rows_sees_what_all_rows_see() -> None:
    data = make_data(THREE)
    own = learn_statistics(data, THREE, None)[1]
    assert np.array_equal(own.of(data.codes, 0)[120:330], own.of(data.codes[120:330], 120))


def test_statistics_are_smoothed_weighted_means() -> None:
    data = make_data(BINARY)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(data))
    weight /= weight.mean()
    (table,) = learn_statistics(replace(data, weight=7.0 * weight), BINARY, 5.0)[0].tables
    overall = np.average(data.target, weights=weight)
    for level in (0, 3, 20, 25):
        rows = data.codes[:, 0] == level
        total = (weight * data.target)[rows].sum()
        expected = (total + 5.0 * overall) / (weight[rows].sum() + 5.0)
        assert table[level, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_columns_that_say_nothing_are_drawn_to_the_mean_of_all(task: Task) -> None:
    (table,) = learn_statistics(make_data(task, 5000), task, None)[0].tables
    informative, noise = (np.ptp(part, axis=0).max() for part in (table[:21], table[30:37]))
    assert informative > 0.25
    assert noise < 0.1 * informative


def test_one_row_and_constant_targets_are_no_trouble() -> None:
    data = make_data(NUMBER, 3)
    assert np.isfinite(learn_statistics(data, NUMBER, None)[1].tables).all()
    level = replace(data, target=np.full(3, 2.5))
    assert not learn_statistics(level, NUMBER, None)[0].tables.any()


def run_graph(model: TreeModel, states: list[State], data: Dataset, task: Task) -> np.ndarray:
    graph = OnnxGraph()
    codes = graph.concat([graph.input(column.name, "int64") for column in LAYOUT.codes])
    names = EncodedNames(raw=graph.input("a", "float32"), codes=codes)
    graph.output(model.mean_to_onnx(graph, states, names, LAYOUT, task), "margins", "float32", task.width)
    session = onnxruntime.InferenceSession(graph.build("model", {}).SerializeToString())
    levels = {
        column.name: data.codes[:, [place]].astype(np.int64) for place, column in enumerate(LAYOUT.codes)
    }
    found: np.ndarray = session.run(None, {"a": data.raw, **levels})[0]
    return found


def nasty(data: Dataset) -> Dataset:
    raw, codes = data.raw.copy(), data.codes.copy()
    raw[::5], raw[1::7] = np.nan, np.finfo(np.float32).max
    codes[::3] = 0
    codes[1::3] = 1
    codes[2::3] = (29, 7)
    return replace(data, raw=raw, codes=codes)


@pytest.mark.parametrize(
    ("task", "ways"), [(BINARY, "target"), (THREE, "both"), (NUMBER, "both"), (NUMBER, "target")]
)
@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.__name__)
def test_the_graph_of_several_fits_is_their_mean(kind: type[TreeModel], task: Task, ways: str) -> None:
    model = kind(**FAST[kind], categories=ways)
    states = [model.fit(make_data(task, seed=seed), None, context(task)).state for seed in (0, 1)]
    for data in (make_data(task, seed=3), nasty(make_data(task, seed=3))):
        expected = np.mean([model.predict(state, data, task) for state in states], axis=0)
        np.testing.assert_allclose(run_graph(model, states, data, task), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.__name__)
def test_importance_is_by_column_of_the_table(kind: type[TreeModel]) -> None:
    model = kind(**FAST[kind], categories="both")
    found = model.importance(model.fit(make_data(THREE), None, context(THREE)).state, LAYOUT)
    assert set(found) == {"a", "k", "noise"}
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["k"] > 2 * found["noise"]


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.__name__)
def test_without_categories_nothing_is_different(kind: type[TreeModel]) -> None:
    data = make_data(BINARY)
    data = replace(data, layout=Layout(raw=("a",)), codes=data.codes[:, :0])
    fits = [
        kind(**FAST[kind], categories=ways).fit(data, None, context(BINARY)).state
        for ways in ("native", "target")
    ]
    assert fits[0].keys() == fits[1].keys()
    assert all(np.array_equal(fits[0][name], fits[1][name]) for name in fits[0])


@pytest.mark.parametrize("kind", [LightGBM, XGBoost], ids=lambda kind: kind.__name__)
def test_directions_hold_beside_statistics(kind: type[TreeModel]) -> None:
    model = kind(**FAST[kind], categories="both")
    state = model.fit(make_data(NUMBER), None, replace(context(NUMBER), monotone={"a": -1})).state
    grid = np.linspace(-3, 3, 50, dtype=np.float32)[:, None]
    for codes in ((0, 0), (5, 2), (29, 7)):
        data = replace(make_data(NUMBER, 50), raw=grid, codes=np.tile(np.int32(codes), (50, 1)))
        assert (np.diff(model.predict(state, data, NUMBER)[:, 0]) <= 1e-6).all()
