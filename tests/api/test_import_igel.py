"""igel configs become specs that validate, and every key of theirs is accounted for exactly once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from import_cases import leaf_paths, mutated

from declarative_ml.api.import_igel import import_igel
from declarative_ml.api.import_report import Imported
from declarative_ml.core.errors import DataError, DmlError, SpecError, UsageError
from declarative_ml.spec.load import load_spec

CONFIGS = sorted((Path(__file__).parents[1] / "data" / "igel").glob("*.yaml"))
BY_NAME = {path.stem: path for path in CONFIGS}


def write_patients(path: Path, rows: int = 200, delimiter: str = ",") -> Path:
    """Numbers with gaps, a category, a counter, and targets that depend on them."""
    source = random.Random(3)
    lines = ["visit,age,mass,town,sick,weight,waist,pulse,Species"]
    for row in range(rows):
        age, mass = source.gauss(50, 15), source.gauss(25, 5)
        signal = (age - 50) / 15 + (mass - 25) / 5 + source.gauss(0, 0.4)
        kind = "setosa" if signal < -1 else "virginica" if signal > 1 else "versicolor"
        shown = "" if source.random() < 0.05 else f"{age:.1f}"
        town = source.choice(["Köln", "Bonn", "Trier"])
        lines.append(
            f"{row},{shown},{mass:.2f},{town},{int(signal > 0)},{70 + 10 * signal:.1f},{80 + 5 * signal:.1f},"
            f"{source.randint(50, 99)},{kind}"
        )
    text = "\n".join(lines).replace(",", delimiter) + "\n"
    path.write_text(text, encoding="latin-1" if delimiter == ";" else "utf-8")
    return path


def data_for(config: Path, folder: Path) -> str:
    delimiter = ";" if config.stem == "boosting_options" else ","
    return str(write_patients(folder / "patients.csv", delimiter=delimiter))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def imported(config: Path, tmp_path: Path) -> Imported:
    return import_igel(config, tmp_path / "spec.yaml", data=data_for(config, tmp_path))


def test_there_are_enough_kinds_of_configs() -> None:
    assert len(CONFIGS) >= 6
    assert all(path.read_text().startswith("# After the structure of nidhaloff/igel") for path in CONFIGS)


def test_every_key_is_in_exactly_one_group(imported: Imported, config: Path) -> None:
    groups = imported.as_dict()
    listed = [entry["theirs"] for name in ("carried", "changed", "left_out") for entry in groups[name]]
    assert sorted(listed) == sorted(leaf_paths(yaml.safe_load(config.read_text())))
    assert all(entry.why for entry in [*imported.changed, *imported.left_out])
    assert all(entry.ours for entry in [*imported.carried, *imported.changed])
    assert [entry.theirs for entry in imported.left_out if entry.why == "no counterpart"] == []


def test_the_spec_is_valid_for_the_data(imported: Imported) -> None:
    assert load_spec(imported.path, data=True).problems == ()


def test_without_data_the_spec_is_valid_as_well(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / config.name).write_text(config.read_text())
    if config.stem == "support_vectors":  # names its data itself
        write_patients(folder / "patients.csv")
    imported = import_igel(folder / config.name, tmp_path / "spec.yaml")
    assert load_spec(imported.path).spec.name == config.stem.replace("_", "-")
    named = config.stem == "support_vectors"
    assert any("no --data was given" in note for note in imported.notes) is not named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "random_forest",
            {
                "data": {
                    "source": "patients.csv", "split": {"method": "random", "test": 0.2, "stratify": True}
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
        ("grid_search", {"model": "lightgbm", "data": {"source": "patients.csv"}}),
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
    import_igel(BY_NAME[name], tmp_path / "spec.yaml", data=data_for(BY_NAME[name], tmp_path))
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "theirs", "verdict", "why"),
    [
        ("random_forest", "model.algorithm", "changed", "boosted here, not averaged"),
        ("random_forest", "model.arguments.n_estimators", "left_out", "are not rounds of boosting"),
        ("random_forest", "model.arguments.max_depth", "left_out", "leaves limit a tree"),
        ("random_forest", "dataset.preprocess.scale.method", "left_out", "trees need no scale"),
        ("random_forest", "dataset.split.stratify", "changed", "igel does not stratify"),
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
        ("grid_search", "model.hyperparameter_search.method", "left_out", "no search over options"),
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
    imported = import_igel(BY_NAME[name], tmp_path / "spec.yaml", data=data_for(BY_NAME[name], tmp_path))
    (entry,) = [entry for entry in imported.entries if entry.theirs == theirs]
    assert entry.verdict == verdict
    assert why in entry.why


def test_reading_options_reach_the_source(tmp_path: Path) -> None:
    config = BY_NAME["boosting_options"]
    import_igel(config, tmp_path / "spec.yaml", data=data_for(config, tmp_path))
    data = yaml.safe_load((tmp_path / "spec.yaml").read_text())["data"]
    assert data["source"] == {"type": "file", "path": "patients.csv", "delimiter": ";", "encoding": "latin-1"}
    assert data["missing"][-2:] == ["-1", "missing"]
    assert "" in data["missing"]


def test_numbers_need_data_to_be_named(tmp_path: Path) -> None:
    imported = import_igel(BY_NAME["logistic_regression"], tmp_path / "spec.yaml")
    assert yaml.safe_load(imported.text)["features"] == "auto"
    (entry,) = [entry for entry in imported.changed if entry.theirs == "dataset.preprocess.scale.method"]
    assert "with --data only" in entry.why


TARGET = "target: [y]\n"
MODEL = "model: {type: classification, algorithm: RandomForest}\n"


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        ("model: {", SpecError, "1 problem", "a config of igel?"),
        ("[]", UsageError, "config.yaml holds a list", "igel model"),
        ("dataset: {type: csv}", UsageError, "config.yaml: the config has no model.type", "classification"),
        (TARGET + "model: {type: clustering}", UsageError, "yaml:2: model.type is clustering", "table"),
        (TARGET + "model: {type: ImageClassification}", UsageError, "is ImageClassification", "table"),
        (TARGET + "model: RandomForest", UsageError, "config.yaml:2: model holds a text", "mapping"),
        (MODEL, UsageError, "the config names no target", "under target"),
        (MODEL + "target:", UsageError, "yaml:2: the config names no target but nothing", "under target"),
        (MODEL + "target: [[y]]", UsageError, "yaml:2: the config names no target but a list", "target"),
        (MODEL + TARGET + "dataset: csv", UsageError, "config.yaml:3: dataset holds a text", "mapping"),
        (MODEL + TARGET + "dataset: {split: 3}", UsageError, "dataset.split holds a number", "mapping"),
        (TARGET + "model: {type: regression}", UsageError, "model.algorithm is missing", "RandomForest"),
        (
            TARGET + "model: {type: regression, algorithm: GradientBosting}", UsageError,
            "config.yaml:2: igel has no algorithm 'GradientBosting'", "did you mean gradientboosting?",
        ),
    ],
)  # fmt: skip
def test_broken_configs_are_refused(
    text: str, kind: type[DmlError], message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(text)
    with pytest.raises(kind) as caught:
        import_igel(Path("config.yaml"), Path("spec.yaml"))
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not Path("spec.yaml").exists()


def test_a_target_that_the_data_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(MODEL + "target: [ill]")
    data = str(write_patients(tmp_path / "patients.csv"))
    with pytest.raises(DataError, match=r"has no column 'ill' \(config.yaml:2\)"):
        import_igel(tmp_path / "config.yaml", tmp_path / "spec.yaml", data=data)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("with_data", [False, True], ids=["alone", "data"])
def test_junk_is_imported_or_refused_but_never_a_crash(
    config: Path, seed: int, with_data: bool, tmp_path: Path
) -> None:
    junk = mutated(yaml.safe_load(config.read_text()), random.Random(seed))
    (tmp_path / "config.yaml").write_text(json.dumps(junk))
    data = data_for(config, tmp_path)
    try:
        imported = import_igel(
            tmp_path / "config.yaml", tmp_path / "spec.yaml", data=data if with_data else None
        )
    except (UsageError, DataError) as error:
        assert error.hint
        return
    assert sorted(entry.theirs for entry in imported.entries) == sorted(leaf_paths(junk))
    assert load_spec(imported.path, data=with_data).spec.target.column


@pytest.mark.parametrize(
    "name", ["random_forest", "neural_network", "logistic_regression", "boosting_options"]
)
def test_imported_specs_run(name: str, tmp_path: Path, dml: Callable[..., Any]) -> None:
    spec = tmp_path / "spec.yaml"
    done = dml("import", "igel", BY_NAME[name], "--data", data_for(BY_NAME[name], tmp_path), "-o", spec)
    assert done.code == 0, done.err
    assert "carried over" in done.out
    assert dml("validate", spec).code == 0
    options = ("--set", "explain=none", "--set", "track=false", "--set", "resources.cpu=1")
    outcome = dml("run", spec, "--format", "json", "-q", *options)
    assert outcome.code == 0, outcome.err
    metrics = json.loads(outcome.out)["metrics"]["test"]
    assert metrics.get("r2", metrics.get("accuracy")) > 0.7
