import pytest

from declarative_ml.spec.normalize import complete, expand_shorthands
from declarative_ml.spec.yaml_reader import read_yaml

_FILE = {"type": "file", "path": "x.csv"}


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("data: {source: x.csv}", {"data": {"source": _FILE}}),
        ("data: {sources: {a: x.csv, b: {type: sample}}}",
         {"data": {"sources": {"a": _FILE, "b": {"type": "sample"}}}}),
        ("data: {split: hash}", {"data": {"split": {"method": "hash"}}}),
        ("data: {split: {test: 0.3}}", {"data": {"split": {"method": "random", "test": 0.3}}}),
        ("data: {split: {method: files, test: x.csv, validation: 0.1}}",
         {"data": {"split": {"method": "files", "test": _FILE, "validation": 0.1}}}),
        ("data: {split: {method: files, test: x.csv, validation: x.csv}}",
         {"data": {"split": {"method": "files", "test": _FILE, "validation": _FILE}}}),
        ("data: {split: {method: column, column: part, test: x.csv}}",
         {"data": {"split": {"method": "column", "column": "part", "test": "x.csv"}}}),
        ("features: {a: number, b: {type: date}}",
         {"features": {"a": {"type": "number"}, "b": {"type": "date"}}}),
        ("features: auto", {"features": "auto"}),
        ("target: Churn", {"target": {"column": "Churn"}}),
        ("target: 2019", {"target": {"column": 2019}}),
        ("model: mlp", {"model": {"type": "mlp"}}),
        ("model: {type: ensemble, members: [mlp, {type: linear}]}",
         {"model": {"type": "ensemble", "members": [{"type": "mlp"}, {"type": "linear"}]}}),
        ("evaluate: {threshold: 0.3}", {"evaluate": {"threshold": {"value": 0.3}}}),
        ("explain: false", {"explain": {"method": "none"}}),
        ("explain: true", {"explain": {"method": "shap"}}),
        ("explain: none", {"explain": {"method": "none"}}),
        ("track: false", {"track": {"enabled": False}}),
        ("model: ${env:MODEL}", {"model": "${env:MODEL}"}),
        ("model: 5", {"model": 5}),
        ("features: {a: null}", {"features": {"a": None}}),
        ("data: 5", {"data": 5}),
        ("data: {split: {method: [x]}}", {"data": {"split": {"method": ["x"]}}}),
        ("model: {type: ensemble, members: 5}", {"model": {"type": "ensemble", "members": 5}}),
    ],
)  # fmt: skip
def test_shorthands_expand_once_and_for_all(short: str, full: object) -> None:
    node, _ = read_yaml(short, "spec.yaml")
    assert node is not None
    expanded = complete(expand_shorthands(node))
    assert expanded.plain() == full
    assert complete(expand_shorthands(expanded)).plain() == full


def test_an_expanded_value_stays_where_it_was_written() -> None:
    node, _ = read_yaml("name: x\ntarget: Churn\n", "spec.yaml")
    assert node is not None
    column = expand_shorthands(node).value["target"].value["column"]
    assert (column.place.line, column.place.column, column.place.width) == (2, 9, 5)
