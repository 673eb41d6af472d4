from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.dataset import CodeColumn, Dataset, EncodedNames, Layout
from declarative_ml.learning.task import Task
from declarative_ml.models.base import FitContext, State
from declarative_ml.models.xgboost import XGBoost
from declarative_ml.models.xgboost_trees import read_trees

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
TASKS = [BINARY, THREE, NUMBER]


def make_data(task: Task, rows: int = 400, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    raw = random.normal(size=(rows, 3)).astype(np.float32)
    codes = random.integers(0, 12, (rows, 1)).astype(np.int32)
    value = raw[:, 0] + (codes[:, 0] % 3 == 0) + random.normal(size=rows) / 3
    targets = {
        "binary": (value > 0).astype(np.int64),
        "multiclass": np.digitize(value, [-0.5, 0.8]).astype(np.int64),
        "number": value.astype(np.float64),
    }
    layout = Layout(raw=("a", "b", "c"), codes=(CodeColumn(name="k", cardinality=12),))
    return Dataset(layout, raw, np.zeros((rows, 0), np.float32), codes, targets[task.type])


def context(task: Task, **changes: object) -> FitContext:
    return replace(FitContext(task=task, seed=1, threads=1, scratch=Path()), **changes)


def tree_count(state: State) -> int:
    return len(read_trees(state["model"].tobytes()))


def run_graph(state: State, data: Dataset, task: Task) -> np.ndarray:
    graph = OnnxGraph()
    raw = [graph.input(name, "float32") for name in data.layout.raw]
    names = EncodedNames(raw=graph.concat(raw), codes=graph.input("k", "int64"))
    graph.output(XGBoost().to_onnx(graph, state, names, data.layout, task), "margins", "float32", task.width)
    session = onnxruntime.InferenceSession(graph.build("model", {}).SerializeToString())
    feeds = {name: data.raw[:, [number]] for number, name in enumerate(raw)}
    found: np.ndarray = session.run(None, {**feeds, "k": data.codes.astype(np.int64)})[0]
    return found


def nasty(data: Dataset) -> Dataset:
    largest = np.finfo(np.float32).max
    raw, codes = data.raw.copy(), data.codes.copy()
    raw[::5, 0], raw[1::6, 2] = np.nan, np.nan
    raw[2::9], raw[3::17], raw[4::17] = np.nan, largest, -largest
    codes[::4] = 0
    codes[1::4] = 1
    return replace(data, raw=raw, codes=codes)


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "nasty"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_the_graph_agrees_on_nasty_rows(task: Task, gaps: bool) -> None:
    train = make_data(task)
    state = XGBoost(rounds=60).fit(nasty(train) if gaps else train, None, context(task)).state
    data = nasty(make_data(task, seed=3))
    expected = XGBoost().predict(state, data, task)
    np.testing.assert_allclose(run_graph(state, data, task), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_early_stopping_keeps_the_best_round(task: Task) -> None:
    model = XGBoost(early_stopping=5, learning_rate=0.3)
    fitted = model.fit(make_data(task), make_data(task, 200, seed=1), context(task))
    losses = [point["validation"] for point in fitted.curve]
    best = fitted.work["rounds"]
    assert best == int(np.argmin(losses)) + 1
    assert len(losses) == best + 5
    assert tree_count(fitted.state) == best * task.width


def test_the_curve_holds_the_loss_that_is_known_here() -> None:
    data, held_out = make_data(NUMBER), make_data(NUMBER, 200, seed=1)
    fitted = XGBoost(rounds=8).fit(data, held_out, context(NUMBER))
    errors = XGBoost().predict(fitted.state, held_out, NUMBER)[:, 0] - held_out.target
    expected = np.mean(errors**2) / np.var(data.target)
    assert fitted.curve[fitted.work["rounds"] - 1]["validation"] == pytest.approx(expected, rel=1e-4)


def test_the_validation_rows_stop_and_nothing_else() -> None:
    model = XGBoost(rounds=12)
    alone = model.fit(make_data(BINARY), None, context(BINARY, work={"rounds": 12}))
    watched = model.fit(make_data(BINARY), make_data(BINARY, 200, seed=1), context(BINARY))
    assert watched.work["rounds"] == 12
    assert np.array_equal(alone.state["model"], watched.state["model"])


def test_rounds_caps_and_sets_them() -> None:
    assert XGBoost(rounds=9).fit(make_data(BINARY), None, context(BINARY)).work["rounds"] == 9
    unvalidated = XGBoost(learning_rate=0.25).fit(make_data(BINARY), None, context(BINARY))
    assert unvalidated.work["rounds"] == 20


def test_the_bytes_do_not_name_the_thread_count() -> None:
    states = [
        XGBoost(rounds=5).fit(make_data(NUMBER), None, context(NUMBER, threads=n)).state for n in (1, 2)
    ]
    assert np.array_equal(states[0]["model"], states[1]["model"])


def test_the_seed_matters() -> None:
    states = [XGBoost(rounds=5).fit(make_data(NUMBER), None, context(NUMBER, seed=n)).state for n in (1, 2)]
    assert not np.array_equal(states[0]["model"], states[1]["model"])


@pytest.mark.parametrize(("factor", "offset"), [(1e9, 5e9), (1e-6, 0.0), (1.0, -1e7)])
def test_the_unit_of_a_number_does_not_matter(factor: float, offset: float) -> None:
    data = make_data(NUMBER)
    other = replace(data, target=data.target * factor + offset)
    model = XGBoost(rounds=20, lambda_l1=0.5)
    plain = model.predict(model.fit(data, None, context(NUMBER)).state, data, NUMBER)
    scaled = model.predict(model.fit(other, None, context(NUMBER)).state, data, NUMBER)
    np.testing.assert_allclose((scaled - offset) / factor, plain, atol=1e-3)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_weights_count_as_repeated_rows(task: Task) -> None:
    data = make_data(task)
    times = 1 + np.arange(len(data)) % 3
    repeated = data.take(np.repeat(np.arange(len(data)), times))
    model = XGBoost(rounds=10, bagging_fraction=1.0, max_bin=1024)
    weighted = replace(data, weight=times.astype(np.float64))
    margins = [model.predict(model.fit(rows, None, context(task)).state, data, task)
               for rows in (weighted, repeated)]  # fmt: skip
    np.testing.assert_allclose(margins[0], margins[1], atol=2e-3)


@pytest.mark.parametrize(("task", "direction"), [(BINARY, 1), (BINARY, -1), (NUMBER, 1), (NUMBER, -1)])
def test_directions_are_kept_whatever_the_data(task: Task, direction: int) -> None:
    data = make_data(task)
    random = np.random.default_rng(5)
    data.raw[random.random(data.raw.shape) < 0.1] = np.nan
    opposite = {"a": direction, "b": -direction, "a:missing": 1}
    state = XGBoost(rounds=60).fit(data, None, context(task, monotone=opposite)).state
    for name, sign in (("a", direction), ("b", -direction)):
        column = data.layout.raw.index(name)
        swept = [
            XGBoost().predict(state, replace(data, raw=_with(data.raw, column, value)), task)
            for value in np.linspace(-3, 3, 25)
        ]
        steps = sign * np.diff(np.stack(swept), axis=0)
        assert steps.min() >= -1e-6
    free = XGBoost(rounds=60).fit(data, None, context(task)).state
    assert not np.array_equal(free["model"], state["model"])


def _with(raw: np.ndarray, column: int, value: float) -> np.ndarray:
    changed = raw.copy()
    changed[:, column] = value
    return changed


@pytest.mark.parametrize(
    ("task", "target"), [(NUMBER, 7.5), (BINARY, 1), (THREE, 2)], ids=["number", "binary", "multiclass"]
)
def test_a_target_that_never_changes(task: Task, target: float) -> None:
    data = make_data(task)
    constant = replace(data, target=np.full_like(data.target, target))
    state = XGBoost(rounds=5).fit(constant, None, context(task)).state
    margins = XGBoost().predict(state, data, task)
    if task is NUMBER:
        assert np.allclose(margins, target)
    elif task is BINARY:
        assert (margins > 3).all()
    else:
        assert (margins.argmax(axis=1) == target).all()
    np.testing.assert_allclose(run_graph(state, data, task), margins, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_few_rows(task: Task, rows: int) -> None:
    data = make_data(task, rows=rows)
    margins = XGBoost().predict(XGBoost(rounds=5).fit(data, None, context(task)).state, data, task)
    assert margins.shape == (rows, task.width)
    assert np.isfinite(margins).all()


def test_no_columns() -> None:
    data = replace(make_data(BINARY), layout=Layout(), raw=np.zeros((400, 0)), codes=np.zeros((400, 0)))
    with pytest.raises(DataError, match="xgboost has no column to split on") as caught:
        XGBoost().fit(data, None, context(BINARY))
    assert caught.value.hint == "give it a number, date or category column, or choose the model linear"


def test_importance_finds_the_columns_that_matter() -> None:
    data = make_data(NUMBER)
    model = XGBoost(rounds=30)
    found = model.importance(model.fit(data, None, context(NUMBER)).state, data.layout)
    assert list(found) == ["a", "b", "c", "k"]
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["a"] > 0.3
    assert found["k"] > found["b"]


def late() -> float:
    """A deadline that has passed."""
    return -1.0


def test_at_the_deadline_the_best_so_far_is_kept() -> None:
    data, held_out = make_data(BINARY), make_data(BINARY, 200, seed=1)
    cut = XGBoost(rounds=50).fit(data, held_out, context(BINARY, deadline=late))
    assert (cut.cut, cut.work["rounds"], tree_count(cut.state)) == (True, 1, 1)
    whole = XGBoost(rounds=1).fit(data, held_out, context(BINARY, deadline=late))
    assert not whole.cut
    refit = XGBoost().fit(data, None, context(BINARY, work={"rounds": 9}, deadline=late))
    assert (refit.cut, refit.work["rounds"]) == (True, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "greater than or equal to 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"max_depth": 17}, "less than or equal to 16"),
        ({"feature_fraction": 1.5}, "less than or equal to 1"),
        ({"num_leaves": 3}, "Extra inputs are not permitted"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        XGBoost.model_validate(options)
