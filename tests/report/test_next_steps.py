"""Suggestions follow from the options of a spec and the numbers of its run, and each is a valid change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.report.next_steps import suggestions
from declarative_ml.spec.dump import spec_options, spec_to_yaml
from declarative_ml.spec.load import load_spec

NUMBER = {"target": {"column": "length", "type": "number"}}
BINARY = {"target": {"column": "wild", "positive": "yes"}}
NAMED = {"features": {"length": "number", "colour": "category"}}

CASES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({}, [{"model": "auto"}, {"tune": {"trials": 20}}]),
    ({"model": "lightgbm", "tune": {"trials": 3}}, [{"model": "auto"}]),
    ({"model": "auto"}, [{"model": {"type": "auto", "quality": "best"}}, {"tune": {"trials": 20}}]),
    ({"model": {"type": "auto", "quality": "best"}, "tune": {"trials": 3}}, []),
    (NUMBER, [{"model": "auto"}, {"tune": {"trials": 20}}, {"evaluate.interval": 0.9}]),
    (
        {**BINARY, "tune": {"trials": 3}},
        [{"model": "auto"}, {"evaluate.threshold": {"maximize": "f1", "value": None}}],
    ),
    ({**BINARY, "tune": {"trials": 3}, "evaluate": {"threshold": 0.3}}, [{"model": "auto"}]),
    ({**NAMED, "tune": {"trials": 3}}, [{"model": "auto"}, {"evaluate.slices": ["colour"]}]),
]


@pytest.mark.parametrize(("sections", "expected"), CASES, ids=[json.dumps(case) for case, _ in CASES])
def test_suggestions_are_valid_changes(
    sections: dict[str, Any], expected: list[dict[str, Any]], flowers: Callable[..., Path], tmp_path: Path
) -> None:
    path = flowers(**sections)
    loaded = load_spec(path)
    found = suggestions(spec_options(loaded.spec))
    assert [dict(each.overrides) for each in found] == expected
    whole = path.with_name("whole.yaml")
    whole.write_text(spec_to_yaml(loaded.spec))
    for each in found:
        assert each.why.endswith((".", "?"))
        overrides = [f"{name}={json.dumps(value)}" for name, value in each.overrides.items()]
        for given in (path, whole):  # as a person wrote it, and with all defaults written out
            assert spec_options(load_spec(given, overrides=overrides).spec) != spec_options(loaded.spec)


@pytest.mark.parametrize(
    ("primary", "bounds", "rival", "as_well"),
    [
        ("roc_auc", [0.70, 0.80], 0.71, True),
        ("roc_auc", [0.70, 0.80], 0.69, False),
        ("rmse", [2.0, 3.0], 2.9, True),
        ("rmse", [2.0, 3.0], 3.1, False),
    ],
)
def test_a_linear_model_that_does_as_well_is_named_first(
    primary: str, bounds: list[float], rival: float, as_well: bool, flowers: Callable[..., Path]
) -> None:
    options = spec_options(load_spec(flowers(model="lightgbm")).spec)
    result = {
        "primary": primary,
        "intervals": {"test": {primary: bounds}},
        "baselines": {"test": {"linear": {primary: rival}}},
    }
    first = suggestions(options, "binary", result)[0]
    assert (first.overrides == {"model": "linear"}) is as_well
