"""What every model on the shelf promises, on every task that it takes."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.dataset import CodeColumn, Dataset, EncodedNames, Layout
from declarative_ml.learning.task import Task
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext, Fitted, Model, load_state, save_state

# Small settings, so that the whole shelf is walked in seconds. A new model needs no entry.
QUICK = {
    "lightgbm": {"rounds": 30},
    "xgboost": {"rounds": 30},
    "extra_trees": {"trees": 20},
    "mlp": {"epochs": 3, "layers": [16], "networks": 2},
}
# A work that differs from what the quick fit chooses.
OTHER_WORK = {
    "lightgbm": {"rounds": 7},
    "xgboost": {"rounds": 7},
    "extra_trees": {"trees": 9},
    "mlp": {"epochs": 2},
    "linear": {"penalty_index": 4},
}

HURRY = ("lightgbm", "xgboost", "mlp")
"""Models whose fits take larger steps where the deadline is near."""

TASKS = {
    "binary": Task(target="y", type="binary", classes=("no", "yes")),
    "multiclass": Task(target="y", type="multiclass", classes=("a", "b", "c")),
    "number": Task(target="y", type="number"),
}
LAYOUTS = {
    "mixed": Layout(
        raw=("r0", "r1"),
        scaled=("s0", "s1", "s1:missing"),
        codes=(CodeColumn(name="c0", cardinality=5), CodeColumn(name="c1", cardinality=40)),
    ),
    "numbers": Layout(raw=("r0", "r1"), scaled=("s0", "s1", "s1:missing")),
    "categories": Layout(codes=(CodeColumn(name="c0", cardinality=5), CodeColumn(name="c1", cardinality=40))),
}
CASES = [(name, task) for name in MODELS for task in TASKS if task in MODELS.load(name).tasks]


def quick_model(name: str) -> Model:
    return MODELS.parse({"type": name, **QUICK.get(name, {})})


def make_data(task: Task, layout: Layout = LAYOUTS["mixed"], rows: int = 300, seed: int = 0) -> Dataset:
    """Learnable rows with missing numbers, and codes of which some never occur."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 2)).astype(np.float32)
    codes = np.stack([random.integers(0, 4, rows), random.integers(2, 38, rows)], axis=1).astype(np.int32)
    signal = numbers[:, 0] * 2 + (codes[:, 0] == 2) * 1.5 + (codes[:, 1] % 3 - 1)
    signal += random.normal(size=rows) / 2
    missing = random.random(rows) < 0.1
    raw, scaled = numbers.copy(), np.concatenate([numbers, missing[:, None]], axis=1).astype(np.float32)
    raw[missing, 1], scaled[missing, 1] = np.nan, 0.0
    targets = {
        "binary": (signal > 0.3).astype(np.int64),
        "multiclass": np.digitize(signal, [-1.0, 1.0]).astype(np.int64),
        "number": 250_000.0 + 40_000.0 * signal.astype(np.float64),
    }
    return Dataset(
        layout=layout,
        raw=raw[:, : len(layout.raw)],
        scaled=scaled[:, : len(layout.scaled)],
        codes=codes[:, : len(layout.codes)],
        target=targets[task.type],
    )


def make_context(task: Task, scratch: Path, **changes: object) -> FitContext:
    context = FitContext(task=task, seed=7, threads=1, scratch=scratch)
    return replace(context, **changes)


def fit(name: str, task: Task, scratch: Path, data: Dataset | None = None, **changes: object) -> Fitted:
    train = data if data is not None else make_data(task)
    validation = None if "work" in changes else make_data(task, train.layout, rows=120, seed=1)
    scratch.mkdir(parents=True, exist_ok=True)
    return quick_model(name).fit(train, validation, make_context(task, scratch, **changes))


def run_graph(model: Model, fitted: Fitted, data: Dataset, task: Task) -> np.ndarray:
    """The margins that onnxruntime computes from the model's part of the graph."""
    graph = OnnxGraph()
    feeds: dict[str, np.ndarray] = {}

    def columns(kind: str, values: np.ndarray, dtype: str) -> str | None:
        names = [graph.input(f"{kind}{number}", dtype) for number in range(values.shape[1])]
        feeds.update({name: values[:, [number]].astype(dtype) for number, name in enumerate(names)})
        return graph.concat(names) if names else None

    names = EncodedNames(
        raw=columns("raw", data.raw, "float32"),
        scaled=columns("scaled", data.scaled, "float32"),
        codes=columns("code", data.codes, "int64"),
    )
    margins = model.to_onnx(graph, fitted.state, names, data.layout, task)
    graph.output(margins, "margins", "float32", task.width)
    proto = graph.build("model", {}).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    found: np.ndarray = session.run(None, {name: values for name, values in feeds.items() if name in used})[0]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_graph_gives_the_margins_of_training_time(
    name: str, kind: str, layout: str, tmp_path: Path
) -> None:
    task, model = TASKS[kind], quick_model(name)
    fitted = fit(name, task, tmp_path, make_data(task, LAYOUTS[layout]))
    fresh = make_data(task, LAYOUTS[layout], rows=200, seed=2)
    fresh.codes[:5] = 1  # unseen levels
    expected = model.predict(fitted.state, fresh, task)
    assert expected.shape == (200, task.width)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(run_graph(model, fitted, fresh, task), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_learns_more_than_a_constant(name: str, kind: str, tmp_path: Path) -> None:
    task, model = TASKS[kind], quick_model(name)
    fresh = make_data(task, rows=200, seed=2)
    margins = model.predict(fit(name, task, tmp_path).state, fresh, task)
    if kind == "number":
        assert np.corrcoef(margins[:, 0], fresh.target)[0, 1] > 0.8
        assert abs(margins.mean() - fresh.target.mean()) < 20_000
    else:
        labels = margins.argmax(axis=1) if kind == "multiclass" else margins[:, 0] > 0
        assert np.mean(labels == fresh.target) > np.bincount(fresh.target).max() / 200 + 0.05


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_two_fits_give_the_same_bytes(name: str, kind: str, tmp_path: Path) -> None:
    for number in (1, 2):
        fitted = fit(name, TASKS[kind], tmp_path / str(number))
        save_state(fitted.state, tmp_path / f"{number}.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_fit_that_the_clock_ended_is_repeated_without_one(name: str, kind: str, tmp_path: Path) -> None:
    left = iter([math.inf] * 3)
    cut = fit(name, TASKS[kind], tmp_path / "1", deadline=lambda: next(left, -1.0))
    again = fit(name, TASKS[kind], tmp_path / "2", stop_after=cut.stopped_after)
    assert cut.cut
    assert (again.stopped_after, again.work, again.curve) == (cut.stopped_after, cut.work, cut.curve)
    whole = fit(name, TASKS[kind], tmp_path / "3", deadline=lambda: math.inf)
    assert whole.stopped_after is None
    for number, fitted in enumerate((cut, again, whole)):
        save_state(fitted.state, tmp_path / f"{number}.npz")
    contents = [(tmp_path / f"{number}.npz").read_bytes() for number in range(3)]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] in HURRY])
def test_a_fit_that_the_clock_hurried_is_repeated_without_one(name: str, kind: str, tmp_path: Path) -> None:
    def soon() -> float:
        return time.monotonic() + 1e-3  # never reached, and never far

    task = TASKS[kind]
    hurried = fit(name, task, tmp_path / "0", deadline=soon, hurries=True)
    again = fit(name, task, tmp_path / "1", hurried=hurried.hurried, hurries=True)
    whole = fit(name, task, tmp_path / "2", deadline=lambda: math.inf, hurries=True)
    measured = fit(name, task, tmp_path / "3", deadline=soon)
    assert hurried.hurried is not None and not hurried.cut
    assert (again.hurried, again.work, again.curve) == (hurried.hurried, hurried.work, hurried.curve)
    assert whole.hurried is None and measured.hurried is None, "in a search options are compared as they are"
    for number, fitted in enumerate((hurried, again, whole)):
        save_state(fitted.state, tmp_path / f"{number}.npz")
    contents = [(tmp_path / f"{number}.npz").read_bytes() for number in range(3)]
    assert contents[0] == contents[1] != contents[2]
    work = quick_model(name).refit_work([hurried.work, hurried.work, whole.work], 300, 400)
    refit = fit(name, task, tmp_path / "4", work=work)
    assert refit.work.items() >= work.items() - {("epochs", work.get("epochs"))}
    assert work.keys() == hurried.work.keys() and refit.hurried is None
    assert quick_model(name).refit_work([hurried.work, whole.work], 300, 400).keys() == whole.work.keys()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_rounds_that_are_soon_over_are_not_hurried(name: str, tmp_path: Path) -> None:
    task = TASKS["number"]

    def enough() -> float:
        return time.monotonic() + 60.0

    fitted = fit(name, task, tmp_path, deadline=enough, hurries=True)
    assert fitted.hurried is None, "thirty rounds need less than a minute, whatever their steps"
    works = [{"rounds": 3, "rate": 3000, "fit_rows": 9}] * 3
    assert quick_model(name).refit_work(works, 300, 400).items() >= {("rounds", 3)}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_saved_state_predicts_the_same(name: str, kind: str, tmp_path: Path) -> None:
    task, model = TASKS[kind], quick_model(name)
    state = fit(name, task, tmp_path).state
    save_state(state, tmp_path / "state.npz")
    data = make_data(task, seed=2)
    loaded = load_state(tmp_path / "state.npz")
    assert np.array_equal(model.predict(loaded, data, task), model.predict(state, data, task))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_progress_rises_to_one_and_may_interrupt(name: str, kind: str, tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    fit(name, TASKS[kind], tmp_path / "a", progress=lambda *call: heard.append(call))
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] <= fractions[-1] <= 1.0
    assert all(message for _, message in heard)

    def interrupt(fraction: float, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(name, TASKS[kind], tmp_path / "b", progress=interrupt)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_refit_does_exactly_the_given_work(name: str, kind: str, tmp_path: Path) -> None:
    chosen = fit(name, TASKS[kind], tmp_path / "a").work
    assert chosen
    assert all(type(amount) is int for amount in chosen.values())
    other = chosen | OTHER_WORK.get(name, {})
    assert fit(name, TASKS[kind], tmp_path / "b", work=other).work == other
    merged = quick_model(name).refit_work([chosen, other, other], 300, 400)
    assert merged.keys() == chosen.keys()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_curve_counts_steps_and_holds_both_losses(name: str, kind: str, tmp_path: Path) -> None:
    curve = fit(name, TASKS[kind], tmp_path).curve
    steps = [point["step"] for point in curve]
    assert steps == sorted(set(steps))
    assert all(np.isfinite(point["validation"]) for point in curve)
    trained = [point["train"] for point in curve if "train" in point]
    assert "train" in curve[0] and np.isfinite(trained).all() and len(trained) >= len(curve) // 25


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_weights_decide_between_rows_that_disagree(name: str, kind: str, tmp_path: Path) -> None:
    task, model = TASKS[kind], quick_model(name)
    low, high = (0, 1) if task.is_classification else (1000.0, 2000.0)
    data = make_data(task)
    contested = replace(data, target=np.where(np.arange(len(data)) % 2 == 0, low, high))

    def mean_score(heavy: int) -> float:
        weight = np.where(np.arange(len(data)) % 2 == heavy, 20.0, 1.0).astype(np.float32)
        work = {"lightgbm": {"rounds": 20}, "linear": {"penalty_index": 4}, "mlp": {"epochs": 3}}.get(name)
        train = replace(contested, weight=weight)
        state = fit(name, task, tmp_path / str(heavy), train, work=work).state
        margins = model.predict(state, data, task)
        return float(np.mean(margins[:, 1] - margins[:, 0] if kind == "multiclass" else margins[:, 0]))

    assert mean_score(1) > mean_score(0)


@pytest.mark.parametrize("name", list(MODELS))
def test_importance_names_columns_of_the_layout(name: str, tmp_path: Path) -> None:
    task = TASKS["binary"]
    fitted = fit(name, task, tmp_path)
    layout = LAYOUTS["mixed"]
    found = quick_model(name).importance(fitted.state, layout)
    assert set(found) <= {*layout.raw, *layout.scaled, *(column.name for column in layout.codes)}
    assert all(value >= 0.0 for value in found.values())
