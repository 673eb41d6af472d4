from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.models.tree_graph import add_tree_ensemble, gain_by_feature
from declarative_ml.models.xgboost_import import import_xgboost
from declarative_ml.models.xgboost_trees import read_trees

ROWS = 600
CATEGORY = 2  # the column of ROWS x 4 matrices that holds categories
LARGEST = float(np.finfo(np.float32).max)


def run_model(model: bytes, matrix: np.ndarray, width: int = 1) -> np.ndarray:
    graph = OnnxGraph()
    names = [graph.input(f"x{number}", "float32") for number in range(matrix.shape[1])]
    tensor = add_tree_ensemble(graph, graph.concat(names), read_trees(model), width)
    graph.output(tensor, "sum", "float32", width)
    session = onnxruntime.InferenceSession(graph.build("trees", {}).SerializeToString())
    found: np.ndarray = session.run(None, {name: matrix[:, [i]] for i, name in enumerate(names)})[0]
    return found


def make_matrix(categories: int, *, missing: bool = True) -> np.ndarray:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(ROWS, 4)).astype(np.float32)
    matrix[:, CATEGORY] = random.integers(0, categories, ROWS)
    matrix[:, 3] = np.round(matrix[:, 3])
    if missing:
        matrix[::7, 0] = np.nan
    return matrix


def signal(matrix: np.ndarray) -> np.ndarray:
    numbers = np.nan_to_num(matrix[:, 0]) + matrix[:, 1] * matrix[:, 3]
    found: np.ndarray = numbers + (matrix[:, CATEGORY] % 3 == 0)
    return found


def nasty(matrix: np.ndarray) -> np.ndarray:
    """Missing where training had none, unseen categories, zeros of both signs, the largest numbers."""
    changed = matrix.copy()
    changed[::5, 0] = np.nan
    changed[::11, 3] = np.nan
    changed[1::13, CATEGORY] += 500
    changed[2::13, CATEGORY] = np.nan
    changed[::17, 1], changed[1::17, 1] = 0.0, -0.0
    changed[4, 1], changed[5, 1] = LARGEST, -LARGEST
    changed[6, 0] = np.finfo(np.float32).smallest_subnormal
    return changed


def rows_of(matrix: np.ndarray, target: np.ndarray | None = None) -> Any:
    kinds = ["c" if column == CATEGORY else "q" for column in range(matrix.shape[1])]
    return import_xgboost().DMatrix(matrix, target, feature_types=kinds, enable_categorical=True)


def boost(matrix: np.ndarray, target: np.ndarray, rounds: int = 40, **changes: Any) -> Any:
    parameters = {"objective": "reg:squarederror", "base_score": 0.0, "verbosity": 0, "nthread": 1, **changes}
    return import_xgboost().train(parameters, rows_of(matrix, target), rounds)


CASES = {
    "numbers only": {"categories": 1},
    "stumps": {"categories": 30, "max_depth": 1},
    "one-hot": {"categories": 30, "max_cat_to_onehot": 100},
    "few categories": {"categories": 4},
    "many categories": {"categories": 200},
    "deep": {"categories": 60, "max_depth": 12, "min_child_weight": 0.1},
    "nothing missing": {"categories": 30, "missing": False},
    "by loss": {"categories": 30, "grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
    "drawn": {"categories": 30, "subsample": 0.5, "colsample_bytree": 0.5},
    "pruned": {"categories": 30, "gamma": 5.0},
    "exact": {"categories": 1, "tree_method": "exact"},
}


@pytest.mark.parametrize("case", CASES)
def test_margins_are_those_of_xgboost(case: str) -> None:
    options: dict[str, Any] = dict(CASES[case])
    matrix = make_matrix(options.pop("categories"), missing=options.pop("missing", True))
    if options.get("tree_method") == "exact":
        matrix = np.delete(matrix, CATEGORY, axis=1)
        target = matrix[:, 1] * matrix[:, 2]
        parameters = {"objective": "reg:squarederror", "base_score": 0.0, "verbosity": 0, **options}
        library = import_xgboost()
        booster = library.train(parameters, library.DMatrix(matrix, target), 40)
        expected = booster.predict(library.DMatrix(matrix))
        np.testing.assert_allclose(
            run_model(bytes(booster.save_raw("json")), matrix)[:, 0], expected, atol=1e-5
        )
        return
    booster = boost(matrix, signal(matrix), **options)
    for rows in (matrix, nasty(matrix)):
        expected = booster.predict(rows_of(rows), output_margin=True)
        found = run_model(bytes(booster.save_raw("json")), rows)[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_cases_hold_sets_and_both_ways_for_what_is_missing() -> None:
    matrix = make_matrix(200)
    trees = read_trees(bytes(boost(matrix, signal(matrix)).save_raw("json")))
    sets = [item for tree in trees for item in tree.members if item is not None]
    assert max(len(item) for item in sets) > 1
    ways = np.concatenate([tree.missing_left for tree in trees])
    assert ways.any() and not ways.all()


def test_multiclass_trees_add_to_their_own_class() -> None:
    matrix = make_matrix(30)
    classes = np.digitize(signal(matrix), [-1.0, 0.5, 1.5])
    booster = boost(matrix, classes, objective="multi:softprob", num_class=4)
    found = run_model(bytes(booster.save_raw("json")), nasty(matrix), width=4)
    expected = booster.predict(rows_of(nasty(matrix)), output_margin=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_neighbours_of_a_threshold_go_the_right_way() -> None:
    edge = np.float32(0.1)
    values = np.array([np.nextafter(edge, np.float32(0)), edge, np.nextafter(edge, np.float32(1))])
    matrix = np.zeros((120, 4), np.float32)
    matrix[:, 0] = np.repeat(values, 40)
    booster = boost(matrix, np.repeat([0.0, 1.0, 5.0], 40), rounds=20)
    found = run_model(bytes(booster.save_raw("json")), matrix)[:, 0]
    np.testing.assert_allclose(found, booster.predict(rows_of(matrix)), rtol=1e-5)
    assert len(np.unique(found)) == 3


@pytest.mark.parametrize("edge", [0.0, -0.0, LARGEST, -LARGEST, 1e-45])
def test_a_value_at_the_threshold_goes_right(edge: float) -> None:
    tree = {
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
        "split_conditions": [edge, 1.0, 2.0], "split_type": [0, 0, 0], "default_left": [0, 0, 0],
        "loss_changes": [1.0, 0.0, 0.0], "sum_hessian": [2.0, 1.0, 1.0], "categories": [],
        "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
    }  # fmt: skip
    model = {"name": "gbtree", "model": {"trees": [tree], "tree_info": [0]}}
    content = json.dumps({"learner": {"gradient_booster": model}}).encode()
    at = np.float32(edge)
    with np.errstate(over="ignore"):
        rows = np.array([[np.nextafter(at, np.float32(-np.inf))], [at], [np.nan]], np.float32)
    assert run_model(content, rows)[:, 0].tolist() == [1.0, 2.0, 2.0]


def test_gain_by_feature_is_xgboosts_importance() -> None:
    matrix = make_matrix(30)
    booster = boost(matrix, signal(matrix))
    found = gain_by_feature(read_trees(bytes(booster.save_raw("json"))), 4)
    expected = booster.get_score(importance_type="total_gain")
    np.testing.assert_allclose(found, [expected[f"f{column}"] for column in range(4)], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"booster": "dart", "rate_drop": 0.5}, "XGBoost's dart cannot become a TreeEnsemble"),
        (
            {"num_parallel_tree": 2, "objective": "multi:softprob", "num_class": 2},
            "not one a class and round",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused(changes: dict[str, Any], message: str) -> None:
    matrix = make_matrix(4)
    model = boost(matrix, (signal(matrix) > 0).astype(float), rounds=3, **changes).save_raw("json")
    with pytest.raises(ValueError, match=message):
        read_trees(bytes(model))
