from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from sklearn.linear_model import LogisticRegression

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.calibration import Calibration, fit_calibration
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import Task, predictions_from_margins

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def binary_rows(rows: int, scale: float, bias: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and margins that `scale` and `bias` would make right."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(rows, 1)) * 2
    truth = (random.random(rows) < 1 / (1 + np.exp(-honest[:, 0]))).astype(np.int64)
    return truth, (honest - bias) / scale


def multi_rows(rows: int, scale: float, bias: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    honest = random.normal(size=(rows, 3)) * 2
    truth = np.argmax(honest + random.gumbel(size=(rows, 3)), axis=1)
    return truth, (honest - bias) / scale


def log_loss(task: Task, truth: np.ndarray, margins: np.ndarray) -> float:
    return score("log_loss", task, truth, predictions_from_margins(task, margins))


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.3, 0.0), (3.0, 1.0), (1.0, -2.0)])
def test_many_binary_rows_find_the_truth(scale: float, bias: float) -> None:
    truth, margins = binary_rows(20_000, scale, bias)
    found = fit_calibration(BINARY, truth, margins)
    assert found.scale == pytest.approx(scale, rel=0.1)
    assert found.bias == pytest.approx((bias,), abs=0.1)
    reference = LogisticRegression(C=1e6).fit(margins, truth)
    assert found.scale == pytest.approx(reference.coef_[0, 0], rel=0.02)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_many_multiclass_rows_find_the_truth(scale: float) -> None:
    bias = np.array([0.5, -0.5, 0.0])
    truth, margins = multi_rows(20_000, scale, bias)
    found = fit_calibration(MULTI, truth, margins)
    assert found.scale == pytest.approx(scale, rel=0.05)
    np.testing.assert_allclose(np.array(found.bias) - np.mean(found.bias), bias, atol=0.1)
    honest = margins * scale + bias
    assert log_loss(MULTI, truth, found.apply(margins)) <= log_loss(MULTI, truth, honest)


def test_few_rows_that_need_nothing_lose_next_to_nothing() -> None:
    losses = []
    for seed in range(60):
        truth, margins = binary_rows(30, 1.0, 0.0, seed)
        found = fit_calibration(BINARY, truth, margins)
        fresh_truth, fresh = binary_rows(2_000, 1.0, 0.0, 1_000 + seed)
        losses.append(
            log_loss(BINARY, fresh_truth, found.apply(fresh)) - log_loss(BINARY, fresh_truth, fresh)
        )
    assert np.mean(losses) < 0.015
    assert max(losses) < 0.1


def test_more_rows_move_it_further() -> None:
    scales = []
    for rows in (4, 20, 400):
        samples = [binary_rows(rows, 0.3, 0.0, seed) for seed in range(30)]
        scales.append(np.mean([fit_calibration(BINARY, *sample).scale for sample in samples]))
    assert 1.0 > scales[0] > scales[1] > scales[2] > 0.28


def test_separable_rows_stay_finite_and_the_ranking_is_kept() -> None:
    margins = np.linspace(-3, 3, 100)[:, None]
    truth = (margins[:, 0] > 0).astype(np.int64)
    found = fit_calibration(BINARY, truth, margins)
    assert 1.0 < found.scale < 20.0
    against = fit_calibration(BINARY, 1 - truth, margins)
    assert against.scale > 0
    assert (np.diff(against.apply(margins)[:, 0]) > 0).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_huge_margins(size: float) -> None:
    truth, margins = binary_rows(500, 1.0, 0.0)
    found = fit_calibration(BINARY, truth, margins * size)
    assert np.isfinite(found.apply(margins)).all() and found.scale < 0.2


def test_weights_count_as_rows_and_their_unit_does_not_matter() -> None:
    truth, margins = binary_rows(400, 0.5, 0.5)
    plain = fit_calibration(BINARY, truth, margins)
    scaled = fit_calibration(BINARY, truth, margins, np.full(400, 17.0))
    assert scaled.scale == pytest.approx(plain.scale, rel=1e-6)
    some = np.repeat([1.0, 0.0], 200)
    half = fit_calibration(BINARY, truth[:200], margins[:200])
    assert fit_calibration(BINARY, truth, margins, some).scale == pytest.approx(half.scale, rel=1e-6)


@pytest.mark.parametrize(
    ("task", "truth", "margins"),
    [
        (NUMBER, np.array([1.0, 2.0]), np.array([[3.0], [4.0]])),
        (BINARY, np.array([1, 1]), np.array([[3.0], [4.0]])),
        (BINARY, np.zeros(0, dtype=np.int64), np.zeros((0, 1))),
    ],
)
def test_no_change(task: Task, truth: np.ndarray, margins: np.ndarray) -> None:
    assert fit_calibration(task, truth, margins) == Calibration()
    assert fit_calibration(BINARY, np.array([0, 1]), np.zeros((2, 1)), np.zeros(2)) == Calibration()
    np.testing.assert_array_equal(Calibration().apply(margins), margins)


@pytest.mark.parametrize("task", [BINARY, MULTI])
def test_json_and_graph_say_the_same(task: Task) -> None:
    rows = binary_rows(300, 0.5, 0.7) if task is BINARY else multi_rows(300, 0.5, np.array([0.5, 0.0, 0.0]))
    truth, margins = rows
    found = fit_calibration(task, truth, margins)
    assert Calibration.model_validate_json(found.model_dump_json()) == found
    graph = OnnxGraph()
    inputs = [graph.input(f"m{number}", "float32") for number in range(task.width)]
    graph.output(found.to_onnx(graph, graph.concat(inputs), task), "out", "float32", task.width)
    session = onnxruntime.InferenceSession(graph.build("t", {}).SerializeToString())
    feed = {name: margins[:, [number]].astype(np.float32) for number, name in enumerate(inputs)}
    np.testing.assert_allclose(session.run(None, feed)[0], found.apply(margins), rtol=1e-5, atol=1e-5)


def test_the_identity_adds_no_node() -> None:
    assert Calibration().to_onnx(OnnxGraph(), "margins", NUMBER) == "margins"
