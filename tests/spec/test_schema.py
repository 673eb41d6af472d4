import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.spec.document import Spec
from declarative_ml.spec.schema import schema_text, spec_schema

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
_MINIMAL: dict[str, Any] = {"name": "churn", "data": {"source": "table.csv"}, "target": "Churn"}


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


_GOOD = [
    "{}",
    "target: {column: Churn, type: binary, positive: 1}",
    "target: 2019",
    "model: lightgbm",
    "model: {type: mlp, layers: [64], learning_rate: 0.001, epochs: '${env:EPOCHS}'}",
    "model: {type: ensemble, members: [mlp, {type: linear}], weights: equal}",
    "features: auto",
    "features: {a: number, b: {type: category, max_levels: 9}, c: {type: number, missing: 0}}",
    "data: {source: {type: file, path: [a.csv, b.csv]}, split: hash, key: id}",
    "data: {source: a.csv, split: {test: 0.3, stratify: Churn}}",
    "data: {source: a.csv, split: {method: files, test: t.csv, validation: 0.1}}",
    "data: {sources: {a: a.csv, b: {type: sample, name: iris}}, sql: select 1}",
    "data: {source: a.csv, missing: ['', -999]}",
    "evaluate: {metric: roc_auc, slices: [a, {b: 1}], threshold: 0.3}",
    "evaluate: {threshold: {maximize: f1}}",
    "explain: false",
    "explain: {rows: 10}",
    "track: false",
    "track: {uri: '${env:URI}', register: x}",
    "weight: null",
    "seed: '${env:SEED:-7}'",
    "profiles: {prod: {model: mlp, weight: null, exclude+: [a]}}",
    "profiles: {prod: {model: {rounds: 50}, data: {split: {test: 0.5}}}}",
    "extends: tabular-binary",
    "extends: [base.yaml, {use: tabular-binary, with: {positive: 1}, allow: ['env:HOME']}]",
    "{extends: base.yaml, model: {rounds: 50}, exclude+: [a], weight: null}",
    "{params: {a: {type: string, default: x}}, model: {rounds: '${params.a}'}}",
]


@pytest.mark.parametrize("text", _GOOD)
def test_what_people_may_write_is_accepted(text: str, validator: Any) -> None:
    document = {**_MINIMAL, **yaml.safe_load(text)}
    assert [error.message for error in validator.iter_errors(document)] == []


_BAD = [
    "seeed: 7",
    "seed: x",
    "refit: 'yes'",
    "name: Telco Churn",
    "name: null",
    "model: lightgmb",
    "model: {type: mlp, epochs: 0}",
    "model: {epochs: 1}",
    "model: {type: mlp, rounds: 1}",
    "features: {a: nmber}",
    "features: {a: null}",
    "target: {type: binary}",
    "data: {source: a.csv, split: {method: time}}",
    "data: {source: a.csv, split: {test: 20}}",
    "data: {source: {path: a.csv}}",
    "evaluate: {metric: auc}",
    "evaluate: {threshold: 2}",
    "deploy: {}",
    "profiles: {prod: {seeed: 1}}",
    "profiles: {prod: {model: {roundz: 1}}}",
    "extends: {with: {a: 1}}",
    "extends: {use: a, wiht: {}}",
    "{extends: a, seeed: 1}",
    "{extends: a, evaluate: {metric: auc}}",
    "params: {a: {type: text}}",
    "params: {a: {default: 1}}",
]


@pytest.mark.parametrize("text", _BAD)
def test_mistakes_are_refused(text: str, validator: Any) -> None:
    assert not validator.is_valid({**_MINIMAL, **yaml.safe_load(text)})


def test_the_file_is_up_to_date() -> None:
    assert (ROOT / "schemas" / "spec.v1.json").read_text() == schema_text(), "run `make regen`"


def test_the_schema_is_the_same_each_time() -> None:
    assert schema_text() == schema_text()
    assert json.loads(schema_text()) == spec_schema()


def test_every_key_of_the_document_is_described() -> None:
    definitions = Spec.model_json_schema(by_alias=True)
    models = {"Spec": definitions, **definitions["$defs"]}
    ours = ["Spec", "Data", "Target", "Evaluate", "Threshold", "Explain", "Track", "Resources", "Ensemble"]
    ours += [name for name in models if name.endswith("Split")]
    undescribed = [
        f"{name}.{key}"
        for name in ours
        for key, value in models[name]["properties"].items()
        if "description" not in value and "const" not in value
    ]
    assert undescribed == []
