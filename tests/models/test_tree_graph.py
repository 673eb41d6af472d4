from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.models.lightgbm_import import import_lightgbm
from declarative_ml.models.tree_graph import (
    Tree,
    add_tree_ensemble,
    float32_below,
    gain_by_feature,
    parse_trees,
)

ROWS = 600
CATEGORY = 2  # the column of ROWS x 4 matrices that holds categories


def run_trees(trees: list[Tree], matrix: np.ndarray, width: int = 1) -> np.ndarray:
    graph = OnnxGraph()
    names = [graph.input(f"x{number}", "float32") for number in range(matrix.shape[1])]
    graph.output(add_tree_ensemble(graph, graph.concat(names), trees, width), "sum", "float32", width)
    session = onnxruntime.InferenceSession(graph.build("trees", {}).SerializeToString())
    feeds = {name: matrix[:, [number]] for number, name in enumerate(names)}
    found: np.ndarray = session.run(None, feeds)[0]
    return found


def make_matrix(categories: int, *, missing: bool, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(ROWS, 4)).astype(np.float32)
    matrix[:, CATEGORY] = random.integers(0, categories, ROWS)
    matrix[:, 3] = np.round(matrix[:, 3])
    if missing:
        matrix[::7, 0] = np.nan
    return matrix


def nasty(matrix: np.ndarray) -> np.ndarray:
    """Missing where training had none, unseen and negative categories, zeros, infinities, huge values."""
    changed = matrix.copy()
    changed[::5, 0] = np.nan
    changed[::11, 3] = np.nan
    changed[1::13, CATEGORY] += 500
    changed[2::13, CATEGORY] = np.nan
    changed[3::13, CATEGORY] = -1
    changed[::17, 1] = 0.0
    changed[1::17, 1] = -0.0
    changed[2, 0], changed[3, 0] = np.inf, -np.inf
    changed[4, 1], changed[5, 1] = 3e38, -3e38
    return changed


def boost(matrix: np.ndarray, target: np.ndarray, rounds: int = 40, **changes: Any) -> Any:
    parameters = {
        "objective": "regression",
        "verbosity": -1,
        "num_threads": 1,
        "min_data_in_leaf": 3,
        "min_data_per_group": 3,
        "cat_smooth": 1.0,
        "seed": 1,
        **changes,
    }
    lightgbm = import_lightgbm()
    data = lightgbm.Dataset(matrix, target, categorical_feature=[CATEGORY], params=parameters)
    return lightgbm.train(parameters, data, rounds)


def signal(matrix: np.ndarray) -> np.ndarray:
    numbers = np.nan_to_num(matrix[:, 0]) + matrix[:, 1] * matrix[:, 3]
    found: np.ndarray = numbers + (matrix[:, CATEGORY] % 3 == 0)
    return found


CASES = {
    "numbers only": {"categories": 1},
    "stumps": {"categories": 30, "num_leaves": 2},
    "one-hot stumps": {"categories": 4, "num_leaves": 2},
    "few categories": {"categories": 4},
    "up to 32": {"categories": 33},
    "many categories": {"categories": 200, "max_cat_threshold": 150},
    "deep": {"categories": 60, "num_leaves": 100},
    "nothing missing": {"categories": 30, "missing": False},
    "not using missing": {"categories": 30, "use_missing": False},
    "five hundred trees": {"categories": 30, "rounds": 500},
    "bagged": {"categories": 30, "bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_margins_are_those_of_lightgbm(case: str) -> None:
    options: dict[str, Any] = dict(CASES[case])
    matrix = make_matrix(options.pop("categories"), missing=options.pop("missing", True))
    booster = boost(matrix, 5.0 + signal(matrix), **options)
    trees = parse_trees(booster.model_to_string())
    for rows in (matrix, nasty(matrix)):
        expected = booster.predict(rows, raw_score=True)
        np.testing.assert_allclose(run_trees(trees, rows)[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_the_cases_hold_categorical_roots_and_large_sets() -> None:
    matrix = make_matrix(200, missing=True)
    booster = boost(matrix, signal(matrix), max_cat_threshold=150)
    sets = [item for tree in parse_trees(booster.model_to_string()) for item in tree.members]
    assert max(len(item) for item in sets if item is not None) > 32
    stumps = parse_trees(boost(matrix, signal(matrix), num_leaves=2).model_to_string())
    assert any(tree.members[0] is not None for tree in stumps)


def test_multiclass_trees_add_to_their_own_class() -> None:
    matrix = make_matrix(30, missing=True)
    classes = np.digitize(signal(matrix), [-1.0, 0.5, 1.5])
    booster = boost(matrix, classes, objective="multiclass", num_class=4)
    found = run_trees(parse_trees(booster.model_to_string()), nasty(matrix), width=4)
    np.testing.assert_allclose(found, booster.predict(nasty(matrix), raw_score=True), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1e6, -3.5])
def test_a_tree_without_splits_gives_the_start_score(level: float) -> None:
    matrix = make_matrix(4, missing=True)
    booster = boost(matrix, np.full(ROWS, level), rounds=3)
    trees = parse_trees(booster.model_to_string())
    assert all(len(tree.feature) == 0 for tree in trees)
    assert np.allclose(run_trees(trees, nasty(matrix)), level)


def test_neighbours_of_a_threshold_go_the_right_way() -> None:
    edge = np.float32(0.1)
    values = np.array([np.nextafter(edge, np.float32(0)), edge, np.nextafter(edge, np.float32(1))])
    matrix = np.repeat(values, 40)[:, None].astype(np.float32)
    parameters = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    lightgbm = import_lightgbm()
    target = np.repeat([0.0, 1.0, 5.0], 40)
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, target, params=parameters), 20)
    found = run_trees(parse_trees(booster.model_to_string()), matrix)[:, 0]
    np.testing.assert_allclose(found, booster.predict(matrix), rtol=1e-5)
    assert len(np.unique(found)) == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (0.1, np.nextafter(np.float32(0.1), np.float32(0))),
        (-0.1, np.float32(-0.1)),
        (1e300, np.finfo(np.float32).max),
        (-1e300, -np.inf),
        (np.inf, np.inf),
        (-float(np.finfo(np.float32).max), np.finfo(np.float32).min),
        (1e-300, 0.0),
        (-1e-300, -np.nextafter(np.float32(0), np.float32(1))),
    ],
)
def test_float32_below(value: float, expected: float) -> None:
    found = float32_below(np.array([value]))
    assert found.dtype == np.float32
    assert found[0] == np.float32(expected)
    assert float(found[0]) <= value


def random_tree(random: np.random.Generator, splits: int) -> Tree:
    """A tree grown as LightGBM grows: each new split replaces a leaf."""
    left, right = np.zeros(splits, np.int64), np.zeros(splits, np.int64)
    left[0], right[0] = -1, -2
    for node in range(1, splits):
        parent = int(random.choice([n for n in range(node) if left[n] < 0 or right[n] < 0]))
        side = left if left[parent] < 0 and (right[parent] >= 0 or random.random() < 0.5) else right
        left[node], right[node] = side[parent], ~(node + 1)
        side[parent] = node
    sets = [np.sort(random.choice(80, size=random.integers(1, 70), replace=False)) for _ in range(splits)]
    members = tuple(item if random.random() < 0.5 else None for item in sets)
    numeric = np.array([item is None for item in members])
    return Tree(
        feature=np.where(numeric, random.integers(0, 2, splits), random.integers(2, 4, splits)),
        gain=np.ones(splits),
        threshold=np.where(numeric, random.normal(size=splits), 0.0),
        members=members,
        missing_left=numeric & (random.random(splits) < 0.5),
        left=left,
        right=right,
        leaf=random.normal(size=splits + 1),
    )


def walk(tree: Tree, row: np.ndarray) -> float:
    node = 0
    while node >= 0:
        value, members = row[tree.feature[node]], tree.members[node]
        if np.isnan(value):
            goes_left = bool(tree.missing_left[node])
        elif members is not None:
            goes_left = value in members
        else:
            goes_left = value <= tree.threshold[node]
        node = int((tree.left if goes_left else tree.right)[node])
    return float(tree.leaf[~node])


@pytest.mark.parametrize("splits", [1, 2, 3, 10])
def test_random_trees_run_as_they_are_read(splits: int) -> None:
    random = np.random.default_rng(splits)
    trees = [random_tree(random, splits) for _ in range(20)]
    matrix = random.normal(size=(60, 4)).astype(np.float32)
    matrix[:, 2:] = random.integers(0, 90, (60, 2))
    matrix[random.random((60, 4)) < 0.1] = np.nan
    expected = [[sum(walk(tree, row) for tree in trees[start::2]) for start in (0, 1)] for row in matrix]
    np.testing.assert_allclose(run_trees(trees, matrix, width=2), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_as_missing": True}, "trees trained with zero_as_missing cannot become a TreeEnsemble"),
        ({"linear_tree": True}, "LightGBM's linear trees cannot become a TreeEnsemble"),
    ],
)
def test_what_cannot_be_converted_is_refused(changes: dict[str, Any], message: str) -> None:
    matrix = make_matrix(4, missing=True)
    text = boost(matrix, signal(matrix), rounds=3, **changes).model_to_string()
    with pytest.raises(ValueError, match=message):
        parse_trees(text)


def test_gain_by_feature_is_lightgbms_importance() -> None:
    matrix = make_matrix(30, missing=True)
    booster = boost(matrix, signal(matrix))
    found = gain_by_feature(parse_trees(booster.model_to_string()), 4)
    np.testing.assert_allclose(found, booster.feature_importance("gain"), rtol=1e-4)
