"""TensorFlow Lite: small real bundles converted, run in LiteRT, and held against model.onnx."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
from small_bundles import train_once

from declarative_ml.formats.lite.core import narrow_cut
from declarative_ml.formats.parity import expected_of, measure
from declarative_ml.formats.tflite import ENCODER, MODEL, PREPROCESSING, TFLite
from declarative_ml.scoring.session import open_session

ENSEMBLE = {"type": "ensemble", "members": ["linear", {"type": "mlp", "epochs": 8}]}

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return partial(train_once, tmp_path_factory)


def converted(wanted, original, folder):
    folder.mkdir(exist_ok=True)
    wanted.write(original, folder)
    return wanted.open(original, folder)


@pytest.mark.parametrize(
    ("target", "model", "without"),
    [
        ("stays", "linear", ("seen",)),
        ("kind", "lightgbm", ("seen",)),
        ("spent", "mlp", ()),
        pytest.param("stays", "xgboost", (), marks=pytest.mark.slow),
    ],
)
def test_float32_is_equal_on_real_and_nasty_rows(trained, tmp_path, target, model, without):
    original = trained(target, model, without)
    wanted = TFLite()
    assert wanted.refuse(original) is None
    parity = measure(original, converted(wanted, original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert parity.disagreements == 0
    assert parity.nasty_rows >= 40


@pytest.mark.parametrize(
    ("quantize", "model", "target"),
    [
        ("float16", "mlp", "spent"),
        ("dynamic", "mlp", "spent"),
        ("int8", "mlp", "spent"),
        ("int16", "mlp", "spent"),
        ("int8", "linear", "stays"),
    ],
)
def test_smaller_numbers_stay_within_what_they_promise(trained, tmp_path, quantize, model, target):
    original = trained(target, model, () if model == "mlp" else ("seen",))
    wanted = TFLite(quantize=quantize)
    parity = measure(original, converted(wanted, original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert parity.max_difference > 0
    if model == "mlp":
        plain = tmp_path / "plain"
        converted(TFLite(), original, plain)
        assert (tmp_path / MODEL).stat().st_size < 0.6 * (plain / MODEL).stat().st_size
    if quantize.startswith("int"):
        assert "QUANTIZE" in wanted.facts(tmp_path)["operators"]


def test_float16_keeps_what_is_beyond_its_range(trained, tmp_path):
    """The scale of a price is no weight: TensorFlow's own rounding cuts it at 65,504."""
    original = trained("spent", "mlp", ())
    model = type(original.model)()
    model.CopyFrom(original.model)
    scale = [node for node in model.graph.node if node.op_type == "Mul"][-1].input[1]
    _, least, most = [node for node in model.graph.node if node.op_type == "Clip"][-1].input
    for tensor in model.graph.initializer:
        if tensor.name in (new := {scale: 1e6, least: -1e9, most: 1e9}):
            value = np.array(new[tensor.name], dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    large = replace(original, content=model.SerializeToString())
    assert np.abs(expected_of(large, large.rows)).max() > 65_504
    wanted = TFLite(quantize="float16")
    parity = measure(large, converted(wanted, large, tmp_path), wanted.precision)
    assert parity.holds, parity


@pytest.mark.parametrize(
    ("target", "model", "reason"),
    [
        ("stays", "linear", "nothing would be smaller: no matrix or table of weights is large"),
        ("spent", "mlp", "its weights reach 1,000,000, and float16 ends at 65,504"),
    ],
)
def test_float16_is_refused_where_nothing_can_be_rounded(trained, target, model, reason):
    original = trained(target, model, () if model == "mlp" else ("seen",))
    if model == "mlp":
        changed = type(original.model)()
        changed.CopyFrom(original.model)
        for tensor in changed.graph.initializer:
            if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT:
                values = onnx.numpy_helper.to_array(tensor).copy()
                values.ravel()[0] = 1e6
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        original = replace(original, content=changed.SerializeToString())
    assert TFLite(quantize="float16").refuse(original) == reason


def test_int8_holds_for_an_ensemble_that_shares_its_inputs(trained, tmp_path):
    """One member clips what the other takes as it is: one range for both would cut the latter's."""
    original = trained("kind", ENSEMBLE)
    wanted = TFLite(quantize="int8")
    parity = measure(original, converted(wanted, original, tmp_path), wanted.precision)
    assert parity.max_difference < 0.1, parity
    assert parity.worst.startswith(("in a real row", "where "))


@pytest.mark.parametrize(("quantize", "name"), [("none", "tflite"), ("int8", "tflite-int8")])
def test_the_name_tells_the_variant(quantize, name):
    assert TFLite(quantize=quantize).name == name


@pytest.mark.parametrize("quantize", ["float16", "dynamic", "int16", "int8"])
def test_trees_are_not_rounded(trained, quantize):
    reason = TFLite(quantize=quantize).refuse(trained("kind", "lightgbm"))
    assert reason is not None and "it has trees" in reason and "quantize: none" in reason


def test_files_do_not_change_from_one_conversion_to_the_next(trained, tmp_path):
    original = trained("stays", "linear")
    for name in ("first", "second"):
        converted(TFLite(), original, tmp_path / name)
    for name in (MODEL, ENCODER, PREPROCESSING):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "first" / name).read_bytes()


def test_a_caller_can_use_the_files_alone(trained, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    original = trained("stays", "linear")
    converted(TFLite(), original, tmp_path)
    facts = TFLite().facts(tmp_path)
    assert facts["inputs"] == {"codes": "int32[1]", "scaled": "float32[5]"}
    assert "FULLY_CONNECTED" in facts["operators"]
    assert not [name for name in facts["operators"] if name.startswith("Flex")]
    row = {name: values[:1] for name, values in original.rows.items()}
    session = open_session((tmp_path / ENCODER).read_bytes())
    names = [value.name for value in session.get_outputs()]
    tensors = dict(zip(names, session.run(names, row), strict=True))
    interpreter = Interpreter(model_content=(tmp_path / MODEL).read_bytes())
    found = interpreter.get_signature_runner()(**tensors)["probabilities"]
    np.testing.assert_allclose(found, expected_of(original, row), atol=1e-6)


def test_preprocessing_tells_every_column(trained, tmp_path):
    original = trained("stays", "linear")
    converted(TFLite(), original, tmp_path)
    content = json.loads((tmp_path / PREPROCESSING).read_text(encoding="utf-8"))
    assert [item["column"] for item in content["tensors"]["codes"]] == ["town"]
    assert set(content["tensors"]["codes"][0]["entries"]) == {"", "Oslo", "Köln", "Rome, IT", 'São "P"'}
    rules = [(item["column"], item["rule"]) for item in content["tensors"]["scaled"]]
    assert ("age", "scale") in rules and ("age", "missing") in rules and ("member", "table") in rules
    assert content["classes"] == ["no", "yes"]


def test_a_date_is_left_to_the_encoder(trained, tmp_path):
    original = trained("spent", "mlp", ())
    converted(TFLite(), original, tmp_path)
    content = json.loads((tmp_path / PREPROCESSING).read_text(encoding="utf-8"))
    unread = [item for item in content["tensors"]["scaled"] if item["rule"] == "encoder"]
    assert unread and all(item["columns"] == ["seen"] for item in unread)
    onnx.checker.check_model(narrow_cut(original).encoder)
