from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError
from declarative_ml.features.base import EncodedNames
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout
from declarative_ml.learning.task import Task
from declarative_ml.models.base import FitContext, Fitted
from declarative_ml.models.mlp import (
    MLP,
    default_batch_size,
    default_bins,
    default_epochs,
    default_layers,
    default_networks,
)

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
QUICK = {"layers": (16, 8), "epochs": 4, "networks": 2}
LAYOUT = Layout(
    scaled=("a", "b", "flag"),
    codes=(CodeColumn(name="k", cardinality=6), CodeColumn(name="m", cardinality=9)),
)


def make_data(task: Task, rows: int = 300, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    scaled = random.normal(size=(rows, 3)).astype(np.float32)
    scaled[:, 2] = np.sign(scaled[:, 2])
    codes = np.stack([random.integers(2, 6, rows), random.integers(0, 9, rows)], axis=1).astype(np.int32)
    value = scaled[:, 0] * scaled[:, 2] + (codes[:, 0] == 3) + random.normal(size=rows) / 4
    targets = {
        "binary": (value > 0.2).astype(np.int64),
        "multiclass": np.digitize(value, [-0.3, 0.7]).astype(np.int64),
        "number": 5e5 + 1e5 * value.astype(np.float64),
    }
    return Dataset(LAYOUT, np.zeros((rows, 0), np.float32), scaled, codes, targets[task.type])


def fit(model: MLP, task: Task, scratch: Path, train: Dataset | None = None, **changes: object) -> Fitted:
    context = replace(FitContext(task=task, seed=1, threads=1, scratch=scratch), **changes)
    validation = None if context.work else make_data(task, 150, seed=1)
    return model.fit(train or make_data(task), validation, context)


def graph_margins(model: MLP, fitted: Fitted, data: Dataset, task: Task) -> np.ndarray:
    graph = OnnxGraph()
    scaled = [graph.input(name, "float32") for name in data.layout.scaled]
    codes = [graph.input(column.name, "int64") for column in data.layout.codes]
    names = EncodedNames(
        scaled=graph.concat(scaled) if scaled else None, codes=graph.concat(codes) if codes else None
    )
    graph.output(
        model.to_onnx(graph, fitted.state, names, data.layout, task), "margins", "float32", task.width
    )
    session = onnxruntime.InferenceSession(graph.build("mlp", {}).SerializeToString())
    feeds = {name: data.scaled[:, [place]] for place, name in enumerate(scaled)}
    feeds |= {name: data.codes[:, [place]].astype(np.int64) for place, name in enumerate(codes)}
    found: np.ndarray = session.run(None, feeds)[0]
    return found


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
@pytest.mark.parametrize(
    ("task", "options"),
    [
        (BINARY, {"layers": (8,), "networks": 1}),
        (THREE, {"layers": (8, 6, 4), "networks": 3}),
        (NUMBER, {"layers": (8, 6), "networks": 1, "bins": 0}),
        (NUMBER, {"layers": (8, 6), "networks": 2, "dropout": 0.3}),
    ],
    ids=["binary one layer", "multiclass three layers", "number no bins", "number dropout"],
)
def test_the_graph_agrees_beyond_the_training_range(
    activation: str, task: Task, options: dict[str, object], tmp_path: Path
) -> None:
    model = MLP.model_validate({"epochs": 2, "activation": activation, **options})
    fitted = fit(model, task, tmp_path)
    data = make_data(task, 60, seed=2)
    data.scaled[:4] *= 1e6
    expected = model.predict(fitted.state, data, task)
    np.testing.assert_allclose(graph_margins(model, fitted, data, task), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("task", "options"), [(BINARY, {}), (THREE, {"dropout": 0.2}), (NUMBER, {})])
def test_predictions_are_those_that_early_stopping_saw(
    task: Task, options: dict[str, object], tmp_path: Path
) -> None:
    model = MLP.model_validate({**QUICK, **options})
    fitted = fit(model, task, tmp_path)
    held_out = make_data(task, 150, seed=1)
    margins = model.predict(fitted.state, held_out, task)
    if task.type == "binary":
        loss = np.mean(np.logaddexp(0, margins[:, 0]) - held_out.target * margins[:, 0])
    elif task.type == "multiclass":
        chosen = margins[np.arange(150), held_out.target]
        loss = np.mean(np.log(np.exp(margins).sum(axis=1)) - chosen)
    else:
        loss = np.mean((margins[:, 0] - held_out.target) ** 2) / np.var(make_data(task).target)
    best = fitted.curve[fitted.work["epochs"] - 1]["validation"]
    # A number's prediction is also limited to the training range, which can only come closer.
    assert loss == pytest.approx(best, rel=2e-2 if task.type == "number" else 1e-4)


def test_numbers_stay_within_the_training_range(tmp_path: Path) -> None:
    model, data = MLP(**QUICK), make_data(NUMBER)
    fitted = fit(model, NUMBER, tmp_path)
    fresh = make_data(NUMBER, seed=3)
    fresh.scaled[:] *= 1e3
    margins = model.predict(fitted.state, fresh, NUMBER)
    assert data.target.min() <= margins.min()
    assert margins.max() <= data.target.max()


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e12])
def test_any_scale_of_the_target_trains(spread: float, tmp_path: Path) -> None:
    data = make_data(NUMBER)
    target = 7.0 + spread * data.target
    model = MLP(**QUICK)
    margins = model.predict(fit(model, NUMBER, tmp_path, replace(data, target=target)).state, data, NUMBER)
    assert np.isfinite(margins).all()
    assert np.abs(margins[:, 0] - target).mean() <= target.std() + 1e-9


def test_a_refit_repeats_the_fold_exactly(tmp_path: Path) -> None:
    model = MLP(**QUICK)
    fold = fit(model, BINARY, tmp_path / "fold")
    again = fit(model, BINARY, tmp_path / "refit", work=fold.work)
    assert fold.work == {"epochs": fold.work["epochs"], "fit_rows": 300}
    assert all(np.array_equal(fold.state[name], again.state[name]) for name in fold.state)


def test_a_refit_on_more_rows_keeps_what_was_chosen_by_rows(tmp_path: Path) -> None:
    model, work = MLP(layers=(8,), epochs=1), {"epochs": 1, "fit_rows": 30_000}
    refit = fit(model, BINARY, tmp_path, work=work)
    assert refit.work == work
    assert refit.state["weight1"].shape[0] == 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (default_batch_size, [32, 32, 64, 512, 1024]),
        (lambda rows: default_epochs(rows, BINARY), [60, 60, 32, 11, 4]),
        (lambda rows: default_epochs(rows, NUMBER), [60, 60, 32, 20, 4]),
        (default_layers, [(64, 64), (64, 64), (64, 64), (128, 128), (128, 128)]),
        (default_networks, [4, 4, 4, 1, 1]),
        (default_bins, [4, 7, 48, 48, 48]),
    ],
    ids=["batch size", "epochs of classes", "epochs of numbers", "layers", "networks", "bins"],
)
def test_defaults_by_rows(rule: object, expected: object) -> None:
    assert [rule(rows) for rows in (1, 700, 5_000, 40_000, 10**7)] == expected  # type: ignore[operator]


def test_heavy_rows_count_more(tmp_path: Path) -> None:
    data, model = make_data(BINARY), MLP(layers=(16,))

    def mean_margin(name: str, weight: np.ndarray | None) -> float:
        fitted = fit(model, BINARY, tmp_path / name, replace(data, weight=weight), work={"epochs": 10})
        return float(model.predict(fitted.state, data, BINARY).mean())

    plain = mean_margin("plain", None)
    assert mean_margin("heavy", np.where(data.target == 1, 50.0, 1.0)) > plain + 1.0
    assert mean_margin("constant", np.full(300, 9.0)) == plain


def test_levels_never_seen_are_neutral(tmp_path: Path) -> None:
    state = fit(MLP(**QUICK), BINARY, tmp_path).state
    assert not state["table"][state["offsets"][0] : state["offsets"][0] + 2].any()


def test_ramps_follow_the_values_not_the_spikes(tmp_path: Path) -> None:
    data = make_data(BINARY, rows=2000)
    data.scaled[:1800, 0] = 0.0
    data.scaled[:, 1] = np.repeat([-1.0, 0.0, 0.5, 1.0], 500)
    state = fit(MLP(layers=(4,), epochs=1, networks=1, bins=10), BINARY, tmp_path, data).state
    ramps = {place: state["ramp_start"][state["ramp_column"] == place] for place in range(3)}
    assert len(ramps[0]) >= 8
    assert ramps[1].tolist() == [-1.0, 0.0, 0.5]
    assert len(ramps[2]) == 0


def test_the_seed_decides(tmp_path: Path) -> None:
    states = [
        fit(MLP(**QUICK), BINARY, tmp_path / str(n), seed=seed).state for n, seed in enumerate((1, 1, 2))
    ]
    assert np.array_equal(states[0]["weight1"], states[1]["weight1"])
    assert not np.array_equal(states[0]["weight1"], states[2]["weight1"])


def test_read_only_memory_maps_are_fine(tmp_path: Path) -> None:
    data = make_data(BINARY)
    np.save(tmp_path / "scaled.npy", data.scaled)
    np.save(tmp_path / "target.npy", data.target)
    mapped = replace(
        data,
        scaled=np.load(tmp_path / "scaled.npy", mmap_mode="r"),
        target=np.load(tmp_path / "target.npy", mmap_mode="r"),
    )
    assert (
        fit(MLP(**QUICK), BINARY, tmp_path / "1", mapped).curve
        == fit(MLP(**QUICK), BINARY, tmp_path / "2").curve
    )


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    data = make_data(BINARY)
    empty = Dataset(
        Layout(raw=("x",)), data.scaled[:, :1], data.scaled[:, :0], data.codes[:, :0], data.target
    )
    with pytest.raises(DataError, match="the mlp has no column to learn from") as caught:
        fit(MLP(), BINARY, tmp_path, empty)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "options",
    [
        {"layers": []},
        {"layers": [0]},
        {"dropout": 1.0},
        {"activation": "swish"},
        {"learning_rate": 0},
        {"epochs": 0},
        {"batch_size": 0},
        {"networks": 0},
        {"depth": 3},
    ],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MLP.model_validate(options)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_mlp import BINARY, MLP, QUICK, fit
fit(MLP(**QUICK), BINARY, Path(sys.argv[1]))
"""


def test_a_killed_fit_ends_in_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "killed"), str(Path(__file__).parent)]
    done = subprocess.run(
        command, env={**os.environ, "DML_FAULT": "torch:epoch:3"}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    resumed, straight = (
        fit(MLP(**QUICK), BINARY, tmp_path / "killed"),
        fit(MLP(**QUICK), BINARY, tmp_path / "new"),
    )
    assert all(np.array_equal(resumed.state[name], straight.state[name]) for name in straight.state)
    assert resumed.curve == straight.curve


def test_the_class_loads_without_torch() -> None:
    code = "import sys, declarative_ml.models.mlp; assert not {'torch', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ramps_computed_batch_by_batch_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fit(MLP(**QUICK), BINARY, tmp_path / "before").state
    monkeypatch.setattr("declarative_ml.models.mlp_network.EXPANDED_VALUES", 0)
    after = fit(MLP(**QUICK), BINARY, tmp_path / "after").state
    assert all(np.array_equal(before[name], after[name]) for name in before)
