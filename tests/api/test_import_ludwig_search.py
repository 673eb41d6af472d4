"""Ludwig's section `hyperopt` as `tune`: the space, the trials, the metric, and what has no counterpart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from import_cases import case, cases, check_refused, entry_of, imported, written

MLP = """
input_features: [{name: a, type: number}, {name: c, type: category}, {name: t, type: text}]
output_features: [{name: y, type: binary, column: why}, {name: z, type: number}]
"""
GBM = f"{MLP}model_type: gbm\n"
LINEAR = f"{MLP}trainer: {{optimizer: {{type: lbfgs}}}}\n"
RATE = "trainer.learning_rate: {space: loguniform, lower: 0.001, upper: 0.1}"
SEARCHES = [found for found in cases("ludwig") if "hyperopt" in found.config]


def search(text: str) -> str:
    return f"hyperopt: {{parameters: {{{text}}}}}\n"


@pytest.mark.parametrize(
    ("name", "tune"),
    [
        (
            "income_random_search",
            {
                "trials": 16,
                "metric": "roc_auc",
                "space": {
                    "mlp.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
                    "mlp.layers": {"choices": [[32] * depth for depth in range(2, 9)]},
                },
            },
        ),
        (
            "income_grid_search",
            {
                "trials": 16,
                "metric": "roc_auc",
                "space": {
                    "mlp.learning_rate": {"choices": [0.001, 0.003, 0.007, 0.01]},
                    "mlp.layers": {"choices": [[16] * depth for depth in (2, 4, 6, 8)]},
                },
            },
        ),
        (
            "complaints_gbm_search",
            {
                "trials": 10,
                "metric": "log_loss",
                "space": {
                    "lightgbm.learning_rate": {"choices": [0.005, 0.01, 0.02, 0.025]},
                    "lightgbm.num_leaves": {"low": 8, "high": 128, "log": True},
                    "lightgbm.feature_fraction": {"low": 0.5, "high": 1.0, "step": 0.25},
                },
            },
        ),
        (
            "tickets_concat_search",
            {
                "trials": 10,
                "space": {
                    "mlp.dropout": {"low": 0.0, "high": 0.1},
                    "mlp.learning_rate": {"low": 2e-05, "high": 0.001, "log": True},
                    "mlp.batch_size": {"choices": [64, 128, 256, 512, 1024]},
                    "mlp.layers": {
                        "choices": [[128], [256], [128] * 2, [256] * 2, [128] * 3, [256] * 3],
                    },
                },
            },
        ),
        (
            "reviews_old_search",
            {
                "metric": "accuracy",
                "space": {
                    "mlp.learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
                    "mlp.embedding_size": {"choices": [4, 16]},
                },
            },
        ),
        (
            "wine_hyperopt",
            {
                "trials": 20,
                "metric": "rmse",
                "space": {
                    "mlp.learning_rate": {"low": 1e-05, "high": 0.1, "log": True},
                    "mlp.layers": {"choices": [[32, 32], [64, 64], [128, 128]]},
                },
            },
        ),
        ("orders_nested_search", None),
    ],
)  # fmt: skip
def test_what_is_searched(name: str, tune: dict[str, Any] | None, tmp_path: Path) -> None:
    found = written(case("ludwig", name).run(tmp_path / "spec.yaml")).get("tune")
    assert found == tune
    assert list(found or {}) == list(tune or {})


def test_the_time_of_a_search_is_the_time_of_the_run(tmp_path: Path) -> None:
    found = case("ludwig", "tickets_concat_search").run(tmp_path / "spec.yaml")
    assert written(found)["resources"] == {"time": "2h"}
    assert "the whole run" in entry_of(found, "hyperopt.executor.time_budget_s").why


@pytest.mark.parametrize("found", SEARCHES, ids=lambda found: found.path.stem)
def test_the_report_says_what_the_spec_says(found: Any, tmp_path: Path) -> None:
    report = found.run(tmp_path / "spec.yaml")
    tune = written(report).get("tune", {})
    said = [entry.ours.partition(": ") for entry in report.entries if entry.ours.startswith("tune.")]
    for path, _, value in said:
        section, option = path.removeprefix("tune.").partition(".")[::2]
        if option.endswith(".layers"):
            assert value == f"{len(tune['space'][option]['choices'])} stacks"
        else:
            ours = tune[section][option] if option else tune[section]
            assert ours == yaml.safe_load(value)
    named = {path.removeprefix("tune.space.") for path, _, _ in said if path.startswith("tune.space.")}
    assert named == set(tune.get("space", {}))


@pytest.mark.parametrize(
    ("name", "theirs", "verdict", "why"),
    [
        ("complaints_gbm_search", "executor.scheduler.type", "changed", "in place of async_hyperband"),
        ("complaints_gbm_search", "executor.scheduler.max_t", "left_out", "Ludwig's scheduler"),
        ("complaints_gbm_search", "executor.type", "left_out", "on this machine"),
        ("complaints_gbm_search", "executor.cpu_resources_per_trial", "left_out", "resources.cpu"),
        ("complaints_gbm_search", 'parameters."trainer.max_depth".upper', "changed", "leaves limit a tree"),
        ("complaints_gbm_search", 'parameters."trainer.max_depth".upper', "changed", "includes its end"),
        ("complaints_gbm_search", 'parameters."trainer.boosting_type".space', "left_out", "boosted trees"),
        ("complaints_gbm_search", 'parameters."trainer.learning_rate".space', "carried", ""),
        ("complaints_gbm_search", "search_alg.type", "carried", ""),
        ("complaints_gbm_search", "search_alg.random_state_seed", "left_out", "one seed"),
        ("complaints_gbm_search", "metric", "carried", ""),
        ("income_grid_search", "executor.num_samples", "changed", "16 points of the grid, 1 each"),
        ("income_grid_search", 'parameters."trainer.learning_rate".values', "changed", "as the grid has"),
        ("income_grid_search", "search_alg.type", "changed", "in place of variant_generator"),
        ("income_random_search", "executor.num_samples", "changed", "the first trial is the model"),
        ("income_random_search", "goal", "carried", ""),
        ("orders_nested_search", 'parameters.".".space', "left_out", "whole sections are not chosen"),
        ("orders_nested_search", 'parameters."note.num_filters".space', "left_out", "Ludwig's encoder"),
        ("orders_nested_search", 'parameters."trainer.decay_rate".lower', "left_out", "rises and falls"),
        (
            "orders_nested_search", 'parameters."defaults.text.preprocessing.most_common".space', "left_out",
            "options of features are not searched",
        ),
        ("orders_nested_search", "metric", "left_out", "nothing that it searches is an option here"),
        ("reviews_old_search", 'parameters."training.learning_rate".steps', "changed", "there are no steps"),
        ("reviews_old_search", 'parameters."training.optimizer.type".values', "left_out", "AdamW"),
        ("reviews_old_search", 'parameters."opinion.embedding_size".values', "left_out", "encoder"),
        ("reviews_old_search", "split", "carried", ""),
        ("reviews_old_search", "sampler.type", "changed", "in place of random"),
        ("tickets_concat_search", 'parameters."combiner.output_size".space', "changed", "one option here"),
        ("wine_hyperopt", "executor.pruner", "changed", "worse than half"),
    ],
)  # fmt: skip
def test_reasons(name: str, theirs: str, verdict: str, why: str, tmp_path: Path) -> None:
    entry = entry_of(case("ludwig", name).run(tmp_path / "spec.yaml"), f"hyperopt.{theirs}")
    assert entry.verdict == verdict
    assert why in entry.why


@pytest.mark.parametrize(
    ("space", "span", "why"),
    [
        ("{space: uniform, lower: 0, upper: 0.5}", {"low": 0.0, "high": 0.5}, ""),
        ("{space: quniform, lower: 0, upper: 0.5, q: 0.1}", {"low": 0.0, "high": 0.5, "step": 0.1}, ""),
        (
            "{space: quniform, lower: 0.05, upper: 0.5, q: 0.1}", {"low": 0.05, "high": 0.5, "step": 0.1},
            "counted from low",
        ),
        ("{space: quniform, lower: 0, upper: 0.5, q: 2}", {"low": 0.0, "high": 0.5}, "longer than the range"),
        ("{space: uniform, lower: 0, upper: 1}", None, "model.dropout of mlp: 1 should be less than 1"),
        ("{space: uniform, lower: 0.5, upper: 0.1}", None, "nothing lies between 0.5 and 0.1"),
        ("{space: loguniform, lower: 0, upper: 0.5}", None, "with 'log', 'low' must be above 0"),
        ("{space: randn, mean: 0.2, sd: 0.1}", None, "not a normal distribution"),
        ("{space: sample_from, lower: 0}", None, "no space of the kind sample_from"),
        ("{lower: 0, upper: 0.5}", {"low": 0.0, "high": 0.5}, ""),
        ("{space: choice, categories: [0, 0.1, 0.1]}", {"choices": [0.0, 0.1]}, ""),
        ("{space: choice, values: [0, 0.1]}", {"choices": [0.0, 0.1]}, ""),
        (
            "{space: choice, categories: [0, 0.1, 1, many, null, {a: 1}]}", {"choices": [0.0, 0.1]},
            "1 should be less than 1; many should be a valid number",
        ),
        ("{space: choice, categories: [5, true]}", None, "5 should be less than 1; true"),
        ("{space: choice, categories: []}", None, "it lists no values"),
        ("{space: choice, categories: 3}", None, "it lists no values"),
        ("{space: uniform, lower: 0, uppper: 0.5}", None, "a range needs two numbers, lower and upper"),
        ("3", None, "a parameter is a mapping with its space"),
    ],
)  # fmt: skip
def test_spaces_of_a_number(space: str, span: dict[str, Any] | None, why: str, tmp_path: Path) -> None:
    found = imported("ludwig", MLP + search(f"combiner.dropout: {space}, {RATE}"), tmp_path)
    assert written(found)["tune"]["space"].get("mlp.dropout") == span
    entry = next(entry for entry in found.entries if "combiner.dropout" in entry.theirs)
    assert entry.verdict == ("left_out" if span is None else "changed" if why else "carried")
    assert why in entry.why


@pytest.mark.parametrize(
    ("space", "span"),
    [
        ("{space: randint, lower: 16, upper: 129}", {"low": 16, "high": 128}),
        ("{space: lograndint, lower: 16, upper: 129, base: 2}", {"low": 16, "high": 128, "log": True}),
        ("{space: qrandint, lower: 16, upper: 128, q: 16}", {"low": 16, "high": 128, "step": 16}),
        ("{space: qlograndint, lower: 16, upper: 128, q: 16}", {"low": 16, "high": 128, "log": True}),
        ("{space: uniform, lower: 15.5, upper: 128.5}", {"low": 16, "high": 128}),
        ("{space: quniform, lower: 16, upper: 128, q: 0.5}", {"low": 16, "high": 128}),
        ("{space: choice, categories: [64.0, '128', 0.5]}", {"choices": [64, 128]}),
    ],
)
def test_spaces_of_a_whole_number(space: str, span: dict[str, Any], tmp_path: Path) -> None:
    found = imported("ludwig", MLP + search(f"trainer.batch_size: {space}"), tmp_path)
    assert written(found)["tune"]["space"] == {"mlp.batch_size": span}


def test_whole_numbers_of_an_option_that_takes_others(tmp_path: Path) -> None:
    config = GBM + search("trainer.lambda_l1: {space: randint, lower: 0, upper: 5}")
    assert written(imported("ludwig", config, tmp_path))["tune"]["space"] == {
        "lightgbm.lambda_l1": {"low": 0.0, "high": 4.0, "step": 1}
    }


def test_optuna_includes_the_end_of_every_range(tmp_path: Path) -> None:
    for kind in ("int", "randint"):
        parameter = f"trainer.batch_size: {{space: {kind}, lower: 32, upper: 256}}"
        config = f"{MLP}hyperopt: {{executor: {{type: optuna}}, parameters: {{{parameter}}}}}"
        found = imported("ludwig", config, tmp_path, force=True)
        assert written(found)["tune"]["space"]["mlp.batch_size"] == {"low": 32, "high": 256}


@pytest.mark.parametrize(
    ("config", "key", "ours", "why"),
    [
        (MLP, "trainer.early_stop", "mlp.early_stopping", "in epochs"),
        (MLP, "trainer.epochs", "mlp.epochs", ""),
        (MLP, "c.embedding_size", "mlp.embedding_size", "one for all columns"),
        (MLP, "c.encoder.embedding_size", "mlp.embedding_size", "one for all columns"),
        (MLP, "defaults.category.encoder.embedding_size", "mlp.embedding_size", "one for all columns"),
        (MLP, "a.encoder.num_bins", "mlp.bins", "one for all columns"),
        (MLP, "t.encoder.embedding_size", None, "options of features are not searched"),
        (MLP, "a.preprocessing.most_common", None, "options of features are not searched"),
        (MLP, "preprocessing.text.most_common", None, "options of features are not searched"),
        (MLP, "defaults.image.encoder.embedding_size", None, "options of features are not searched"),
        (MLP, "y.loss.weight", None, "the target and its loss are the same"),
        (MLP, "y.decoder.dropout", None, "one dropout for all layers"),
        (MLP, "z.num_fc_layers", None, "a spec has one target, here why"),
        (MLP, "trainer.optimizer.weight_decay", None, "do not compare"),
        (MLP, "trainer.optimizer.lr", None, "AdamW"),
        (MLP, "trainer.learning_rate_scheduler.decay_rate", None, "rises and falls"),
        (MLP, "trainer.lerning_rate", None, "did you mean 'learning_rate'?"),
        (MLP, "trainer", None, "whole sections"),
        (MLP, "combiner.type", None, "one kind of model is searched at a time"),
        (MLP, "combiner.norm", None, "no normalisation layers"),
        (MLP, "trianer.learning_rate", None, "did you mean 'trainer'?"),
        (MLP, "nobody.dropout", None, "begins with no section and no feature"),
        (f"{MLP}combiner: {{type: tabnet}}\n", "combiner.output_size", None, "of the combiner tabnet"),
        (f"{MLP}trainer: {{optimizer: {{type: adamw}}}}\n", "trainer.optimizer.weight_decay",
         "mlp.weight_decay", ""),
        (GBM, "trainer.num_boost_round", "lightgbm.rounds", ""),
        (GBM, "trainer.early_stop", "lightgbm.early_stopping", "one every 50 rounds"),
        (GBM, "combiner.num_fc_layers", None, "trees have no combiner"),
        (GBM, "c.embedding_size", None, "options of features are not searched"),
        (GBM, "trainer.bagging_seed", None, "one seed"),
        (LINEAR, "trainer.optimizer.max_iter", "linear.iterations", ""),
        (LINEAR, "trainer.learning_rate", None, "L-BFGS"),
    ],
)  # fmt: skip
def test_which_option_a_parameter_is(
    config: str, key: str, ours: str | None, why: str, tmp_path: Path
) -> None:
    space = "{space: int, lower: 2, upper: 4}"
    found = imported("ludwig", config + search(f"{key}: {space}"), tmp_path)
    assert list(written(found).get("tune", {}).get("space", {})) == ([] if ours is None else [ours])
    (entry,) = [entry for entry in found.entries if entry.keys[-1] == "lower"]
    assert entry.verdict == ("left_out" if ours is None else "changed" if why else "carried")
    assert why in entry.why


@pytest.mark.parametrize(
    ("config", "parameters", "layers", "why"),
    [
        ("", "combiner.output_size: {space: choice, categories: [8, 16]}", None, "num_fc_layers says"),
        (
            "combiner: {num_fc_layers: 2}\n", "combiner.output_size: {space: int, lower: 8, upper: 12}",
            [[size] * 2 for size in range(8, 13)], "each combination",
        ),
        (
            "combiner: {num_fc_layers: 1}\n", "combiner.output_size: {space: int, lower: 16, upper: 256}",
            [[16], [32], [64], [128], [256]], "some widths",
        ),
        (
            "combiner: {output_size: 8}\n", "combiner.num_fc_layers: {space: randint, lower: 0, upper: 3}",
            [[8], [8, 8]], "at least one layer",
        ),
        (
            "combiner: {num_fc_layers: 1, output_size: 8}\n",
            "y.num_fc_layers: {space: choice, categories: [0, 1]}, y.output_size: {categories: [4, 6]}",
            [[8], [8, 4], [8, 6]], "each combination",
        ),
        (
            "",
            "combiner.fc_layers: {space: choice, categories: [[{output_size: 64}, {output_size: 32}], [8]]},"
            " combiner.num_fc_layers: {space: choice, categories: [1, 2]}",
            [[64, 32], [8]], "each combination",
        ),
        (
            "combiner: {fc_layers: [{output_size: 4}]}\n",
            "combiner.num_fc_layers: {space: choice, categories: [1, 2]}", None, "beside fc_layers",
        ),
        ("", "combiner.num_fc_layers: {space: choice, categories: [2, 2.5, x]}", None, "model.layers"),
        (
            "", "combiner.num_fc_layers: {space: int, lower: 1, upper: 8},"
            " combiner.output_size: {space: choice, categories: [1, 2, 3, 4, 5, 6, 7, 8, 9]}",
            None, "72 stacks of layers are too many",
        ),
        (
            "combiner: {num_fc_layers: 1}\n", "combiner.output_size: {categories: [8, 16, 10000]}",
            [[8], [16]], "less than or equal to 8192",
        ),
    ],
)  # fmt: skip
def test_depths_and_widths(
    config: str, parameters: str, layers: list[list[int]] | None, why: str, tmp_path: Path
) -> None:
    found = imported("ludwig", MLP + config + search(f"{parameters}, {RATE}"), tmp_path)
    space = written(found)["tune"]["space"]
    assert space.get("mlp.layers", {}).get("choices") == layers
    entries = [entry for entry in found.entries if "fc_layers" in entry.theirs or "_size" in entry.theirs]
    assert any(why in entry.why or why in entry.ours for entry in entries)


def test_a_choice_of_one_is_the_options_value(tmp_path: Path) -> None:
    parameters = (
        "trainer.batch_size: {space: choice, categories: [64]}, "
        "combiner.activation: {space: choice, categories: [leakyRelu, swish]}, "
        f"y.output_size: {{space: choice, categories: [9, 9]}}, {RATE}"
    )
    found = imported("ludwig", f"{MLP}combiner: {{}}\n" + search(parameters), tmp_path)
    assert written(found)["model"] == {"type": "mlp", "batch_size": 64, "activation": "silu"}
    assert "one value is no choice" in entry_of(found, 'hyperopt.parameters."trainer.batch_size".space').why
    entry = entry_of(found, 'hyperopt.parameters."combiner.activation".space')
    assert "leakyRelu has no counterpart" in entry.why


def test_an_option_is_searched_once(tmp_path: Path) -> None:
    parameters = "training.learning_rate: {space: choice, categories: [0.1, 0.2]}"
    found = imported("ludwig", MLP + search(f"{RATE}, {parameters}"), tmp_path)
    assert written(found)["tune"]["space"] == {"mlp.learning_rate": {"low": 0.001, "high": 0.1, "log": True}}
    entry = entry_of(found, 'hyperopt.parameters."training.learning_rate".space')
    assert entry.why == "tune.space.mlp.learning_rate is searched already"


@pytest.mark.parametrize(
    ("options", "tune", "theirs", "verdict", "why"),
    [
        ("metric: accuracy, goal: maximize", {"metric": "accuracy"}, "goal", "carried", ""),
        ("metric: accuracy, goal: minimize", {"metric": "accuracy"}, "goal", "left_out", "maximizes"),
        ("metric: loss", {"metric": "log_loss"}, "metric", "carried", ""),
        ("metric: r2", {}, "metric", "left_out", "there are accuracy, balanced_accuracy"),
        ("goal: minimize", {}, "goal", "left_out", "knows which direction"),
        ("output_feature: combined", {}, "output_feature", "carried", ""),
        ("output_feature: why", {}, "output_feature", "carried", ""),
        ("output_feature: z, metric: loss", {}, "output_feature", "left_out", "the target is why"),
        ("output_feature: z, metric: loss", {}, "metric", "left_out", "measures another output"),
        ("split: test", {}, "split", "changed", "nor the test rows"),
        ("executor: {num_samples: 1}", {"trials": 2}, "executor.num_samples", "changed", "from 2 to 200"),
        ("executor: {num_samples: 999}", {"trials": 200}, "executor.num_samples", "changed", "to 200"),
        ("executor: {num_samples: few}", {}, "executor.num_samples", "left_out", "is a number"),
        ("sampler: {num_samples: 7}", {"trials": 7}, "sampler.num_samples", "changed", "first trial"),
        ("executor: ray", {}, "executor", "left_out", "on this machine"),
        ("executor: {gpu_resources_per_trial: 0}", {}, "executor.gpu_resources_per_trial", "carried", ""),
        ("executor: {gpu_resources_per_trial: 1}", {}, "executor.gpu_resources_per_trial", "left_out", "GPU"),
        ("executor: {time_budget_s: 5}", {}, "executor.time_budget_s", "left_out", "10 seconds at least"),
        ("executor: {sampler: tpe}", {}, "executor.sampler", "carried", ""),
        ("executor: {sampler: gp}", {}, "executor.sampler", "changed", "in place of gp"),
        ("executor: {storage: 'sqlite:///x.db'}", {}, "executor.storage", "left_out", "goes on where it"),
        ("search_alg: {type: bohb, max_concurrent: 2}", {}, "search_alg.max_concurrent", "left_out",
         "an option of Ludwig's search"),
        ("metrik: accuracy", {}, "metrik", "left_out", "did you mean 'metric'?"),
    ],
)  # fmt: skip
def test_settings(
    options: str, tune: dict[str, Any], theirs: str, verdict: str, why: str, tmp_path: Path
) -> None:
    found = imported("ludwig", f"{MLP}hyperopt: {{parameters: {{{RATE}}}, {options}}}", tmp_path)
    assert {**written(found)["tune"], "space": 0} == {**tune, "space": 0}
    entry = entry_of(found, f"hyperopt.{theirs}")
    assert entry.verdict == verdict
    assert why in entry.why


def test_loss_of_a_number_is_its_root(tmp_path: Path) -> None:
    config = "input_features: [{name: a, type: number}]\noutput_features: [{name: y, type: number}]\n"
    for metric in ("loss", "mean_squared_error"):
        text = f"{config}hyperopt: {{parameters: {{{RATE}}}, metric: {metric}, goal: minimize}}"
        found = imported("ludwig", text, tmp_path, force=True)
        assert written(found)["tune"]["metric"] == "rmse"
        assert "ranks alike" in entry_of(found, "hyperopt.metric").why


def test_trials_of_a_grid_are_its_points(tmp_path: Path) -> None:
    parameters = (
        "trainer.learning_rate: {space: grid_search, values: [0.1, 0.2, 0.3]}, "
        "combiner.dropout: {space: uniform, lower: 0, upper: 0.5}"
    )
    found = imported("ludwig", MLP + search(parameters), tmp_path)
    assert written(found)["tune"]["trials"] == 3
    config = f"{MLP}hyperopt: {{executor: {{num_samples: 4}}, parameters: {{{parameters}}}}}"
    assert written(imported("ludwig", config, tmp_path, force=True))["tune"]["trials"] == 12


def test_without_held_out_rows_nothing_is_searched(tmp_path: Path) -> None:
    split = "preprocessing: {split: {probabilities: [0.8, 0, 0.2]}}\n"
    found = imported("ludwig", MLP + split + search(RATE), tmp_path)
    assert "tune" not in written(found)
    assert "none for validation" in entry_of(found, 'hyperopt.parameters."trainer.learning_rate".space').why


@pytest.mark.parametrize("text", ["hyperopt: null", "hyperopt: {}", "hyperopt: {parameters: null}"])
def test_an_empty_search_is_none(text: str, tmp_path: Path) -> None:
    assert "tune" not in written(imported("ludwig", MLP + text, tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hyperopt: fast", "config.yaml:4: hyperopt holds a text"),
        ("hyperopt: {parameters: [1]}", "config.yaml:4: parameters holds a list"),
    ],
)
def test_a_search_that_is_no_mapping_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused("ludwig", MLP + text, message, "mapping")


@pytest.mark.parametrize("found", SEARCHES, ids=lambda found: found.path.stem)
def test_imported_searches_run(found: Any, tmp_path: Path, dml: Callable[..., Any]) -> None:
    """Two trials of each, and then a fit; one has nothing to search."""
    spec = tmp_path / "spec.yaml"
    done = dml("import", "ludwig", found.path, "--data", found.table(tmp_path, 200), "-o", spec)
    assert done.code == 0, done.err
    is_searched = "tune" in yaml.safe_load(spec.read_text())
    options = ["explain=none", "track=false", "resources.cpu=1", "data.split.validation=0.2"]
    options += ["tune.trials=2"] if is_searched else ["model.epochs=5"]
    flags = [word for option in options for word in ("--set", option)]
    outcome = dml("run", spec, "--format", "json", "-q", *flags)
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    trials = [step["status"] for step in result["steps"] if ".trial" in step["id"]]
    assert trials == (["run", "run"] if is_searched else [])
    metrics = result["metrics"]["test"]
    assert metrics.get("r2", metrics.get("roc_auc")) > 0.6
