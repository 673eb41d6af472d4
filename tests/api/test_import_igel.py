"""igel configs: what becomes of each option, and which configs are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from import_cases import case, check_refused, entry_of, imported, write_patients, written

TARGET = "target: [y]\n"
MODEL = "model: {type: classification, algorithm: RandomForest}\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "random_forest",
            {
                "data": {
                    "source": "patients.csv", "split": {"method": "random", "test": 0.2}
                },
                "target": {"column": "sick", "type": "multiclass"},
                "features": "auto",
                "model": "lightgbm",
            },
        ),
        (
            "neural_network",
            {
                "data": {
                    "source": "patients.csv", "split": {"method": "random", "test": 0.25, "stratify": False}
                },
                "target": {"column": "weight", "type": "number"},
                "features": {
                    name: {"type": "number", "scale": "minmax"} for name in ("age", "mass", "waist", "pulse")
                },
                "others": "auto",
                "model": {
                    "type": "mlp", "layers": [32, 16], "activation": "relu", "learning_rate": 0.005,
                    "epochs": 30, "batch_size": 32,
                },
                "seed": 7,
            },
        ),
        (
            "logistic_regression",
            {
                "features": {
                    name: {"type": "number", "scale": "standard", "missing": "mean"}
                    for name in ("age", "mass", "weight", "waist", "pulse")
                },
                "model": {"type": "linear", "penalty": 2.0},
                "imbalance": "weights",
            },
        ),
        ("ridge_cv", {"model": "linear", "resources": {"cpu": 1}}),
        (
            "grid_search",
            {"model": "lightgbm", "tune": {"trials": 4},
             "data": {"source": "patients.csv", "split": {"method": "random", "folds": 5}}},
        ),
        ("multioutput", {"target": {"column": "weight", "type": "number"}, "exclude": ["waist", "pulse"]}),
        (
            "boosting_options",
            {
                "exclude": ["town", "weight", "waist", "pulse", "Species", "visit"],
                "model": {
                    "type": "lightgbm", "rounds": 30, "learning_rate": 0.1, "num_leaves": 8,
                    "bagging_fraction": 0.8, "min_data_in_leaf": 5, "early_stopping": 10,
                },
                "seed": 11,
            },
        ),
        ("support_vectors", {"model": "lightgbm", "resources": {"cpu": 2}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_written(name: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = case("igel", name)
    spec = written(found.run(tmp_path / "spec.yaml", data=found.table(tmp_path)))
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "theirs", "verdict", "why"),
    [
        ("random_forest", "model.algorithm", "changed", "boosted here, not averaged"),
        ("random_forest", "model.arguments.n_estimators", "left_out", "are not rounds of boosting"),
        ("random_forest", "model.arguments.max_depth", "left_out", "leaves limit a tree"),
        ("random_forest", "dataset.preprocess.scale.method", "left_out", "trees need no scale"),
        ("random_forest", "dataset.split.stratify", "changed", "keeps the target's shares"),
        ("random_forest", "dataset.preprocess.missing_values", "changed", "trees see that a value"),
        ("neural_network", "dataset.split.shuffle", "changed", "order of rows means nothing"),
        ("neural_network", "model.arguments.activation", "changed", "no logistic"),
        ("neural_network", "dataset.preprocess.scale.method", "carried", ""),
        ("logistic_regression", "dataset.preprocess.missing_values", "carried", ""),
        ("logistic_regression", "dataset.preprocess.encoding.type", "carried", ""),
        ("logistic_regression", "model.arguments.C", "carried", ""),
        ("ridge_cv", "model.use_cv_estimator", "changed", "penalty is chosen on held-out rows"),
        ("ridge_cv", "model.cross_validate.cv", "carried", ""),
        ("grid_search", "dataset.split.test_size", "left_out", "a share of all rows"),
        ("grid_search", "model.hyperparameter_search.method", "changed", "own suggestions are tried"),
        ("multioutput", "target", "changed", "a spec has one target"),
        ("boosting_options", "dataset.read_data_options.nrows", "left_out", "prepare the file"),
        ("boosting_options", "dataset.read_data_options.index_col", "changed", "rows have no labels"),
        ("boosting_options", "model.arguments.max_depth", "changed", "leaves limit a tree"),
        ("support_vectors", "model.algorithm", "changed", "no kernel machines"),
        ("support_vectors", "input", "changed", "--data was given"),
        ("support_vectors", "model.params.kernel", "left_out", "the model lightgbm has no such option"),
    ],
)  # fmt: skip
def test_reasons(name: str, theirs: str, verdict: str, why: str, tmp_path: Path) -> None:
    found = case("igel", name)
    entry = entry_of(found.run(tmp_path / "spec.yaml", data=found.table(tmp_path)), theirs)
    assert entry.verdict == verdict
    assert why in entry.why


def test_reading_options_reach_the_source(tmp_path: Path) -> None:
    found = case("igel", "boosting_options")
    data = written(found.run(tmp_path / "spec.yaml", data=found.table(tmp_path)))["data"]
    assert data["source"] == {"type": "file", "path": "patients.csv", "delimiter": ";", "encoding": "latin-1"}
    assert data["missing"][-2:] == ["-1", "missing"]
    assert "" in data["missing"]


def test_numbers_need_data_to_be_named(tmp_path: Path) -> None:
    found = case("igel", "logistic_regression").run(tmp_path / "spec.yaml")
    assert written(found)["features"] == "auto"
    assert "without --data" in entry_of(found, "dataset.preprocess.scale.method").why


@pytest.mark.parametrize(
    ("kind", "algorithm", "arguments", "theirs", "expected", "ours"),
    [
        ("classification", "LogisticRegression", "{C: 0.5}", "C", "carried", {"penalty": 2.0}),
        ("classification", "LogisticRegression", "{C: 1.0e-300}", "C", "left_out", {}),
        ("classification", "LogisticRegression", "{C: 0.5, penalty: null}", "C", "left_out",
         {"penalty": 0.0}),
        ("classification", "LogisticRegression", "{max_iter: 50}", "max_iter", "carried", {"iterations": 50}),
        ("classification", "LogisticRegression", "{max_iter: 50, solver: saga}", "max_iter", "left_out", {}),
        ("classification", "LogisticRegression", "{fit_intercept: false}", "fit_intercept", "changed", {}),
        # Ridge's alpha weighs squared error: for classes we minimise another loss.
        ("regression", "Ridge", "{alpha: 3}", "alpha", "carried", {"penalty": 3.0}),
        ("classification", "Ridge", "{alpha: 3}", "alpha", "left_out", {}),
        ("regression", "Lasso", "{alpha: 3}", "alpha", "left_out", {}),
        ("regression", "SGDRegressor", "{max_iter: 9}", "max_iter", "left_out", {}),
        ("regression", "NeuralNetwork", "{hidden_layer_sizes: '(8, 4,)'}", "hidden_layer_sizes", "carried",
         {"layers": [8, 4]}),
        ("regression", "NeuralNetwork", "{hidden_layer_sizes: 16}", "hidden_layer_sizes", "carried",
         {"layers": [16]}),
        ("regression", "NeuralNetwork", "{hidden_layer_sizes: (a)}", "hidden_layer_sizes", "left_out", {}),
        ("regression", "NeuralNetwork", "{max_iter: 9, solver: lbfgs}", "max_iter", "left_out", {}),
        ("regression", "NeuralNetwork", "{validation_fraction: 0.2}", "validation_fraction", "left_out", {}),
        ("regression", "GradientBoosting", "{n_estimators: 9}", "n_estimators", "carried", {"rounds": 9}),
        ("regression", "RandomForest", "{n_estimators: 9}", "n_estimators", "left_out", {}),
        ("regression", "ExtraTrees", "{n_estimators: 9}", "n_estimators", "carried", {"trees": 9}),
        ("regression", "ExtraTrees", "{min_samples_leaf: 2, max_features: 0.5}", "max_features", "carried",
         {"feature_fraction": 0.5, "min_data_in_leaf": 2}),
        ("classification", "ExtraTreesClassifier", "{bootstrap: false}", "bootstrap", "left_out", {}),
        ("regression", "RandomForest", "{max_features: 0.5}", "max_features", "changed",
         {"feature_fraction": 0.5}),
        ("regression", "RandomForestRegressor", "{max_depth: 3, max_leaf_nodes: 6}", "max_depth", "left_out",
         {"num_leaves": 6}),
        ("regression", "RandomForest", "{max_depth: 3, max_leaf_nodes: null}", "max_depth", "changed",
         {"num_leaves": 8}),
    ],
)  # fmt: skip
def test_arguments(
    kind: str,
    algorithm: str,
    arguments: str,
    theirs: str,
    expected: str,
    ours: dict[str, Any],
    tmp_path: Path,
) -> None:
    model = f"model: {{type: {kind}, algorithm: {algorithm}, arguments: {arguments}}}\n"
    found = imported("igel", TARGET + model, tmp_path)
    assert entry_of(found, f"model.arguments.{theirs}").verdict == expected
    chosen = written(found)["model"]
    options = {} if isinstance(chosen, str) else chosen
    assert {key: value for key, value in options.items() if key != "type"} == ours


@pytest.mark.parametrize(
    ("kind", "weights", "imbalance"),
    [
        ("classification", "balanced", "weights"),
        ("classification", "balanced_subsample", "weights"),
        ("classification", "{a: 2, b: 1}", "weights"),
        ("classification", "null", None),
        ("regression", "balanced", None),
        ("regression", "{a: 2, b: 1}", None),
    ],
)
def test_class_weights(kind: str, weights: str, imbalance: str | None, tmp_path: Path) -> None:
    """A number target has no classes, whatever the arguments say."""
    model = f"model: {{type: {kind}, algorithm: RandomForest, arguments: {{class_weight: {weights}}}}}\n"
    assert written(imported("igel", TARGET + model, tmp_path)).get("imbalance") == imbalance


@pytest.mark.parametrize(
    ("dataset", "theirs", "expected", "why"),
    [
        ("{read_data_options: {header: null}}", "read_data_options.header", "left_out",
         "must have the names"),
        ("{read_data_options: {header: 0}}", "read_data_options.header", "carried", ""),
        ("{read_data_options: {index_col: 0}}", "read_data_options.index_col", "changed", "no labels"),
        ("{read_data_options: {index_col: null}}", "read_data_options.index_col", "carried", ""),
        ("{read_data_options: {usecols: [1, 2, 4]}}", "read_data_options.usecols", "changed", "no features"),
        ("{read_data_options: {usecols: [1, 99]}}", "read_data_options.usecols", "left_out", "no columns"),
        ("{preprocess: {scale: {method: standard}}}", "preprocess.scale.method", "left_out", "scale.target"),
        ("{preprocess: {scale: {method: standard, target: outputs}}}", "preprocess.scale.method", "left_out",
         "inputs or all"),
        ("{preprocess: {scale: {method: standard, target: inputs}}}", "preprocess.scale.method", "carried",
         ""),
        ("{preprocess: {missing_values: drop}}", "preprocess.missing_values", "changed", "no row is dropped"),
        ("{split: {stratify: null}}", "split.stratify", "carried", ""),
        ("{split: {stratify: default}}", "split.stratify", "changed", "target's shares"),
        ("{split: {stratify: sick}}", "split.stratify", "carried", ""),
        ("{random_numbers: {generate_reproducible: false}}", "random_numbers.generate_reproducible",
         "changed", "can be repeated"),
    ],
)  # fmt: skip
def test_the_dataset(dataset: str, theirs: str, expected: str, why: str, tmp_path: Path) -> None:
    model = "target: [sick]\nmodel: {type: classification, algorithm: LogisticRegression}\n"
    data = write_patients(tmp_path / "patients.csv")
    entry = entry_of(
        imported("igel", f"{model}dataset: {dataset}", tmp_path, data=str(data)), f"dataset.{theirs}"
    )
    assert entry.verdict == expected
    assert why in entry.why


def test_columns_that_are_counted_are_named(tmp_path: Path) -> None:
    options = "{index_col: 0, usecols: [0, 1, 2, 4]}"
    model = "target: [sick]\nmodel: {type: classification, algorithm: LogisticRegression}\n"
    data = write_patients(tmp_path / "patients.csv")
    found = imported("igel", f"{model}dataset: {{read_data_options: {options}}}", tmp_path, data=str(data))
    left = {"visit", "town", "weight", "waist", "pulse", "Species"}
    assert set(written(found)["exclude"]) == left


@pytest.mark.parametrize(
    ("kind", "scoring", "metric"),
    [
        ("classification", "f1_macro", "f1_macro"),
        ("regression", "neg_mean_absolute_error", "mae"),
        ("regression", "accuracy", None),
        ("regression", "max_error", None),
    ],
)
def test_scoring_is_the_primary_metric(kind: str, scoring: str, metric: str | None, tmp_path: Path) -> None:
    model = f"model: {{type: {kind}, algorithm: Ridge, cross_validate: {{scoring: {scoring}}}}}\n"
    spec = written(imported("igel", TARGET + model, tmp_path))
    assert spec.get("evaluate", {}).get("metric") == metric


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("dataset: {type: csv}", "config.yaml: the config has no model.type", "classification"),
        (TARGET + "model: {type: clustering}", "yaml:2: model.type is clustering", "table"),
        (TARGET + "model: {type: ImageClassification}", "is ImageClassification", "table"),
        (TARGET + "model: RandomForest", "config.yaml:2: model holds a text", "mapping"),
        (MODEL, "the config names no target", "under target"),
        (MODEL + "target:", "yaml:2: the config names no target but nothing", "under target"),
        (MODEL + "target: [[y]]", "yaml:2: the config names no target but a list", "target"),
        (MODEL + TARGET + "dataset: csv", "config.yaml:3: dataset holds a text", "mapping"),
        (MODEL + TARGET + "dataset: {split: 3}", "dataset.split holds a number", "mapping"),
        (TARGET + "model: {type: regression}", "model.algorithm is missing", "RandomForest"),
        (
            TARGET + "model: {type: regression, algorithm: GradientBosting}",
            "config.yaml:2: igel has no algorithm 'GradientBosting'", "did you mean gradientboosting?",
        ),
    ],
)  # fmt: skip
def test_configs_without_anything_to_learn_are_refused(
    text: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused("igel", text, message, hint)
