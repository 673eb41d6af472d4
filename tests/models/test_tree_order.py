"""Large forests with the child that most rows go to behind its split: the same answers, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.models import tree_order
from declarative_ml.models.forest import Forest, read_tree
from declarative_ml.models.lightgbm_import import import_lightgbm
from declarative_ml.models.tree_graph import Tree, add_tree_ensemble, parse_trees
from declarative_ml.models.tree_order import order_by_rows
from declarative_ml.models.xgboost_import import import_xgboost
from declarative_ml.models.xgboost_trees import read_trees

ROWS, CATEGORY = 900, 2


@pytest.fixture(autouse=True)
def few_splits_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_order, "_MANY_SPLITS", 1)


def make_matrix(*, missing: bool) -> np.ndarray:
    random = np.random.default_rng(3)
    matrix = random.lognormal(size=(ROWS, 4)).astype(np.float32) - np.float32(1.0)
    matrix[:, 1] = np.round(matrix[:, 1])
    matrix[:, CATEGORY] = random.integers(0, 40, ROWS)
    if missing:
        matrix[::7, 0] = np.nan
    return matrix


def signal(matrix: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.nan_to_num(matrix[:, 0]) + matrix[:, 1] * matrix[:, 3] + (matrix[:, CATEGORY] % 3)
    return found


def nasty(matrix: np.ndarray) -> np.ndarray:
    """Missing where training had none, unseen levels, zeros of both signs, numbers next to 0, the largest."""
    changed = matrix.copy()
    changed[::5, 0], changed[::11, 1], changed[1::13, 3] = np.nan, np.nan, np.nan
    changed[1::13, CATEGORY] += 500
    changed[2::13, CATEGORY] = np.nan
    changed[::17, 1], changed[1::17, 1] = 0.0, -0.0
    for row, value in enumerate((np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45)):
        changed[row, 0] = changed[row + 6, 1] = changed[row + 12, 3] = value
    return changed


def lightgbm(matrix: np.ndarray, **changes: Any) -> list[Tree]:
    options = {"objective": "regression", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, **changes}
    library = import_lightgbm()
    data = library.Dataset(matrix, signal(matrix), categorical_feature=[CATEGORY], params=options)
    return parse_trees(library.train(options, data, 30).model_to_string())


def xgboost(matrix: np.ndarray) -> list[Tree]:
    library = import_xgboost()
    kinds = ["c" if column == CATEGORY else "q" for column in range(4)]
    data = library.DMatrix(matrix, signal(matrix), feature_types=kinds, enable_categorical=True)
    options = {"objective": "reg:squarederror", "base_score": 0.0, "verbosity": 0, "nthread": 1}
    return read_trees(bytes(library.train(options, data, 30).save_raw("json")))


def extra_trees(matrix: np.ndarray) -> list[Tree]:
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(n_estimators=8, random_state=1).fit(matrix, signal(matrix))
    parts = [read_tree(tree.tree_, tree.tree_.value[:, 0, :], np.zeros(4, int)) for tree in model.estimators_]
    return list(Forest.of(parts).trees())


def run(trees: Sequence[Tree], matrix: np.ndarray, order: bool) -> tuple[np.ndarray, Sequence[Tree], int]:
    """The sums, the trees as they are written, and the number of nodes."""
    graph = OnnxGraph()
    names = [graph.input(f"x{number}", "float32") for number in range(4)]
    tensor = graph.concat(names)
    if order:
        tensor, trees = order_by_rows(graph, tensor, trees, 4)
    graph.output(add_tree_ensemble(graph, tensor, trees, 1), "sum", "float32", 1)
    model = graph.build("trees", {})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: np.ndarray = session.run(None, {name: matrix[:, [i]] for i, name in enumerate(names)})[0]
    return found, trees, len(model.graph.node)


MAKERS: dict[str, Callable[..., list[Tree]]] = {
    "lightgbm": lightgbm, "xgboost": xgboost, "extra_trees": extra_trees
}  # fmt: skip


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("maker", MAKERS)
def test_the_answers_are_the_same_to_the_bit(maker: str, missing: bool) -> None:
    matrix = make_matrix(missing=missing)
    trees = MAKERS[maker](matrix)
    for rows in (matrix, nasty(matrix)):
        plain, _, _ = run(trees, rows, order=False)
        found, written, _ = run(trees, rows, order=True)
        np.testing.assert_array_equal(found, plain)
    shares = np.concatenate([tree.left_share for tree in written if tree.left_share is not None])
    numeric = np.array([members is None for tree in written for members in tree.members])
    next_to_zero = np.concatenate([np.abs(tree.threshold) < 1.2e-38 for tree in written])
    assert shares[numeric & ~next_to_zero].max() <= 0.5
    assert any((tree.feature >= 4).any() for tree in written) and any(
        (tree.feature < 4).any() for tree in written
    )


@pytest.mark.parametrize("maker", MAKERS)
def test_without_missing_values_in_training_no_split_looks_for_them(maker: str) -> None:
    trees = MAKERS[maker](make_matrix(missing=False))
    _, written, _ = run(trees, make_matrix(missing=False), order=True)
    assert not any(tree.missing_left.any() for tree in written)
    known = MAKERS[maker](make_matrix(missing=True))
    assert any(tree.missing_left.any() for tree in run(known, make_matrix(missing=True), order=True)[1])


def test_the_shares_are_those_of_the_rows() -> None:
    matrix = make_matrix(missing=True)
    for make in MAKERS.values():
        roots = [tree for tree in make(matrix) if tree.members[0] is None]
        assert len(roots) >= 5
        for tree in roots:
            assert tree.left_share is not None
            column = matrix[:, tree.feature[0]]
            left = (column <= tree.threshold[0]) | (np.isnan(column) & tree.missing_left[0])
            assert tree.left_share[0] == pytest.approx(left.mean(), abs=1e-6)


def test_few_splits_and_unknown_shares_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = lightgbm(make_matrix(missing=False))
    unknown = [Tree(**{**vars(tree), "left_share": None}) for tree in trees]
    assert run(unknown, make_matrix(missing=False), order=True)[1:] == (unknown, 3)
    monkeypatch.setattr(tree_order, "_MANY_SPLITS", 1_000_000)
    assert run(trees, make_matrix(missing=False), order=True)[1:] == (trees, 3)


def test_lone_leaves_among_the_trees() -> None:
    matrix = make_matrix(missing=False)
    trees = [*lightgbm(matrix), *lightgbm(matrix, min_data_in_leaf=5_000)]
    assert not len(trees[-1].feature)
    np.testing.assert_array_equal(run(trees, nasty(matrix), True)[0], run(trees, nasty(matrix), False)[0])
