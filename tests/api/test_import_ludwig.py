"""Ludwig configs become specs that validate, and every key of theirs is accounted for exactly once."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from import_cases import leaf_paths, mutated

from declarative_ml.api.import_ludwig import import_ludwig
from declarative_ml.api.import_report import Imported
from declarative_ml.core.errors import DataError, DmlError, SpecError, UsageError
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.yaml_reader import resolve_scalar

CONFIGS = sorted((Path(__file__).parents[1] / "data" / "ludwig").glob("*.yaml"))
ROWS = 150


def write_table(path: Path, config: dict[str, Any], rows: int = ROWS) -> Path:
    """A table with every column that the config names; the outputs depend on the first two inputs."""
    source = random.Random(5)
    inputs, outputs = config["input_features"], config["output_features"]
    columns = {feature.get("column", feature["name"]): feature["type"] for feature in [*inputs, *outputs]}
    targets = {feature.get("column", feature["name"]) for feature in outputs}
    table = {name: [cell(kind, source) for _ in range(rows)] for name, kind in columns.items()}
    signal = [strength(columns, table, row) + source.gauss(0, 0.3) for row in range(rows)]
    for name in targets:
        table[name] = [answer(columns[name], value) for value in signal]
    for name in ("split", "part"):
        table[name] = [[0, 0, 0, 1, 2][row % 5] for row in range(rows)]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows(zip(*table.values()))
    return path


def cell(kind: str, source: random.Random) -> object:
    if source.random() < 0.03 and kind != "date":
        return ""
    if kind in ("number", "numerical"):
        return round(source.gauss(0, 1), 3)
    if kind == "date":
        return f"20{source.randint(10, 20)}-{source.randint(1, 12):02d}-{source.randint(1, 28):02d}"
    return source.choice(["yes", "no"] if kind == "binary" else ["a", "b", "c", "d"])


def strength(columns: dict[str, str], table: dict[str, list[Any]], row: int) -> float:
    values = [table[name][row] for name in list(columns)[:2]]
    return sum(
        value if isinstance(value, float) else {"a": 1.0, "yes": 1.0}.get(value, -0.5) for value in values
    )


def answer(kind: str, value: float) -> object:
    if kind in ("number", "numerical"):
        return round(10 * value, 2)
    return "bot" if value > 0 else "human" if kind == "binary" or value > -1.5 else "other"


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def imported(config: Path, tmp_path: Path) -> Imported:
    data = write_table(tmp_path / "table.csv", yaml.safe_load(config.read_text()))
    return import_ludwig(config, tmp_path / "spec.yaml", data=str(data))


def test_there_are_enough_kinds_of_configs() -> None:
    assert len(CONFIGS) >= 12
    assert all(path.read_text().startswith("# After the structure of ludwig-ai/ludwig") for path in CONFIGS)


def test_every_key_is_in_exactly_one_group(imported: Imported, config: Path) -> None:
    expected = sorted(leaf_paths(yaml.safe_load(config.read_text())))
    groups = imported.as_dict()
    listed = [entry["theirs"] for name in ("carried", "changed", "left_out") for entry in groups[name]]
    assert sorted(listed) == expected
    assert all(entry.why for entry in [*imported.changed, *imported.left_out])
    assert all(entry.ours for entry in [*imported.carried, *imported.changed])
    assert [entry.theirs for entry in imported.left_out if entry.why == "no counterpart"] == []


def test_places_lead_to_the_key(imported: Imported, config: Path) -> None:
    lines = config.read_text().splitlines()
    for entry in imported.entries:
        key = next(part for part in reversed(entry.keys) if isinstance(part, str))
        assert key in lines[entry.place.line - 1], entry


def test_the_spec_is_valid_for_the_data(imported: Imported) -> None:
    loaded = load_spec(imported.path, data=True)
    assert loaded.problems == ()
    assert (imported.path.parent / ".dml" / "spec.v1.json").is_file()


def test_ours_is_what_the_spec_says(imported: Imported) -> None:
    """Where the report names an option with its value, the spec has that value."""
    spec = yaml.safe_load(imported.text)
    model = spec["model"] if isinstance(spec["model"], dict) else {"type": spec["model"]}
    for entry in [*imported.carried, *imported.changed]:
        option, _, value = entry.ours.partition(": ")
        if option.startswith("model.") and " " not in value.strip("[]0123456789, "):
            assert model[option.removeprefix("model.")] == yaml.safe_load(value), entry


def test_without_data_the_spec_names_a_placeholder(config: Path, tmp_path: Path) -> None:
    imported = import_ludwig(config, tmp_path / "spec.yaml")
    assert load_spec(imported.path).spec.data.source is not None
    assert "data.csv" in imported.text
    assert any("no --data was given" in note for note in imported.notes)


def spec_of(name: str, tmp_path: Path) -> dict[str, Any]:
    path = next(path for path in CONFIGS if path.stem == name)
    import_ludwig(path, tmp_path / "spec.yaml")
    spec: dict[str, Any] = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    return spec


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
                    "cat_smooth": 10.0, "cat_l2": 10.0,
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
                "features": {"user": "category", "year": {"type": "number", "scale": "minmax"}},
                "model": "mlp",
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_written(name: str, expected: dict[str, Any], tmp_path: Path) -> None:
    spec = spec_of(name, tmp_path)
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "theirs", "verdict", "why"),
    [
        ("accounts_text", "input_features[1].encoder.trainable", "left_out", "no feature type for free text"),
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
        ("wine_hyperopt", "hyperopt.parameters.\"trainer.learning_rate\".lower", "left_out", "no search"),
        ("ratings_stratify", "input_features[4].name", "left_out", "it is the target"),
        ("ratings_stratify", "input_features[3].type", "left_out", "is a feature already"),
        ("ratings_stratify", "training.epochs", "left_out", "takes a number"),
        ("ratings_stratify", "training.learning_rate", "left_out", "less than or equal to 1"),
        ("ratings_stratify", "training.validation_metric", "left_out", "there are rmse, mae, r2"),
        ("titanic_old", "input_features[1].missing_value_strategy", "left_out", "below preprocessing only"),
        ("insurance_claims", "combiner.num_fc_layers", "carried", ""),
        ("bikes_datetime", "input_features[4].embedding_size", "changed", "one width for all categories"),
        ("insurance_response", "input_features[2].name", "changed", "called by its column"),
    ],
)  # fmt: skip
def test_reasons(name: str, theirs: str, verdict: str, why: str, tmp_path: Path) -> None:
    path = next(path for path in CONFIGS if path.stem == name)
    imported = import_ludwig(path, tmp_path / "spec.yaml")
    (entry,) = [entry for entry in imported.entries if entry.theirs == theirs]
    assert entry.verdict == verdict
    assert why in entry.why
    assert imported.text.count("\n# ") >= 2


def test_an_option_has_one_value_whatever_two_keys_say(tmp_path: Path) -> None:
    config = INPUTS + OUTPUTS + "preprocessing: {oversample_minority: 1.0, undersample_majority: 0.5}"
    (tmp_path / "config.yaml").write_text(config)
    imported = import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml")
    assert yaml.safe_load(imported.text)["imbalance"] == "oversample"
    (entry,) = [entry for entry in imported.left_out if entry.theirs == "preprocessing.undersample_majority"]
    assert entry.why == "imbalance is oversample already"


def test_credentials_are_not_repeated(tmp_path: Path) -> None:
    path = next(path for path in CONFIGS if path.stem == "titanic_gbm")
    imported = import_ludwig(path, tmp_path / "spec.yaml")
    assert "do-not-show-me" in path.read_text()
    assert "do-not-show-me" not in imported.text + json.dumps(imported.as_dict())


INPUTS = "input_features: [{name: a, type: number}]\n"
OUTPUTS = "output_features: [{name: y, type: binary}]\n"


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        ("a: [1", SpecError, "1 problem", "is config.yaml a config of Ludwig?"),
        ("a: 1\na: 2", SpecError, "1 problem", "Ludwig"),
        ("", UsageError, "config.yaml is empty", "YAML config of a Ludwig model"),
        ("- 1\n- 2", UsageError, "config.yaml holds a list, not a mapping", "YAML config"),
        ("just words", UsageError, "holds a text, not a mapping", "YAML config"),
        (INPUTS, UsageError, "the config has no output_features", "lists input_features and output_"),
        (OUTPUTS, UsageError, "the config has no input_features", "lists input_features"),
        (INPUTS + "output_features: []", UsageError, "yaml:2: the config has no output_features", "lists"),
        (INPUTS + "output_features: 3", UsageError, "yaml:2: output_features holds a number", "lists"),
        (INPUTS + "output_features:\n- y", UsageError, "yaml:3: an output feature holds a text", "mapping"),
        (
            OUTPUTS + "input_features:\n- type: number", UsageError,
            "config.yaml:3: an input feature has no text for 'name'", "give it a name",
        ),
        (OUTPUTS + "input_features: [{name: a, type: [b]}]", UsageError, "'type' but a list", "a type"),
        (INPUTS + OUTPUTS + "trainer: fast", UsageError, "config.yaml:3: trainer holds a text", "mapping"),
        (
            INPUTS + OUTPUTS + "defaults: {number: {preprocessing: 3}}", UsageError,
            "preprocessing holds a number", "mapping",
        ),
        (INPUTS + OUTPUTS + "model_type: llm", UsageError, "config.yaml:3: model_type llm", "ecd and gbm"),
        (
            INPUTS + "output_features: [{name: y, type: text}]", UsageError,
            "no output can be predicted here: 'y' (text)", "binary, category or number",
        ),
        (
            OUTPUTS + "input_features: [{name: i, type: image}]", UsageError,
            "config.yaml:2: none of the input features has", "number, category",
        ),
        (OUTPUTS + "input_features: [{name: y, type: binary}]", UsageError, "none of the input", "number"),
    ],
)  # fmt: skip
def test_broken_configs_are_refused(
    text: str, kind: type[DmlError], message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(text)
    with pytest.raises(kind) as caught:
        import_ludwig(Path("config.yaml"), Path("spec.yaml"))
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not Path("spec.yaml").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "is not UTF-8"), (b"a" * 1_000_001, "is larger than"), (None, "there is no file")],
)
def test_unreadable_configs_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        import_ludwig(path, tmp_path / "spec.yaml")


def test_a_column_that_the_data_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(INPUTS + OUTPUTS)
    (tmp_path / "table.csv").write_text("A,y\n1,0\n")
    with pytest.raises(DataError, match=r"table.csv has no column 'a' \(config.yaml:1\)") as caught:
        import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml", data=str(tmp_path / "table.csv"))
    assert "did you mean 'A'?" in str(caught.value.hint)
    assert not (tmp_path / "spec.yaml").exists()


@pytest.mark.parametrize(
    "column",
    [
        "yes",
        "1e3",
        "",
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
    config = {
        "input_features": [{"name": "a", "type": "number"}],
        "output_features": [{"name": column, "type": "binary"}],
    }
    config["input_features"].append({"name": f"{column}2", "type": "category"})
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    if column == "":
        with pytest.raises(UsageError, match="no text for 'name'"):
            import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml")
        return
    imported = import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml")
    spec = load_spec(imported.path).spec
    assert spec.target.column == column
    assert spec.features != "auto"
    assert f"{column}2" in spec.features


def test_the_data_may_be_elsewhere_or_a_sample(tmp_path: Path) -> None:
    inputs = "input_features: [{name: sepal_length, type: number}]\n"
    (tmp_path / "config.yaml").write_text(inputs + "output_features: [{name: species, type: category}]")
    (tmp_path / "data.d").mkdir()
    (tmp_path / "data.d" / "Iris flowers.csv").write_text("sepal_length,species\n1,a\n2,b\n")
    data, spec = str(tmp_path / "data.d" / "Iris flowers.csv"), tmp_path / "specs" / "iris.yaml"
    imported = import_ludwig(tmp_path / "config.yaml", spec, data=data)
    assert yaml.safe_load(imported.text)["data"]["source"] == "../data.d/Iris flowers.csv"
    assert yaml.safe_load(imported.text)["name"] == "iris-flowers"
    imported = import_ludwig(tmp_path / "config.yaml", spec, data="sample:iris", force=True)
    assert yaml.safe_load(imported.text)["data"]["source"] == {"type": "sample", "name": "iris"}
    with pytest.raises(UsageError, match="there is no sample 'irs'"):
        import_ludwig(tmp_path / "config.yaml", spec, data="sample:irs", force=True)
    with pytest.raises(DataError, match="there is no file"):
        import_ludwig(tmp_path / "config.yaml", spec, data=str(tmp_path / "no.csv"), force=True)


def test_the_output_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        import_ludwig(CONFIGS[0], tmp_path / "spec.yaml")
    assert (tmp_path / "spec.yaml").read_text() == "mine"
    import_ludwig(CONFIGS[0], tmp_path / "spec.yaml", force=True)
    assert (tmp_path / "spec.yaml").read_text() != "mine"


@pytest.mark.parametrize("name", ["titanic_gbm", "census_concat", "wine_hyperopt", "bikes_datetime"])
def test_imported_specs_run(name: str, tmp_path: Path, dml: Callable[..., Any]) -> None:
    """Binary, multiclass and regression, from the config to test metrics."""
    path = next(path for path in CONFIGS if path.stem == name)
    data = write_table(tmp_path / "table.csv", yaml.safe_load(path.read_text()), rows=240)
    spec = tmp_path / "spec.yaml"
    done = dml("import", "ludwig", path, "--data", data, "-o", spec)
    assert done.code == 0, done.err
    assert dml("validate", spec).code == 0
    options = ("--set", "explain=none", "--set", "track=false", "--set", "resources.cpu=1")
    outcome = dml("run", spec, "--format", "json", "-q", *options)
    assert outcome.code == 0, outcome.err
    metrics = json.loads(outcome.out)["metrics"]["test"]
    assert metrics.get("r2", metrics.get("accuracy")) > 0.35


def test_the_command_prints_the_report(tmp_path: Path, dml: Callable[..., Any]) -> None:
    path = next(path for path in CONFIGS if path.stem == "particles_tabnet")
    data = write_table(tmp_path / "table.csv", yaml.safe_load(path.read_text()))
    spec = tmp_path / "spec.yaml"
    text = dml("import", "ludwig", path, "--data", data, "-o", spec).out
    for part in ("carried over\n", "changed\n", "left out\n", "there is no tabnet", "next: dml run"):
        assert part in text
    assert max(map(len, text.splitlines()[2:-1])) <= 110
    again = dml("import", "ludwig", path, "--data", data, "-o", spec)
    assert (again.code, "exists already" in again.err) == (2, True)
    forced = dml(
        "import", "ludwig", path, "--data", data, "-o", spec, "--force", "--format", "json", "--name", "tabs"
    )
    found = json.loads(forced.out)
    assert set(found) == {"tool", "config", "spec", "carried", "changed", "left_out", "notes"}
    assert found["changed"][0]["line"] > 0
    assert "name: tabs" in spec.read_text()
    assert dml("import", "ludwig", path, "-o", spec, "--force", "-q").out == ""


def test_a_broken_config_ends_without_a_traceback(tmp_path: Path, dml: Callable[..., Any]) -> None:
    (tmp_path / "config.yaml").write_text("input_features: [\n")
    outcome = dml("import", "ludwig", tmp_path / "config.yaml", "-o", tmp_path / "spec.yaml")
    assert outcome.code == 3
    assert "config.yaml:2:1" in outcome.err
    assert "Traceback" not in outcome.err


def test_numbers_in_the_spec_are_numbers_to_every_yaml(tmp_path: Path) -> None:
    config = (
        INPUTS + OUTPUTS + "trainer: {learning_rate: 1.0e-05, optimizer: {type: adamw, weight_decay: 1e-7}}"
    )
    (tmp_path / "config.yaml").write_text(config)
    imported = import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml")
    model = yaml.safe_load(imported.text)["model"]
    assert model == {"type": "mlp", "learning_rate": 1e-05, "weight_decay": 1e-07}
    assert resolve_scalar("1.0e-05") == 1e-05


@pytest.mark.parametrize("seed", range(8))
def test_junk_is_imported_or_refused_but_never_a_crash(config: Path, seed: int, tmp_path: Path) -> None:
    """Whatever a config holds: a valid spec with every key accounted for, or an error with a hint."""
    junk = mutated(yaml.safe_load(config.read_text()), random.Random(seed))
    (tmp_path / "config.yaml").write_text(json.dumps(junk))
    try:
        imported = import_ludwig(tmp_path / "config.yaml", tmp_path / "spec.yaml")
    except UsageError as error:
        assert error.hint
        return
    listed = [entry.theirs for entry in imported.entries]
    assert sorted(listed) == sorted(leaf_paths(junk))
    assert load_spec(imported.path).spec.target.column
