from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.dataset import CodeColumn, Dataset, EncodedNames, Layout
from declarative_ml.learning.task import Task, predictions_from_margins
from declarative_ml.models.base import FitContext, State
from declarative_ml.models.extra_trees import ExtraTrees

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
TASKS = [BINARY, THREE, NUMBER]


def make_data(task: Task, rows: int = 300, seed: int = 0, unit: float = 1.0) -> Dataset:
    random = np.random.default_rng(seed)
    raw = random.normal(size=(rows, 3)).astype(np.float32)
    codes = random.integers(0, 12, (rows, 1)).astype(np.int32)
    value = raw[:, 0] + (codes[:, 0] % 3 == 0) + random.normal(size=rows) / 3
    raw[::7, 1] = np.nan
    targets = {
        "binary": (value > 0).astype(np.int64),
        "multiclass": np.digitize(value, [-0.5, 0.8]).astype(np.int64),
        "number": value.astype(np.float64),
    }
    layout = Layout(raw=("a", "b", "c"), codes=(CodeColumn(name="k", cardinality=12),))
    raw *= np.float32(unit)
    return Dataset(layout, raw, np.zeros((rows, 0), np.float32), codes, targets[task.type])


def context(task: Task, **changes: object) -> FitContext:
    return replace(FitContext(task=task, seed=1, threads=1, scratch=Path()), **changes)


def run_graph(state: State, data: Dataset, task: Task) -> tuple[np.ndarray, int]:
    """The margins of the graph, and its bytes."""
    graph = OnnxGraph()
    raw = [graph.input(name, "float32") for name in data.layout.raw]
    code = graph.input("k", "int64")
    names = EncodedNames(raw=graph.concat(raw), codes=code)
    margins = ExtraTrees().to_onnx(graph, state, names, data.layout, task)
    graph.output(margins, "margins", "float32", task.width)
    content = graph.build("model", {}).SerializeToString()
    feeds = {name: data.raw[:, [number]] for number, name in enumerate(raw)}
    feeds["k"] = data.codes.astype(np.int64)
    found: np.ndarray = onnxruntime.InferenceSession(content).run(None, feeds)[0]
    return found, len(content)


def nasty(data: Dataset) -> Dataset:
    largest = np.finfo(np.float32).max
    raw, codes = data.raw.copy(), data.codes.copy()
    raw[::5, 0], raw[1::6, 2] = np.nan, np.nan
    raw[2::9], raw[3::17], raw[4::17] = np.nan, largest, -largest
    codes[::4] = 0
    codes[1::4] = 1
    return replace(data, raw=raw, codes=codes)


@pytest.mark.parametrize("unit", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_the_graph_agrees_on_nasty_rows(task: Task, unit: float) -> None:
    train = nasty(make_data(task, unit=unit))
    state = ExtraTrees(trees=20).fit(train, None, context(task)).state
    data = nasty(make_data(task, seed=3, unit=unit))
    expected = ExtraTrees().predict(state, data, task)
    found, _ = run_graph(state, data, task)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_the_unit_of_a_column_does_not_matter(task: Task) -> None:
    plain, tiny = (make_data(task, unit=unit) for unit in (1.0, 2.0**-100))
    fits = [ExtraTrees(trees=5).fit(data, None, context(task)).state for data in (plain, tiny)]
    margins = [ExtraTrees().predict(state, data, task) for state, data in zip(fits, (plain, tiny))]
    np.testing.assert_allclose(margins[0], margins[1], rtol=1e-6)


@pytest.mark.parametrize(("factor", "offset"), [(1e9, 5e9), (1e-6, 0.0), (1.0, -1e7)])
def test_the_unit_of_a_number_target_does_not_matter(factor: float, offset: float) -> None:
    data = make_data(NUMBER)
    other = replace(data, target=data.target * factor + offset)
    model = ExtraTrees(trees=10)
    plain, scaled = (
        model.predict(model.fit(rows, None, context(NUMBER)).state, rows, NUMBER) for rows in (data, other)
    )
    np.testing.assert_allclose((scaled - offset) / factor, plain, atol=1e-3)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_batches_and_threads_leave_the_trees_as_they_are(task: Task) -> None:
    data = make_data(task)
    whole = ExtraTrees(trees=40).fit(data, None, context(task)).state
    threads = ExtraTrees(trees=40).fit(data, None, context(task, threads=2)).state
    watched = ExtraTrees(trees=40).fit(data, make_data(task, seed=1), context(task)).state
    for name in whole:
        assert np.array_equal(whole[name], threads[name])
        assert np.array_equal(whole[name], watched[name])


def test_the_seed_matters() -> None:
    states = [ExtraTrees(trees=3).fit(make_data(NUMBER), None, context(NUMBER, seed=n)).state for n in (1, 2)]
    assert not np.array_equal(states[0]["threshold"], states[1]["threshold"])


@pytest.mark.parametrize("task", [BINARY, THREE], ids=lambda task: task.type)
def test_smoothing_draws_leaves_towards_the_shares(task: Task) -> None:
    data = make_data(task)
    shares = np.bincount(data.target) / len(data)
    distances = []
    for smoothing in (0.1, 1.0, 1e6):
        model = ExtraTrees(trees=5, smoothing=smoothing)
        margins = model.predict(model.fit(data, None, context(task)).state, data, task)
        distances.append(np.abs(predictions_from_margins(task, margins) - shares).max())
    assert distances[0] > distances[1] > 10 * distances[2]
    assert distances[2] < 0.01


@pytest.mark.parametrize(
    ("task", "rows", "trees", "leaf_rows"),
    [
        (BINARY, 1_000, 100, 3),
        (BINARY, 20_000, 43, 3),
        (BINARY, 100_000, 30, 11),
        (THREE, 1_000, 96, 1),
        (NUMBER, 5_000, 58, 1),
        (NUMBER, 50_000, 30, 6),
        (NUMBER, 5_000_000, 30, 518),
    ],
)
def test_the_size_follows_the_rows(task: Task, rows: int, trees: int, leaf_rows: int) -> None:
    found = ExtraTrees().defaults(rows, task)
    assert (found["trees"], found["min_data_in_leaf"]) == (trees, leaf_rows)
    assert rows / leaf_rows * trees * task.width <= 290_000


def test_given_sizes_are_kept_and_the_other_one_follows() -> None:
    assert ExtraTrees(trees=500).defaults(50_000, NUMBER)["min_data_in_leaf"] == 87
    assert ExtraTrees(min_data_in_leaf=50).defaults(50_000, NUMBER)["trees"] == 100


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_the_graph_stays_within_its_bytes(task: Task) -> None:
    data = make_data(task, rows=4_000)
    work = {"trees": 5, "fit_rows": 4_000}
    state = ExtraTrees().fit(data, None, context(task, work=work)).state
    leaves = len(state["leaf"]) * task.width
    _, size = run_graph(state, data.take(np.arange(5)), task)
    assert leaves <= 4_000 * 5 * task.width
    assert size <= 27.5 * leaves + 10_000


def test_weights_count_in_the_leaves() -> None:
    data = make_data(BINARY, rows=120)
    weight = np.where(np.arange(len(data)) % 3 == 0, 3.0, 1.0)
    weighted = replace(data, weight=weight)
    shares = np.bincount(data.target, weights=weight) / weight.sum()
    lone = ExtraTrees(trees=1, min_data_in_leaf=120).fit(weighted, None, context(BINARY)).state["leaf"]
    assert lone.shape == (1, 1)
    assert lone[0, 0] == pytest.approx(np.log(shares[1] / shares[0]), abs=0.02)


@pytest.mark.parametrize(
    ("task", "target"), [(NUMBER, 7.5), (BINARY, 1), (THREE, 2)], ids=["number", "binary", "multiclass"]
)
def test_a_target_that_never_changes(task: Task, target: float) -> None:
    data = make_data(task)
    constant = replace(data, target=np.full_like(data.target, target))
    state = ExtraTrees(trees=5).fit(constant, None, context(task)).state
    margins = ExtraTrees().predict(state, data, task)
    if task is NUMBER:
        assert np.allclose(margins, target)
    elif task is BINARY:
        assert (margins > 3).all()
    else:
        assert (margins.argmax(axis=1) == target).all()
    np.testing.assert_allclose(run_graph(state, data, task)[0], margins, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.type)
def test_few_rows(task: Task, rows: int) -> None:
    data = make_data(task, rows=rows)
    margins = ExtraTrees(trees=3).predict(
        ExtraTrees(trees=3).fit(data, None, context(task)).state, data, task
    )
    assert margins.shape == (rows, task.width)
    assert np.isfinite(margins).all()


def test_a_column_without_any_value() -> None:
    data = make_data(BINARY)
    data.raw[:, 2] = np.nan
    state = ExtraTrees(trees=5).fit(data, None, context(BINARY)).state
    assert 2 not in state["feature"]
    filled = replace(data, raw=np.nan_to_num(data.raw))
    expected = ExtraTrees().predict(state, filled, BINARY)
    np.testing.assert_allclose(run_graph(state, filled, BINARY)[0], expected, rtol=1e-5, atol=1e-5)


def test_no_columns() -> None:
    data = replace(make_data(BINARY), layout=Layout(), raw=np.zeros((300, 0)), codes=np.zeros((300, 0)))
    with pytest.raises(DataError, match="extra_trees has no column to split on") as caught:
        ExtraTrees().fit(data, None, context(BINARY))
    assert caught.value.hint == "give it a number, date or category column, or choose the model linear"


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declarative_ml.core.optional.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="sklearn is not installed") as caught:
        ExtraTrees().fit(make_data(BINARY), None, context(BINARY))
    assert caught.value.exit_code == 7
    assert caught.value.hint == "pip install 'declarative-ml[sklearn]'"


def test_predicting_needs_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(BINARY)
    state = ExtraTrees(trees=3).fit(data, None, context(BINARY)).state
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert ExtraTrees().predict(state, data, BINARY).shape == (300, 1)


def late() -> float:
    """A deadline that has passed."""
    return -1.0


def test_at_the_deadline_the_trees_so_far_are_kept() -> None:
    data = make_data(BINARY)
    cut = ExtraTrees(trees=40).fit(data, make_data(BINARY, seed=1), context(BINARY, deadline=late))
    assert (cut.cut, cut.work["trees"], len(cut.state["splits"])) == (True, 2, 2)
    whole = ExtraTrees(trees=1).fit(data, None, context(BINARY, deadline=late))
    assert not whole.cut
    margins = ExtraTrees().predict(cut.state, data, BINARY)
    first = ExtraTrees(trees=2).fit(data, None, context(BINARY)).state
    assert np.array_equal(margins, ExtraTrees().predict(first, data, BINARY))


def test_a_refit_keeps_the_leaves_that_the_fold_chose_by_rows() -> None:
    data = make_data(NUMBER)
    fits = [
        ExtraTrees().fit(data, None, context(NUMBER, work={"trees": 4, "fit_rows": rows}))
        for rows in (300, 1_000_000)
    ]
    assert [fitted.work["trees"] for fitted in fits] == [4, 4]
    assert len(fits[0].state["leaf"]) > 4 * len(fits[1].state["leaf"])


def test_the_curve_holds_the_loss_of_the_mean() -> None:
    data, held_out = make_data(NUMBER), make_data(NUMBER, seed=1)
    fitted = ExtraTrees(trees=30).fit(data, held_out, context(NUMBER))
    errors = ExtraTrees().predict(fitted.state, held_out, NUMBER)[:, 0] - held_out.target
    last = fitted.curve[-1]
    assert last["step"] == 30
    assert last["validation"] == pytest.approx(np.mean(errors**2) / np.var(data.target), rel=1e-4)
    assert last["train"] < last["validation"] < fitted.curve[0]["validation"]


def test_importance_finds_the_columns_that_matter() -> None:
    data = make_data(NUMBER)
    model = ExtraTrees(trees=30)
    found = model.importance(model.fit(data, None, context(NUMBER)).state, data.layout)
    assert list(found) == ["a", "b", "c", "k"]
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["a"] > 0.3
    assert found["k"] > found["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trees": 0}, "greater than or equal to 1"),
        ({"feature_fraction": 0}, "greater than 0"),
        ({"min_data_in_leaf": 0}, "greater than or equal to 1"),
        ({"smoothing": 0}, "greater than 0"),
        ({"rounds": 3}, "Extra inputs are not permitted"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExtraTrees.model_validate(options)
