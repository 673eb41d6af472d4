"""The rules that are read from an encoder's graph."""

import json

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from declarative_ml.core.schema import ColumnRule
from declarative_ml.features import FEATURES
from declarative_ml.formats.lite.encoder_trace import run_encoder
from declarative_ml.formats.lite.preprocessing import (
    Missing,
    OnlyEncoder,
    Scale,
    Table,
    Value,
    read_preprocessing,
)
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.steps.model_graph import encode_columns
from declarative_ml.steps.raw import Column

NUMBERS = [0.5, 3.0, None, 7.25, 1e6, -4.0, 2.0, 2.5]
WORDS = ["a", "b", "", "a", "1:a", "b", ":", "a"]
YES = ["yes", "no", "", "yes", "no", "no", "yes", "no"]
DATES = ["2024-01-02", "2023-05-06T10:00:00", "", "2024-02-03"] * 2


def encoder_of(columns):
    """The encoder of columns, name -> (options, values), and its raw rows."""
    graph, made, rows = OnnxGraph(), [], {}
    for name, (options, values) in columns.items():
        feature = FEATURES.parse(options)
        kind = pa.float32() if feature.raw_dtype == "float32" else pa.string()
        array = pa.array([None if value == "" else value for value in values], type=kind)
        statistics = feature.accumulator()
        statistics.update(array, np.arange(len(values), dtype=np.uint64))
        made.append(Column(name, feature, feature.fit(statistics), {}, ColumnRule(type="text")))
        filled = [np.nan if value is None else value for value in values]
        rows[name] = np.array(filled, dtype=np.float32 if kind == pa.float32() else object).reshape(-1, 1)
    names = encode_columns(graph, made)
    layouts = [column.feature.layout(column.name, column.state) for column in made]
    for kind in ("raw", "scaled", "codes"):
        width = sum(len(getattr(layout, kind)) for layout in layouts)
        if width:
            graph.output(getattr(names, kind), kind, "int64" if kind == "codes" else "float32", width)
    return graph.build("encoder", {}), rows


@pytest.mark.parametrize("scale", ["robust", "quantile", "standard", "minmax", "none"])
@pytest.mark.parametrize("missing", ["median", "zero", -2.5])
def test_a_number_is_read_and_done_again(scale, missing):
    encoder, rows = encoder_of({"x": ({"type": "number", "scale": scale, "missing": missing}, NUMBERS)})
    found = read_preprocessing(encoder, rows)
    kinds = [type(rule) for rule in found.tensors["scaled"]]
    assert kinds == [Value if scale == "none" else Scale, Missing]
    assert found.unread() == []
    nasty = {"x": np.array([[np.nan], [np.inf], [-np.inf], [3e38], [-1e9], [0.1]], dtype=np.float32)}
    for name, tensor in run_encoder(encoder, nasty).items():
        np.testing.assert_allclose(found.tensor(name, nasty), tensor, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("together", [1, 3])
def test_texts_are_read_as_tables(together):
    columns = {f"w{number}": ({"type": "category", "min_count": 1}, WORDS) for number in range(together)}
    encoder, rows = encoder_of({**columns, "yes": ({"type": "binary"}, YES)})
    found = read_preprocessing(encoder, rows)
    for rule in found.tensors["codes"]:
        assert isinstance(rule, Table)
        assert {key for key, _ in rule.entries} == {"", "a", "b", "1:a", ":"}
    unseen = {name: np.array([["never"], [""], [":"], ["no"]], dtype=object) for name in rows}
    for name, tensor in run_encoder(encoder, unseen).items():
        np.testing.assert_array_equal(found.tensor(name, unseen), tensor)


def test_a_date_is_left_to_the_encoder_and_the_rest_is_read():
    encoder, rows = encoder_of(
        {
            "day": ({"type": "date"}, DATES),
            "x": ({"type": "number"}, NUMBERS),
            "w": ({"type": "category"}, WORDS),
        }
    )
    found = read_preprocessing(encoder, rows)
    assert found.unread() == ["day"]
    rules = found.tensors["scaled"]
    assert {rule.columns for rule in rules if isinstance(rule, OnlyEncoder)} == {("day",)}
    assert [type(rule) for rule in rules if not isinstance(rule, OnlyEncoder)] == [Scale, Missing]
    assert rules[-1] == Missing("x")


def test_a_rule_that_is_not_what_the_encoder_does_is_not_given():
    encoder, rows = encoder_of({"w": ({"type": "category", "min_count": 1}, WORDS)})
    # Casts count as harmless, and this one is not.
    last = next(node for node in encoder.graph.node if "codes" in node.output)
    last.output[0] = "whole"
    encoder.graph.node.append(helper.make_node("Cast", ["whole"], ["codes"], to=TensorProto.BOOL))
    encoder.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    found = read_preprocessing(encoder, rows)
    assert found.tensors["codes"] == (OnlyEncoder(("w",)),)


def test_the_json_holds_no_nan():
    encoder, rows = encoder_of({"x": ({"type": "number"}, NUMBERS), "yes": ({"type": "binary"}, YES)})
    rules = [rule.as_json() for rule in read_preprocessing(encoder, rows).tensors["raw"]]
    assert json.loads(json.dumps(rules, allow_nan=False)) == rules
    assert rules[0] == {"rule": "value", "column": "x", "missing": None}
    assert rules[1]["entries"] == {"": None, "no": 0.0, "yes": 1.0} and rules[1]["other"] is None
