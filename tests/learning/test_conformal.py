import numpy as np
import onnxruntime as ort
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.conformal import (
    Bounds,
    effective_rows,
    fit_bounds,
    needed_rows,
    smallest_root,
)


def errors(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Residuals whose spread differs by row, skewed upwards, and the root of their expected size."""
    random = np.random.default_rng(seed)
    spread = random.uniform(0.5, 5.0, rows)
    return spread * (random.exponential(1.0, rows) - 0.8), np.sqrt(spread * random.uniform(0.8, 1.25, rows))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_new_rows_are_covered_as_promised_on_both_sides(level: float) -> None:
    inside, below, above = [], [], []
    for seed in range(60):
        bounds = fit_bounds(level, *errors(400, seed))
        residuals, root = errors(400, seed + 1000)
        lower, upper = bounds.apply(np.zeros(400), root)
        below.append((residuals < lower).mean())
        above.append((residuals > upper).mean())
        inside.append(1 - below[-1] - above[-1])
    assert level - 0.005 <= np.mean(inside) <= level + 0.02
    assert np.mean(below) == pytest.approx((1 - level) / 2, abs=0.01)
    assert np.mean(above) == pytest.approx((1 - level) / 2, abs=0.01)


@pytest.mark.parametrize(("level", "rows"), [(0.5, 3), (0.8, 9), (0.9, 19), (0.95, 39), (0.99, 199)])
def test_the_fewest_rows_give_their_largest_errors(level: float, rows: int) -> None:
    assert needed_rows(level) == rows
    residuals = np.linspace(-2.0, 3.0, rows)
    bounds = fit_bounds(level, residuals, np.ones(rows))
    assert (bounds.below, bounds.above) == pytest.approx((2.0, 3.0))


def shifted(rows: int, seed: int, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """A column that is `slope` times as often at 1 as at 0, and residuals that grow with it."""
    random = np.random.default_rng(seed)
    column = random.uniform(size=4 * rows)
    kept = random.uniform(size=4 * rows) < (1 + (slope - 1) * column) / slope
    column = column[kept][:rows]
    return column, (0.2 + 3.0 * column) * random.normal(size=len(column))


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_weights_carry_the_level_to_rows_that_are_more_frequent_elsewhere(level: float) -> None:
    covered: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(60):
        column, residuals = shifted(600, seed, 1.0)
        there, errors = shifted(600, seed + 1000, 12.0)
        for weighted, found in covered.items():
            weight = 1 + 11 * column if weighted else None
            bounds = fit_bounds(level, residuals, np.ones(len(residuals)), weight)
            lower, upper = bounds.apply(np.zeros(len(there)), np.ones(len(there)))
            found.append(float(((lower <= errors) & (errors <= upper)).mean()))
    assert level - 0.005 <= np.mean(covered[True]) <= level + 0.02
    assert np.mean(covered[False]) < level - 0.03


def test_equal_weights_change_nothing_whatever_their_unit() -> None:
    residuals, root = errors(333, 5)
    plain = fit_bounds(0.9, residuals, root)
    for unit in (1.0, 0.1, 7e6):
        assert fit_bounds(0.9, residuals, root, np.full(333, unit)) == plain


def test_rows_of_little_weight_hardly_count() -> None:
    assert effective_rows(np.full(40, 0.1)) == pytest.approx(40)
    assert effective_rows(np.r_[np.full(40, 5.0), np.full(1000, 1e-9)]) == pytest.approx(40)
    residuals = np.r_[np.linspace(-1, 1, 40), np.full(1000, 50.0)]
    root = np.full(1040, 100.0)
    bounds = fit_bounds(0.9, residuals, root, np.r_[np.ones(40), np.full(1000, 1e-9)])
    assert (
        bounds.apply(np.zeros(1), root[:1])[1]
        <= 1.0
        < fit_bounds(0.9, residuals, root).apply(np.zeros(1), root[:1])[1]
    )


@pytest.mark.parametrize(
    ("residuals", "ends"),
    [(np.zeros(30), (0.0, 0.0)), (np.linspace(1.0, 2.0, 30), (0.0, 2.0)), (-np.ones(30), (1.0, 0.0))],
    ids=["no error", "always too low", "always too high"],
)
def test_the_prediction_stays_inside(residuals: np.ndarray, ends: tuple[float, float]) -> None:
    bounds = fit_bounds(0.9, residuals, np.ones(30))
    lower, upper = bounds.apply(np.full(30, 7.0), np.ones(30))
    assert (lower[0], upper[0]) == pytest.approx((7.0 - ends[0], 7.0 + ends[1]), abs=0.05)
    assert (lower <= 7.0).all() and (upper >= 7.0).all()


@pytest.mark.parametrize(
    ("residuals", "floor"), [([0.0, 0.0], 1.0), ([4.0, -4.0], 0.6), ([0.0, 0.0, 0.0, 4.0], 0.3)]
)
def test_no_error_is_expected_to_be_nothing(residuals: list[float], floor: float) -> None:
    assert smallest_root(np.array(residuals)) == pytest.approx(floor)


def test_the_graph_does_the_same_and_never_crosses_the_prediction() -> None:
    graph = OnnxGraph()
    prediction, root = graph.input("prediction", "float32"), graph.input("root", "float32")
    bounds = Bounds(level=0.9, below=1.7, above=0.0, floor=0.2)
    for name, tensor in zip(("lower", "upper"), bounds.to_onnx(graph, prediction, root), strict=True):
        graph.output(tensor, name, "float32")
    session = ort.InferenceSession(graph.build("bounds", {}).SerializeToString())
    random = np.random.default_rng(0)
    given = (random.normal(size=500) * 1e4).astype(np.float32)
    roots = random.normal(size=500).astype(np.float32)
    found = session.run(None, {"prediction": given[:, None], "root": roots[:, None]})
    lower, upper = (values[:, 0] for values in found)
    for actual, expected in zip((lower, upper), bounds.apply(given, roots), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert (lower <= given).all() and (upper == given).all()
