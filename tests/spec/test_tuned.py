from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from declarative_ml.models import MODELS
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.schema import spec_schema
from declarative_ml.spec.tuned import searched, tune_faults

SPACES: list[dict[str, Any]] = [
    {},
    {"lightgbm.learning_rate": {"low": 1e-3, "high": 0.3, "log": True}},
    {"num_leaves": {"low": 4, "high": 64, "step": 4}, "extra_trees": {"choices": [True, False]}},
    {"rounds": {"choices": [None, 100, 200]}},
]


@pytest.fixture
def spec_of(tmp_path: Path) -> Callable[..., Spec]:
    def load(text: str = "", **sections: Any) -> Spec:
        whole = {"name": "tuned", "data": {"source": "d.csv"}, "target": "y", **sections}
        path = tmp_path / "spec.yaml"
        path.write_text(text or json.dumps(whole))
        return load_spec(path).spec

    return load


@pytest.mark.parametrize("space", SPACES)
def test_a_space_survives_yaml_and_fits_the_schema(space: dict[str, Any], spec_of: Any) -> None:
    spec = spec_of(tune={"space": space})
    again = spec_of(spec_to_yaml(spec))
    assert again.tune == spec.tune
    assert searched(again) == searched(spec)
    document = {"name": "tuned", "data": {"source": "d.csv"}, "target": "y", "tune": {"space": space}}
    assert [error.message for error in Draft202012Validator(spec_schema()).iter_errors(document)] == []


@pytest.mark.parametrize(
    "tune",
    [
        True,
        {"trials": 0},
        {"metric": "auc"},
        {"space": []},
        {"space": {"num_leaves": {"min": 1}}},
        {"space": {"num_leaves": {"low": "x"}}},
        {"space": {"num_leaves": {"choices": [4]}}},
        {"space": {"num_leaves": 4}},
    ],
)
def test_the_schema_refuses_what_is_none(tune: Any) -> None:
    document = {"name": "tuned", "data": {"source": "d.csv"}, "target": "y", "tune": tune}
    assert not Draft202012Validator(spec_schema()).is_valid(document)


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_suggests_a_space_that_it_can_have(model: str, spec_of: Any) -> None:
    spec = spec_of(model=model, tune={})
    space = searched(spec)[model]
    assert space
    assert list(tune_faults(spec)) == []
    named = {name: span.model_dump(mode="json") for name, span in MODELS.load(model).space.items()}
    assert list(tune_faults(spec_of(model=model, tune={"space": named}))) == []


def test_whole_numbers_are_told_from_others(spec_of: Any) -> None:
    space = {
        "rounds": {"low": 10, "high": 1e2},
        "learning_rate": {"low": 0.1, "high": 1},
        "num_leaves": {"choices": [4, 8]},
    }
    found = searched(spec_of(tune={"space": space}))["lightgbm"]
    assert [found[name].integer for name in space] == [True, False, False]
