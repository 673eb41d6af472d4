from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.models.forest import Forest, read_tree
from declarative_ml.models.tree_graph import add_tree_ensemble

LARGEST = np.finfo(np.float32).max
NO_POWER = np.zeros(3, dtype=np.int64)


def make_matrix(*, missing: bool, rows: int = 300) -> np.ndarray:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(rows, 3)).astype(np.float32)
    matrix[:, 1] = np.round(matrix[:, 1] * 3)
    matrix[:, 2] = random.integers(0, 40, rows)
    if missing:
        matrix[::7, 0] = np.nan
        matrix[3::11, 2] = np.nan
    return matrix


def nasty(matrix: np.ndarray) -> np.ndarray:
    """Missing where training had none, zeros of both signs, unseen codes, huge and infinite values."""
    changed = matrix.copy()
    changed[::5, 1] = np.nan
    changed[1::9] = np.nan
    changed[2::13, 2] = 500
    changed[4, 0], changed[5, 0], changed[6, 0], changed[7, 0] = np.inf, -np.inf, LARGEST, -LARGEST
    changed[8, 1], changed[9, 1] = 0.0, -0.0
    changed[10, 0] = np.finfo(np.float32).smallest_subnormal
    return changed


def grow(matrix: np.ndarray, kind: str, **options: Any) -> tuple[Any, Forest]:
    signal = np.nan_to_num(matrix).sum(axis=1)
    make = ExtraTreesRegressor if kind == "number" else ExtraTreesClassifier
    target = signal if kind == "number" else np.digitize(signal, [10.0, 25.0])
    model = make(n_estimators=8, random_state=1, **options).fit(matrix, target)
    parts = [read_tree(tree.tree_, tree.tree_.value[:, 0, :], NO_POWER) for tree in model.estimators_]
    return model, Forest.of(parts)


def run_graph(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    graph, width = OnnxGraph(), forest.leaf.shape[1]
    names = [graph.input(f"x{number}", "float32") for number in range(matrix.shape[1])]
    tensor = add_tree_ensemble(graph, graph.concat(names), list(forest.trees()), width)
    graph.output(tensor, "sum", "float32", width)
    session = onnxruntime.InferenceSession(graph.build("forest", {}).SerializeToString())
    found: np.ndarray = session.run(None, {name: matrix[:, [i]] for i, name in enumerate(names)})[0]
    return found


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("options", [{}, {"max_leaf_nodes": 9}, {"max_depth": 1}], ids=str)
@pytest.mark.parametrize("kind", ["number", "classes"])
def test_margins_are_the_sum_of_scikit_learns_leaves(kind: str, options: Any, missing: bool) -> None:
    matrix = make_matrix(missing=missing)
    model, forest = grow(matrix, kind, **options)
    expected = model.predict(matrix)[:, None] if kind == "number" else model.predict_proba(matrix)
    np.testing.assert_allclose(forest.margins(matrix) / 8, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["number", "classes"])
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "gaps"])
def test_the_graph_takes_every_row_the_same_way(kind: str, missing: bool) -> None:
    matrix = make_matrix(missing=missing)
    forest = grow(matrix, kind)[1]
    for rows in (matrix, nasty(matrix)):
        np.testing.assert_allclose(run_graph(forest, rows), forest.margins(rows), rtol=1e-5, atol=1e-5)


def test_values_beside_a_threshold_go_the_same_way() -> None:
    matrix = make_matrix(missing=False)
    model, forest = grow(matrix, "number")
    rows = np.repeat(matrix[:1], 2 * len(forest.threshold), axis=0)
    for number, (column, edge) in enumerate(zip(forest.feature, forest.threshold)):
        rows[2 * number, column] = edge
        rows[2 * number + 1, column] = np.nextafter(edge, np.float32(np.inf))
    np.testing.assert_allclose(forest.margins(rows)[:, 0] / 8, model.predict(rows), rtol=1e-5)
    np.testing.assert_allclose(run_graph(forest, rows), forest.margins(rows), rtol=1e-5)


def test_powers_of_two_come_off_the_thresholds() -> None:
    matrix = make_matrix(missing=True)
    exponents = np.array([70, -20, 3])
    plain = grow(matrix, "number")[1]
    model = ExtraTreesRegressor(n_estimators=8, random_state=1)
    model.fit(np.ldexp(matrix, exponents), np.nan_to_num(matrix).sum(axis=1))
    parts = [read_tree(tree.tree_, tree.tree_.value[:, 0, :], exponents) for tree in model.estimators_]
    np.testing.assert_allclose(Forest.of(parts).margins(matrix), plain.margins(matrix), rtol=1e-4, atol=1e-3)


def test_a_forest_of_leaves_and_trees() -> None:
    stump = Forest(
        feature=np.array([1], np.int32), threshold=np.array([0.5], np.float32),
        missing_left=np.array([True]), left=np.array([-1], np.int32), right=np.array([-2], np.int32),
        gain=np.ones(1, np.float32), left_share=np.ones(1, np.float32),
        leaf=np.array([[1.0], [10.0]], np.float32),
        splits=np.array([1], np.int32),
    )  # fmt: skip
    none = np.zeros(0, np.int32)
    leaf = Forest(
        none, none.astype(np.float32), none.astype(bool), none, none, none.astype(np.float32),
        none.astype(np.float32),
        np.array([[100.0]], np.float32), np.array([0], np.int32),
    )  # fmt: skip
    forest = Forest.of([leaf, stump, leaf, stump])
    rows = np.array([[0.0, 0.5], [0.0, 0.6], [0.0, np.nan]], np.float32)
    assert forest.margins(rows).tolist() == [[202.0], [220.0], [202.0]]
    assert run_graph(forest, rows).tolist() == [[202.0], [220.0], [202.0]]
    assert [tree.leaf.tolist() for tree in forest.trees()] == [[100.0], [1.0, 10.0]] * 2


def test_the_arrays_are_the_forest() -> None:
    forest = grow(make_matrix(missing=True), "classes")[1]
    again = Forest(**forest.arrays())
    matrix = make_matrix(missing=True)
    assert np.array_equal(again.margins(matrix), forest.margins(matrix))
