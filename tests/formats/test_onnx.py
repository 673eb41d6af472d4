"""The graph as ONNX: smaller, for another opset, optimised, in two halves; run, and held against itself."""

import logging
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tickets import train

from declarative_ml.core.errors import DataError
from declarative_ml.formats.onnx import Onnx
from declarative_ml.formats.onnx_core import OnnxCore
from declarative_ml.formats.parity import measure
from declarative_ml.formats.rewrite.smaller import (
    LARGE,
    large_weights,
    with_float16_weights,
    with_integer_weights,
)
from declarative_ml.formats.rewrite.versions import absent_operators, with_opset


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    root = tmp_path_factory.mktemp("tickets")
    return lambda *args: train(root, *args)[1]


def parity_of(wanted, original, folder):
    assert wanted.refuse(original) is None
    wanted.write(original, folder)
    return measure(original, wanted.open(original, folder), wanted.precision)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "onnx"),
        ({"quantize": "dynamic"}, "onnx-int8"),
        ({"quantize": "float16"}, "onnx-float16"),
        ({"optimize": True}, "onnx-optimized"),
        ({"opset": 21}, "onnx-opset21"),
        ({"quantize": "dynamic", "optimize": True, "opset": 22}, "onnx-int8-optimized-opset22"),
    ],
)
@pytest.mark.parametrize("target", ["solved", "cost"])
def test_every_variant_answers_as_the_original_does(tickets, tmp_path, options, name, target):
    original, wanted = tickets(target, "mlp"), Onnx(**options)
    parity = parity_of(wanted, original, tmp_path)
    assert wanted.name == name
    assert parity.holds, parity
    assert parity.nasty_rows > 30


def test_without_options_it_is_the_file_that_ships(tickets, tmp_path):
    original = tickets("solved", "linear")
    Onnx().write(original, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == original.content


@pytest.mark.parametrize(("quantize", "share"), [("dynamic", 0.5), ("float16", 0.65)])
def test_smaller_weights_make_a_smaller_file(tickets, tmp_path, quantize, share):
    original = tickets("solved", "mlp")
    Onnx(quantize=quantize).write(original, tmp_path)
    assert (tmp_path / "model.onnx").stat().st_size < share * len(original.content)


@pytest.mark.parametrize(
    "options", [{"quantize": "dynamic"}, {"quantize": "float16"}, {"optimize": True}, {"opset": 21}]
)
def test_inputs_outputs_and_metadata_stay_and_bytes_repeat(tickets, tmp_path, options):
    original = tickets("solved", "mlp")
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        Onnx(**options).write(original, tmp_path / name)
        contents.append((tmp_path / name / "model.onnx").read_bytes())
    assert contents[0] == contents[1]
    made = onnx.load_model_from_string(contents[0])
    for ends in ("input", "output"):
        kinds = [
            [(v.name, v.type.tensor_type.elem_type) for v in getattr(m.graph, ends)]
            for m in (made, original.model)
        ]
        assert kinds[0] == kinds[1]
    assert {p.key: p.value for p in made.metadata_props} == {
        p.key: p.value for p in original.model.metadata_props
    }


@pytest.mark.parametrize("model", ["lightgbm", "linear"])
@pytest.mark.parametrize("quantize", ["dynamic", "float16"])
def test_trees_and_small_models_are_refused(tickets, model, quantize):
    assert "nothing would be smaller" in Onnx(quantize=quantize).refuse(tickets("solved", model))


def test_an_opset_without_operators_of_the_model_is_refused(tickets):
    original = tickets("solved", "linear")
    assert absent_operators(original.model, 20) == []
    reason = Onnx(opset=19).refuse(original)
    assert reason == "opset 19 has no RegexFullMatch, StringConcat, StringSplit, which the model is made of"


def test_a_model_of_numbers_alone_goes_down_to_an_old_opset(tickets, tmp_path):
    original = tickets("cost", "lightgbm", ("team", "opened", "urgent", "note"))
    assert parity_of(Onnx(opset=17), original, tmp_path).max_difference == 0
    assert Onnx().facts(tmp_path)["opset"]["ai.onnx"] == 17
    assert Onnx(opset=15).refuse(original) == "the model cannot be converted to opset 15: no way for Identity"


def test_what_has_no_adapter_is_told(tickets):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy")
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], noop_with_empty_axes=1)
    axes = helper.make_tensor_value_info("axes", TensorProto.INT64, [1])
    model = helper.make_model(
        helper.make_graph([node], "g", [x, axes], [y]), opset_imports=[helper.make_opsetid("", 18)]
    )
    with pytest.raises(DataError, match="cannot be converted to opset 12: "):
        with_opset(model, 12)


def test_optimised_models_use_standard_operators_only(tickets, tmp_path):
    original = tickets("solved", "mlp")
    Onnx(optimize=True).write(original, tmp_path)
    made = onnx.load(tmp_path / "model.onnx")
    assert {entry.domain for entry in made.opset_import} == {"", "ai.onnx.ml"}
    assert len(made.graph.node) < len(original.model.graph.node)


def table_model(values, operator="MatMul"):
    """x [N, 32] times the constant `values`, under a name."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", values.shape[0]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", values.shape[1]])
    node = helper.make_node(operator, ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(values, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("rows", "operator", "large"),
    [(LARGE // 32, "MatMul", True), (LARGE // 32 - 1, "MatMul", False), (32, "Gemm", True)],
)
@pytest.mark.parametrize("quantize", [with_integer_weights, with_float16_weights])
def test_only_large_matrices_count(rows, operator, large, quantize):
    model = table_model(np.random.default_rng(0).normal(size=(rows, 32)).astype(np.float32), operator)
    assert bool(large_weights(model, "dynamic")) == large
    if large:
        kinds = {tensor.data_type for tensor in quantize(model).graph.initializer}
        assert kinds & {TensorProto.UINT8, TensorProto.FLOAT16}


def test_weights_beyond_float16_stay_as_they_are():
    values = np.full((32, 32), 70_000, np.float32)
    made = with_float16_weights(table_model(values))
    np.testing.assert_array_equal(numpy_helper.to_array(made.graph.initializer[0]), values)


def test_the_log_level_is_left_as_it_was():
    before = logging.getLogger().level
    with_integer_weights(table_model(np.ones((32, 32), np.float32)))
    assert logging.getLogger().level == before


@pytest.mark.parametrize(
    ("target", "model", "without", "tensors"),
    [
        ("solved", "lightgbm", ("note",), {"raw", "codes"}),
        ("solved", "mlp", ("note",), {"scaled", "codes"}),
        ("cost", "linear", ("note",), {"scaled", "codes"}),
    ],
)
def test_encoder_and_core_together_are_the_model(tickets, tmp_path, target, model, without, tensors):
    original, wanted = tickets(target, model, without), OnnxCore()
    parity = parity_of(wanted, original, tmp_path)
    assert parity.max_difference <= 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["core.onnx", "encoder.onnx"]
    assert set(wanted.facts(tmp_path)["tensors"]) == tensors


def test_texts_that_the_core_weighs_are_refused(tickets):
    original = tickets("solved", "linear", ())
    assert "cannot be cut in two" in OnnxCore().refuse(original)
    with pytest.raises(ValueError, match="cannot be cut in two"):
        partial(OnnxCore().write, original)(None)
