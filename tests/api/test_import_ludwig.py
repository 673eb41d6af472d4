"""Ludwig configs: what becomes of each option, and which configs are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from import_cases import case, check_refused, entry_of, imported, written

from declarative_ml.api.import_ludwig import import_ludwig
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.yaml_reader import resolve_scalar

INPUTS = "input_features: [{name: a, type: number}]\n"
OUTPUTS = "output_features: [{name: y, type: binary}]\n"
LAYERS = "combiner: {num_fc_layers: 1, output_size: 8}\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("titanic_small", {"target": {"column": "rescued", "type": "binary"}, "model": "mlp"}),
        ("titanic_scaled", {"model": {"type": "mlp", "layers": [50]}}),
        (
            "titanic_gbm",
            {
                "model": {"type": "lightgbm", "rounds": 20},
                "data": {
                    "source": "data.csv",
                    "split": {
                        "method": "column", "column": "split", "train": "0", "validation": "1", "test": "2",
                    },
                },
            },
        ),
        (
            "titanic_old",
            {
                "model": {
                    "type": "mlp", "layers": [48], "batch_size": 64, "early_stopping": 5, "epochs": 20,
                    "learning_rate": 0.001,
                }
            },
        ),
        (
            "insurance_response",
            {
                "target": {"column": "Response", "type": "binary"},
                "imbalance": "oversample",
                "evaluate": {"threshold": 0.4},
            },
        ),
        (
            "particles_gbm",
            {
                "model": {
                    "type": "lightgbm", "rounds": 50, "early_stopping": 30, "learning_rate": 0.1,
                    "num_leaves": 31, "lambda_l1": 0.25, "lambda_l2": 0.2, "feature_fraction": 0.75,
                    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 255,
                    "cat_smooth": 10.0, "cat_l2": 10.0, "extra_trees": False,
                }
            },
        ),
        ("particles_tabnet", {"evaluate": {"metric": "roc_auc"}}),
        ("wine_multi_task", {"target": {"column": "score", "type": "number"}}),
        ("wine_calibrated", {"imbalance": "weights"}),
        ("accounts_text", {"target": {"column": "account_type", "type": "binary", "positive": "bot"}}),
        ("access_lbfgs", {"model": {"type": "linear", "iterations": 100}}),
        (
            "bikes_datetime",
            {
                "data": {
                    "source": "data.csv",
                    "split": {"method": "time", "column": "day", "validation": 0.1, "test": 0.2},
                },
                "features": {
                    "day": "date",
                    "temperature": {"type": "number", "missing": "median", "scale": "standard"},
                    "humidity": {"type": "number", "missing": "zero", "scale": "standard"},
                    "season": "category",
                    "weather": "category",
                },
                "model": {
                    "type": "mlp", "embedding_size": 6, "weight_decay": 0.01, "epochs": 12,
                    "early_stopping": 12,
                },
            },
        ),
        (
            "churn_hash",
            {
                "data": {
                    "source": "data.csv",
                    "split": {"method": "hash", "validation": 0.166667, "test": 0.166667},
                    "key": "customer_id",
                },
                "features": {"months": {"type": "number", "missing": "median"}, "plan": "category"},
                "imbalance": "weights",
            },
        ),
        (
            "ratings_stratify",
            {
                "data": {
                    "source": "data.csv",
                    "split": {"method": "random", "stratify": "user", "validation": 0.2, "test": 0.2},
                },
                "features": {
                    "user": "category", "year": {"type": "number", "scale": "minmax"}, "title": "text",
                },
                "model": "mlp",
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_written(name: str, expected: dict[str, Any], tmp_path: Path) -> None:
    spec = written(case("ludwig", name).run(tmp_path / "spec.yaml"))
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "theirs", "verdict", "why"),
    [
        ("accounts_text", "input_features[1].encoder.type", "changed", "pairs of words, weighed by TF-IDF"),
        ("accounts_text", "input_features[1].encoder.trainable", "left_out", "Ludwig's encoder"),
        ("accounts_text", "input_features[3].preprocessing.lowercase", "left_out", "lower"),
        ("particles_gbm", "trainer.lerning_rate", "left_out", "did you mean 'learning_rate'?"),
        ("particles_gbm", "trainer.min_data_in_leaf", "left_out", "greater than or equal to 1"),
        ("particles_gbm", "trainer.boosting_type", "changed", "no dart"),
        ("particles_gbm", "trainer.early_stop", "changed", "one every 10 rounds"),
        ("churn_hash", "trianer.epochs", "left_out", "unknown to Ludwig as well: did you mean 'trainer'?"),
        ("churn_hash", "input_features[0].name", "left_out", "it is data.key"),
        ("churn_hash", "combiner.type", "changed", "no ft_transformer"),
        ("wine_multi_task", "output_features[2].dependencies", "left_out", "a spec has one target"),
        ("wine_multi_task", "output_features[0].type", "left_out", "free text"),
        ("ratings_stratify", "input_features[4].name", "left_out", "it is the target"),
        ("ratings_stratify", "input_features[3].type", "left_out", "is a feature already"),
        ("ratings_stratify", "training.epochs", "left_out", "takes a number"),
        ("ratings_stratify", "training.learning_rate", "left_out", "less than or equal to 1"),
        ("ratings_stratify", "training.validation_metric", "left_out", "there are rmse, mae, r2"),
        ("titanic_old", "input_features[1].missing_value_strategy", "left_out", "below preprocessing only"),
        ("insurance_claims", "combiner.num_fc_layers", "carried", ""),
        ("bikes_datetime", "input_features[4].embedding_size", "changed", "one for all columns"),
        ("insurance_response", "input_features[2].name", "changed", "called by its column"),
    ],
)  # fmt: skip
def test_reasons(name: str, theirs: str, verdict: str, why: str, tmp_path: Path) -> None:
    imported = case("ludwig", name).run(tmp_path / "spec.yaml")
    (entry,) = [entry for entry in imported.entries if entry.theirs == theirs]
    assert entry.verdict == verdict
    assert why in entry.why
    assert imported.text.count("\n# ") >= 2


@pytest.mark.parametrize(
    ("text", "theirs", "expected", "why"),
    [
        # The optimizer's decay of weights is AdamW's only where it is AdamW.
        ("trainer: {optimizer: {type: adamw, weight_decay: 0.1}}", "trainer.optimizer.weight_decay",
         "carried", ""),
        ("trainer: {optimizer: {type: adam, weight_decay: 0.1}}", "trainer.optimizer.weight_decay",
         "left_out", "do not compare"),
        ("trainer: {optimizer: {type: adam, weight_decay: 0}}", "trainer.optimizer.weight_decay",
         "carried", ""),
        ("trainer: {regularization_lambda: 0.1}", "trainer.regularization_lambda", "left_out", "compare"),
        # early_stop counts evaluations, the length of training is train_steps where it is given.
        ("trainer: {early_stop: 10}", "trainer.early_stop", "carried", ""),
        ("trainer: {early_stop: 10, checkpoints_per_epoch: 4}", "trainer.early_stop", "changed",
         "Ludwig counts evaluations, 4 an epoch"),
        ("trainer: {early_stop: 10, steps_per_checkpoint: 50}", "trainer.early_stop", "changed", "epochs"),
        ("trainer: {epochs: 3, train_steps: 100}", "trainer.epochs", "left_out", "beside train_steps"),
        # What is off in Ludwig and absent here is the same.
        ("trainer: {gradient_clipping: null}", "trainer.gradient_clipping", "carried", ""),
        ("trainer: {gradient_clipping: {clipglobalnorm: 0.5}}", "trainer.gradient_clipping.clipglobalnorm",
         "left_out", "not clipped"),
        ("trainer: {train_steps: null, epochs: 3}", "trainer.epochs", "carried", ""),
        (LAYERS[:-2] + ", norm: null}", "combiner.norm", "carried", ""),
        (LAYERS[:-2] + ", norm: batch}", "combiner.norm", "left_out", "no normalisation"),
        (LAYERS[:-2] + ", use_bias: true}", "combiner.use_bias", "carried", ""),
        (LAYERS[:-2] + ", use_bias: false}", "combiner.use_bias", "left_out", "has a bias"),
        # A random split of Ludwig does not look at the target, ours does.
        ("preprocessing: {split: {type: random}}", "preprocessing.split.type", "changed", "target's shares"),
        ("preprocessing: {split: {type: random, seed: 3}}", "preprocessing.split.seed", "left_out", "split"),
        ("backend: {type: local}", "backend.type", "carried", ""),
        ("backend: local", "backend", "carried", ""),
        ("backend: ray", "backend", "left_out", "on this machine"),
        # `defaults` hold for inputs, and their loss and decoder for outputs.
        ("defaults: {binary: {loss: {positive_class_weight: 2}}}",
         "defaults.binary.loss.positive_class_weight", "changed", "all of them count equally"),
        ("defaults: {binary: {decoder: {num_fc_layers: 1}}}", "defaults.binary.decoder.num_fc_layers",
         "changed", "one stack here"),
        ("defaults: {number: {encoder: {type: ple, num_bins: 9}}}", "defaults.number.encoder.num_bins",
         "changed", "one for all columns"),
        ("model_type: gbm\ntrainer: {max_depth: 4}", "trainer.max_depth", "changed", "leaves limit a tree"),
        ("model_type: gbm\ntrainer: {extra_trees: false}", "trainer.extra_trees", "carried", ""),
        ("model_type: gbm\ntrainer: {extra_trees: true}", "trainer.extra_trees", "carried", ""),
        ("model_type: gbm\ntrainer: {extra_trees: 3}", "trainer.extra_trees", "left_out", "counterpart"),
    ],
)  # fmt: skip
def test_options(text: str, theirs: str, expected: str, why: str, tmp_path: Path) -> None:
    entry = entry_of(imported("ludwig", INPUTS + OUTPUTS + text, tmp_path), theirs)
    assert entry.verdict == expected
    assert why in entry.why


@pytest.mark.parametrize(
    ("preprocessing", "expected", "verdict", "why"),
    [
        ("most_common: 500", {"max_terms": 500}, "changed", "runs of words count too"),
        ("most_common: 500, tokenizer: ngram", {"max_terms": 500}, "carried", ""),
        ("word_most_common: 500", {"max_terms": 500}, "changed", "runs of words"),
        ("most_common: 0", {}, "left_out", "from 1 to 200,000"),
        ("most_common: many", {}, "left_out", "a whole number"),
        ("char_most_common: 70", {}, "left_out", "as words, not as characters"),
        ("ngram_size: 3, tokenizer: ngram", {"ngrams": 3}, "carried", ""),
        ("ngram_size: 4, tokenizer: ngram", {"ngrams": 3}, "changed", "3 words are the longest"),
        ("ngram_size: 0, tokenizer: ngram", {}, "left_out", "from 1 to 3"),
        ("ngram_size: 3", {}, "left_out", "for the tokenizer ngram only"),
        ("lowercase: true", {}, "carried", ""),
        ("lowercase: false", {}, "left_out", "capitals make no difference"),
        ("compute_idf: true", {}, "carried", ""),
        ("compute_idf: false", {}, "left_out", "rare terms always weigh more"),
        ("tokenizer: space", {}, "changed", "one way to read a text"),
        ("max_sequence_length: 100", {}, "left_out", "read to their end"),
        ("padding: left", {}, "left_out", "counted"),
        ("pretrained_model_name_or_path: bert-base", {}, "left_out", "no pretrained model"),
        ("missing_value_strategy: drop_row", {}, "changed", "no row is dropped"),
        ("fill_value: none", {}, "changed", "not filled"),
        ("colour: red", {}, "left_out", "no counterpart for this option of a text"),
    ],
)
def test_options_of_a_text(
    preprocessing: str, expected: dict[str, Any], verdict: str, why: str, tmp_path: Path
) -> None:
    text = f"input_features: [{{name: a, type: text, preprocessing: {{{preprocessing}}}}}]\n"
    found = imported("ludwig", text + OUTPUTS, tmp_path)
    feature = written(found)["features"]["a"]
    assert feature == ({"type": "text", **expected} if expected else "text")
    key = preprocessing.partition(":")[0]
    entry = entry_of(found, f"input_features[0].preprocessing.{key}")
    assert entry.verdict == verdict
    assert why in entry.why


def test_a_text_that_ludwig_weighs_by_tf_idf_is_the_same_here(tmp_path: Path) -> None:
    text = "input_features: [{name: a, type: text, encoder: {type: tf_idf}}]\n"
    for model in ("", "model_type: gbm\n"):
        found = imported("ludwig", text + OUTPUTS + model, tmp_path, force=True)
        assert entry_of(found, "input_features[0].encoder.type").verdict == "carried"


@pytest.mark.parametrize(
    ("kind", "metric", "ours"),
    [
        ("binary", "accuracy", "accuracy"),
        ("category", "accuracy", "balanced_accuracy"),
        ("category", "accuracy_micro", "accuracy"),
        ("number", "mean_squared_error", "rmse"),
        ("number", "roc_auc", None),
        ("binary", "loss", None),
    ],
)
def test_metrics(kind: str, metric: str, ours: str | None, tmp_path: Path) -> None:
    """Ludwig's accuracy of a category is the mean over its classes."""
    text = f"output_features: [{{name: y, type: {kind}}}]\ntrainer: {{validation_metric: {metric}}}"
    spec = written(imported("ludwig", INPUTS + text, tmp_path))
    assert spec.get("evaluate", {}).get("metric") == ours


@pytest.mark.parametrize(
    ("preprocessing", "ours"),
    [
        ("{missing_value_strategy: fill_with_const}", {"missing": "zero"}),
        ("{missing_value_strategy: fill_with_const, fill_value: 3}", {"missing": 3}),
        ("{fill_value: -1.5}", {"missing": -1.5}),
        ("{fill_value: many}", {"missing": "zero"}),
        ("{missing_value_strategy: fill_with_mean, fill_value: 3}", {"missing": "mean"}),
        ("{missing_value_strategy: drop_row}", {"missing": "median"}),
        ("{normalization: iq}", {"scale": "robust"}),
        ("{normalization: log1p}", {"scale": "quantile"}),
        ("{outlier_strategy: fill_with_mean}", {}),
    ],
)
def test_numbers(preprocessing: str, ours: dict[str, Any], tmp_path: Path) -> None:
    text = f"input_features: [{{name: a, type: number, preprocessing: {preprocessing}}}]\n"
    (feature,) = written(imported("ludwig", text + OUTPUTS, tmp_path))["features"].values()
    assert feature == ({"type": "number", **ours} if ours else "number")


def test_a_default_that_every_feature_overrides_says_so(tmp_path: Path) -> None:
    config = (
        "input_features: [{name: a, type: number, preprocessing: {normalization: minmax}}]\n"
        "defaults: {number: {preprocessing: {normalization: zscore}}}\n"
    )
    found = imported("ludwig", config + OUTPUTS, tmp_path)
    entry = entry_of(found, "defaults.number.preprocessing.normalization")
    assert (entry.verdict, entry.why) == ("left_out", "each number feature says it otherwise")
    assert written(found)["features"]["a"]["scale"] == "minmax"


def test_layers_that_do_not_fit_are_left_out_with_the_reason(tmp_path: Path) -> None:
    text = INPUTS + OUTPUTS + "combiner: {num_fc_layers: 2, output_size: 100000}"
    found = imported("ludwig", text, tmp_path)
    for key in ("num_fc_layers", "output_size"):
        assert "less than or equal to 8192" in entry_of(found, f"combiner.{key}").why
    assert written(found)["model"] == "mlp"


def test_an_option_has_one_value_whatever_two_keys_say(tmp_path: Path) -> None:
    config = INPUTS + OUTPUTS + "preprocessing: {oversample_minority: 1.0, undersample_majority: 0.5}"
    found = imported("ludwig", config, tmp_path)
    assert written(found)["imbalance"] == "oversample"
    entry = entry_of(found, "preprocessing.undersample_majority")
    assert (entry.verdict, entry.why) == ("left_out", "imbalance is oversample already")


def test_credentials_are_not_repeated(tmp_path: Path) -> None:
    found = case("ludwig", "titanic_gbm")
    imported = found.run(tmp_path / "spec.yaml")
    assert "do-not-show-me" in found.path.read_text()
    assert "do-not-show-me" not in imported.text + json.dumps(imported.as_dict())


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (INPUTS + "output_features: [{name: '', type: binary}]", "no text for 'name'", "give it a name"),
        (INPUTS, "the config has no output_features", "lists input_features and output_"),
        (OUTPUTS, "the config has no input_features", "lists input_features"),
        (INPUTS + "output_features: []", "yaml:2: the config has no output_features", "lists"),
        (INPUTS + "output_features: 3", "yaml:2: output_features holds a number", "lists"),
        (INPUTS + "output_features:\n- y", "yaml:3: an output feature holds a text", "mapping"),
        (
            OUTPUTS + "input_features:\n- type: number",
            "config.yaml:3: an input feature has no text for 'name'", "give it a name",
        ),
        (OUTPUTS + "input_features: [{name: a, type: [b]}]", "'type' but a list", "a type"),
        (INPUTS + OUTPUTS + "trainer: fast", "config.yaml:3: trainer holds a text", "mapping"),
        (
            INPUTS + OUTPUTS + "defaults: {number: {preprocessing: 3}}",
            "preprocessing holds a number", "mapping",
        ),
        (INPUTS + OUTPUTS + "model_type: llm", "config.yaml:3: model_type llm", "ecd and gbm"),
        (
            INPUTS + "output_features: [{name: y, type: text}]",
            "no output can be predicted here: 'y' (text)", "binary, category or number",
        ),
        (
            OUTPUTS + "input_features: [{name: i, type: image}]",
            "config.yaml:2: none of the input features has", "number, category",
        ),
        (OUTPUTS + "input_features: [{name: y, type: binary}]", "none of the input", "number"),
    ],
)  # fmt: skip
def test_configs_without_anything_to_learn_are_refused(
    text: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused("ludwig", text, message, hint)


@pytest.mark.parametrize(
    "column",
    [
        "yes",
        "1e3",
        " a ",
        "a: b",
        "#",
        "${env:HOME}",
        "ä\u2028x",
        "null",
        "-",
        "[x]",
        'quo"te',
        "x" * 200,
        "\x07",
    ],
)
def test_any_column_name_is_written_so_that_it_is_read_back(column: str, tmp_path: Path) -> None:
    inputs = [{"name": "a", "type": "number"}, {"name": f"{column}2", "type": "category"}]
    config = json.dumps({"input_features": inputs, "output_features": [{"name": column, "type": "binary"}]})
    spec = load_spec(imported("ludwig", config, tmp_path).path).spec
    assert spec.target.column == column
    assert spec.features != "auto"
    assert f"{column}2" in spec.features


def test_the_data_may_be_elsewhere_or_a_sample(tmp_path: Path) -> None:
    inputs = "input_features: [{name: sepal_length, type: number}]\n"
    config, spec = tmp_path / "config.yaml", tmp_path / "specs" / "iris.yaml"
    config.write_text(inputs + "output_features: [{name: species, type: category}]")
    data = tmp_path / "data.d" / "Iris flowers.csv"
    data.parent.mkdir()
    data.write_text("sepal_length,species\n1,a\n2,b\n")
    found = written(import_ludwig(config, spec, data=str(data)))
    assert (found["data"]["source"], found["name"]) == ("../data.d/Iris flowers.csv", "iris-flowers")
    found = written(import_ludwig(config, spec, data="sample:iris", force=True))
    assert found["data"]["source"] == {"type": "sample", "name": "iris"}
    with pytest.raises(UsageError, match="there is no sample 'irs'"):
        import_ludwig(config, spec, data="sample:irs", force=True)
    with pytest.raises(DataError, match="there is no file"):
        import_ludwig(config, spec, data=str(tmp_path / "no.csv"), force=True)


def test_numbers_in_the_spec_are_numbers_to_every_yaml(tmp_path: Path) -> None:
    options = "{learning_rate: 1.0e-05, optimizer: {type: adamw, weight_decay: 1e-7}}"
    found = imported("ludwig", f"{INPUTS}{OUTPUTS}trainer: {options}", tmp_path)
    assert written(found)["model"] == {"type": "mlp", "learning_rate": 1e-05, "weight_decay": 1e-07}
    assert resolve_scalar("1.0e-05") == 1e-05
