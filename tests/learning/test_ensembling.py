from __future__ import annotations

import itertools

import numpy as np
import onnxruntime
import pytest
from scipy.optimize import minimize

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning import ensembling
from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.ensembling import blend, blend_to_onnx, optimized_weights, sparse_weights
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import Task, predictions_from_margins

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
TASKS = [BINARY, MULTI, NUMBER]


def members_of(
    task: Task, rows: int, noises: tuple[float, ...], seed: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Truth, and one member for each noise: the honest margins seen through that much noise."""
    random = np.random.default_rng(seed)
    honest = 2.0 * random.normal(size=(rows, task.width))
    if task.type == "number":
        truth = honest[:, 0] + random.normal(size=rows)
    elif task.type == "binary":
        truth = (honest[:, 0] + random.logistic(size=rows) > 0).astype(np.int64)
    else:
        truth = np.argmax(honest + random.gumbel(size=honest.shape), axis=1)
    return truth, [honest + noise * random.normal(size=honest.shape) for noise in noises]


@pytest.mark.parametrize("task", TASKS)
def test_weights_are_a_point_of_the_simplex_and_repeat(task: Task) -> None:
    truth, members = members_of(task, 400, (0.5, 1.0, 1.5))
    weights = optimized_weights(task, truth, members)
    assert weights.shape == (3,) and (weights >= 0).all() and weights.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(weights, optimized_weights(task, truth, members))


@pytest.mark.parametrize("task", TASKS)
def test_the_better_member_gets_more(task: Task) -> None:
    truth, members = members_of(task, 5_000, (0.3, 1.5))
    weights = optimized_weights(task, truth, members)
    assert weights[0] > 0.7


@pytest.mark.parametrize("task", TASKS)
def test_equal_members_stay_equal(task: Task) -> None:
    truth, members = members_of(task, 3_000, (1.0, 1.0, 1.0, 1.0))
    np.testing.assert_allclose(optimized_weights(task, truth, members), 0.25, atol=0.08)


@pytest.mark.parametrize("task", TASKS)
def test_a_useless_member_gets_nothing(task: Task) -> None:
    truth, members = members_of(task, 3_000, (0.3, 30.0))
    weights = optimized_weights(task, truth, members)
    assert weights[1] < 0.01
    if task is NUMBER:
        assert weights[1] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_few_rows_stay_near_equal_weights(task: Task) -> None:
    found = []
    for seed in range(10):
        truth, members = members_of(task, 25, (1.0, 1.1, 0.9), seed)
        found.append(optimized_weights(task, truth, members))
    assert np.abs(np.mean(found, axis=0) - 1 / 3).max() < 0.1
    assert np.std(found, axis=0).max() < 0.2


@pytest.mark.parametrize("task", TASKS)
def test_what_adds_next_to_nothing_is_left_out(task: Task) -> None:
    truth, members = members_of(task, 4_000, (0.3, 0.3, 0.8 if task.is_classification else 1.6))
    dense, sparse = (weigh(task, truth, members) for weigh in (optimized_weights, sparse_weights))
    assert 0.0 < dense[2] < ensembling.SMALL and sparse[2] == 0.0
    assert sparse.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(sparse[:2], optimized_weights(task, truth, members[:2]))


@pytest.mark.parametrize("task", TASKS)
def test_a_small_share_that_is_worth_it_stays(task: Task) -> None:
    """What the first two share, the third does not: little of it goes a long way."""
    truth, (honest, noise, _) = members_of(task, 4_000, (0.0, 1.0, 1.0))
    off = 0.8 * (noise - honest)
    members = [honest + off, honest + off, honest - 12.0 * off]
    dense = optimized_weights(task, truth, members)
    assert 0.0 < dense[2] < ensembling.SMALL
    np.testing.assert_array_equal(sparse_weights(task, truth, members), dense)


def test_the_smaller_share_of_two_that_is_worth_it_stays_as_it_is() -> None:
    truth, (honest, noise) = members_of(BINARY, 4_000, (0.0, 1.0))
    off = 0.8 * (noise - honest)
    members = [3.0 * (honest + off), honest - 25.0 * off]
    dense = optimized_weights(BINARY, truth, members)
    np.testing.assert_array_equal(sparse_weights(BINARY, truth, members), dense)


@pytest.mark.parametrize("task", [BINARY, MULTI])
def test_where_all_rows_are_told_right_the_surest_member_does_not_take_all(task: Task) -> None:
    truth, _ = members_of(task, 200, ())
    right = np.eye(task.width)[truth] if task is MULTI else 2.0 * truth[:, None] - 1.0
    sure, surer = optimized_weights(task, truth, [8.0 * right, 16.0 * right]) * [8.0, 16.0]
    assert 0.3 < sure / (sure + surer) < 0.7


@pytest.mark.parametrize("count", [3, 5, 9])
def test_few_rows_decide_against_hardly_any_member(count: int) -> None:
    """Without the bound of the share two thirds of five or nine would go: by chance, fewer are better."""
    kept = [
        np.count_nonzero(sparse_weights(BINARY, *members_of(BINARY, 60, (1.0,) * count, seed)))
        for seed in range(10)
    ]
    assert np.mean(kept) > 0.75 * count


@pytest.mark.parametrize("loudness", [0.2, 20.0])
def test_how_loud_a_member_is_does_not_decide_whether_it_stays(loudness: float) -> None:
    truth, members = members_of(BINARY, 4_000, (0.3, 0.3, 0.8))
    assert sparse_weights(BINARY, truth, [*members[:2], loudness * members[2]])[2] == 0.0
    assert (sparse_weights(BINARY, truth, [members[0], loudness * members[1], members[1]]) > 0.0).all()


def test_a_loud_member_does_not_drown_the_others() -> None:
    truth, members = members_of(BINARY, 4_000, (1.0, 1.0))
    plain = optimized_weights(BINARY, truth, members)
    loud = optimized_weights(BINARY, truth, [members[0], 10.0 * members[1]])
    assert loud[0] / loud[1] == pytest.approx(10.0 * plain[0] / plain[1], rel=0.1)


@pytest.mark.parametrize("task", TASKS)
def test_the_calibrated_blend_beats_every_member_on_new_rows(task: Task) -> None:
    truth, members = members_of(task, 8_000, (1.0, 1.2, 1.4))
    fit, fresh = slice(0, 4_000), slice(4_000, None)
    weights = optimized_weights(task, truth[fit], [member[fit] for member in members])

    def loss(margins: np.ndarray) -> float:
        calibrated = fit_calibration(task, truth[fit], margins[fit]).apply(margins[fresh])
        name = "log_loss" if task.is_classification else "rmse"
        return score(name, task, truth[fresh], predictions_from_margins(task, calibrated))

    assert loss(blend(task, members, weights)) < min(loss(member) for member in members)


@pytest.mark.parametrize("task", TASKS)
def test_the_minimum_is_the_minimum(task: Task) -> None:
    truth, members = members_of(task, 300, (0.3, 1.0, 2.0, 3.0), seed=4)
    stacked, rows = np.stack(members), np.full(300, 1 / 300)
    for centre in (np.full(4, 0.25), np.array([0.9, 0.1, 0.0, 0.0])):
        if task is NUMBER:
            objective: object = ensembling._SquaredError(stacked, truth, rows, centre, 0.01, 1.0)
        else:
            objective = ensembling._LogLoss(stacked, truth, rows, centre, 0.01)
        found = ensembling._minimise(objective, centre)  # type: ignore[arg-type]
        reference = minimize(
            lambda point: objective.at(point)[0],  # type: ignore[attr-defined] # noqa: B023
            centre,
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda point: point.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-12},
        )
        value = objective.at(found)[0]  # type: ignore[attr-defined]
        assert value <= reference.fun + 1e-8
        np.testing.assert_allclose(found, reference.x, atol=1e-3)


@pytest.mark.parametrize("task", [BINARY, MULTI])
def test_gradient_and_hessian(task: Task) -> None:
    truth, members = members_of(task, 200, (0.3, 1.0, 2.0))
    objective = ensembling._LogLoss(
        np.stack(members), truth, np.full(200, 1 / 200), np.array([0.2, 0.3, 0.5]), 0.1
    )
    point = np.array([0.5, 0.3, 0.2])
    _, gradient, hessian = objective.at(point)
    for number, step in enumerate(1e-5 * np.eye(3)):
        above, below = objective.at(point + step), objective.at(point - step)
        assert (above[0] - below[0]) / 2e-5 == pytest.approx(gradient[number], abs=1e-7)
        np.testing.assert_allclose((above[1] - below[1]) / 2e-5, hessian[number], atol=1e-6)


def test_row_weights_count() -> None:
    truth, members = members_of(NUMBER, 2_000, (0.3, 0.3))
    members[0][:1_000] += 5.0
    members[1][1_000:] += 5.0
    first = np.repeat([1.0, 0.0], 1_000)
    assert optimized_weights(NUMBER, truth, members, first)[1] > 0.95
    assert optimized_weights(NUMBER, truth, members, 1 - first)[0] > 0.95


@pytest.mark.parametrize(("count", "rows"), [(1, 10), (3, 0)])
def test_nothing_to_weigh(count: int, rows: int) -> None:
    truth, members = members_of(BINARY, rows, (1.0,) * count)
    np.testing.assert_array_equal(optimized_weights(BINARY, truth, members), np.full(count, 1 / count))


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (0.6, 0.0, 0.4), (0.0, 1.0, 0.0)])
@pytest.mark.parametrize("task", TASKS)
def test_the_graph_blends_the_same(task: Task, weights: tuple[float, ...]) -> None:
    _, members = members_of(task, 50, (0.1, 0.5, 1.0))
    graph, feed, tensors = OnnxGraph(), {}, []
    for number, member in enumerate(members):
        names = [graph.input(f"m{number}_{column}", "float32") for column in range(task.width)]
        feed |= {name: member[:, [column]].astype(np.float32) for column, name in enumerate(names)}
        tensors.append(graph.concat(names))
    graph.output(blend_to_onnx(graph, tensors, weights, task), "out", "float32", task.width)
    session = onnxruntime.InferenceSession(graph.build("t", {}).SerializeToString())
    np.testing.assert_allclose(session.run(None, feed)[0], blend(task, members, weights), atol=1e-5)


def test_the_nearest_point_of_the_simplex() -> None:
    grid = [np.array(p) / 20 for p in itertools.product(range(21), repeat=3) if sum(p) == 20]
    for point in np.random.default_rng(0).normal(size=(20, 3)):
        found = ensembling._onto_simplex(point)
        assert found.sum() == pytest.approx(1.0) and (found >= 0).all()
        nearest = min(np.linalg.norm(point - other) for other in grid)
        assert np.linalg.norm(point - found) <= nearest + 1e-12
