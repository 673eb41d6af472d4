from typing import Any

import pytest

from declarative_ml.core.errors import Problem
from declarative_ml.spec.merge import merge, read_override
from declarative_ml.spec.positions import Node
from declarative_ml.spec.yaml_reader import read_yaml


def node(text: str) -> Node:
    found, problems = read_yaml(text, "spec.yaml")
    assert problems == []
    assert found is not None
    return found


def merged(base: str, overlay: str) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    return merge(node(base), node(overlay), problems).plain(), problems


@pytest.mark.parametrize(
    ("base", "overlay", "result"),
    [
        ("{a: {b: 1, c: 2}}", "{a: {c: 3, d: 4}}", {"a": {"b": 1, "c": 3, "d": 4}}),
        ("{a: 1}", "{b: 2}", {"a": 1, "b": 2}),
        ("{a: [1, 2]}", "{a: [3]}", {"a": [3]}),
        ("{a: {b: 1}}", "{a: 2}", {"a": 2}),
        ("{a: 2}", "{a: {b: 1}}", {"a": {"b": 1}}),
        ("{a: 1, b: 2}", "{a: null}", {"b": 2}),
        ("{a: {b: 1, c: 2}}", "{a: {b: ~}}", {"a": {"c": 2}}),
        ("{a: 1}", "{b: null}", {"a": 1}),
        ("{a: 1}", "{b: {c: null, d: 2}}", {"a": 1, "b": {"d": 2}}),
        ("{a: [1]}", "{a+: [2, 3]}", {"a": [1, 2, 3]}),
        ("{}", "{a+: [2]}", {"a": [2]}),
        ("{}", "{b: {a+: [2]}}", {"b": {"a": [2]}}),
        ("{m: {type: mlp, epochs: 5}}", "{m: {type: linear}}", {"m": {"type": "linear"}}),
        ("{m: {type: mlp, epochs: 5}}", "{m: {type: mlp, dropout: 0}}",
         {"m": {"type": "mlp", "epochs": 5, "dropout": 0}}),
        ("{m: {epochs: 5}}", "{m: {type: mlp}}", {"m": {"epochs": 5, "type": "mlp"}}),
        ("{s: {method: random, test: 0.2}}", "{s: {method: time, column: d}}",
         {"s": {"method": "time", "column": "d"}}),
        ("{s: {format: csv, path: a}}", "{s: {format: parquet}}", {"s": {"format": "parquet"}}),
        ("{target: {column: Churn, type: binary}}", "{target: {type: multiclass}}",
         {"target": {"column": "Churn", "type": "multiclass"}}),
    ],
)  # fmt: skip
def test_the_merge_rule(base: str, overlay: str, result: object) -> None:
    assert merged(base, overlay) == (result, [])


def test_only_lists_can_be_appended_to() -> None:
    result, problems = merged("{a: {b: 1}}", "{a: {b+: [2]}}")
    assert result == {"a": {"b": 1}}
    assert [(p.code, p.message) for p in problems] == [
        ("DML020", "'b+' appends to a list, but a.b is not a list")
    ]


def test_merging_keeps_the_places_of_both_sides() -> None:
    result = merge(node("a: 1\nb: {c: 2}\n"), node("\n\nb: {d: 3}\n"), [])
    assert result.value["b"].value["c"].place.line == 2
    assert result.value["b"].value["d"].place.line == 3


@pytest.mark.parametrize(
    ("argument", "overlay"),
    [
        ("seed=7", {"seed": 7}),
        ("model.learning_rate=1e-3", {"model": {"learning_rate": 0.001}}),
        ("model.layers=[64, 64]", {"model": {"layers": [64, 64]}}),
        ("description=a = b", {"description": "a = b"}),
        ("target.positive='1'", {"target": {"positive": "1"}}),
        ('features."a.b"=number', {"features": {"a.b": "number"}}),
        ("features.'Total Charges'.type=number", {"features": {"Total Charges": {"type": "number"}}}),
        ("exclude+=[x]", {"exclude+": ["x"]}),
        ("weight=", {"weight": None}),
        ("weight=null", {"weight": None}),
    ],
)
def test_an_override_is_an_overlay(argument: str, overlay: object) -> None:
    found, problems = read_override(argument)
    assert problems == []
    assert found is not None
    assert found.plain() == overlay
    assert {each.place.file for _, each in found.walk()} == {f"--set {argument}"}


@pytest.mark.parametrize(
    "argument", ["seed", "=7", "a..b=1", ".a=1", "a.=1", "features.'x=1", "a=[1", "a=!!int 1"]
)
def test_a_bad_override_is_named(argument: str) -> None:
    found, problems = read_override(argument)
    assert found is None
    assert {problem.code for problem in problems} == {"DML011"}
    assert problems[0].file == f"--set {argument}"
