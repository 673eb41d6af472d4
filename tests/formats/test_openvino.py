"""OpenVINO: real bundles converted, run, and held against model.onnx."""

from dataclasses import replace

import pytest
from tickets import train

from declarative_ml.formats.openvino import OpenVINO
from declarative_ml.formats.parity import measure
from declarative_ml.graph.tree_ensemble import SUM

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    root = tmp_path_factory.mktemp("tickets")
    return lambda *args: train(root, *args)[1]


@pytest.mark.parametrize(
    ("target", "model", "without"),
    [
        ("kind", "lightgbm", ()),
        ("cost", "extra_trees", ("note",)),
        ("solved", "mlp", ("note",)),
        ("cost", "linear", ("note",)),
    ],
)
def test_it_answers_as_model_onnx_does(tickets, tmp_path, target, model, without):
    original, wanted = tickets(target, model, without), OpenVINO()
    assert wanted.refuse(original) is None
    wanted.write(original, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["core.bin", "core.xml", "encoder.onnx"]
    parity = measure(original, wanted.open(original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert parity.disagreements == 0
    assert ("GatherElements" in wanted.facts(tmp_path)["operators"]) == (model in ("lightgbm", "extra_trees"))


def test_equal_models_give_equal_files(tickets, tmp_path):
    original = tickets("kind", "lightgbm", ())
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        OpenVINO().write(original, tmp_path / name)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name


def test_texts_that_the_core_weighs_are_refused(tickets):
    assert "cannot be cut in two" in OpenVINO().refuse(tickets("solved", "linear", ()))


def test_trees_that_cannot_be_spelled_out_are_refused(tickets):
    whole = tickets("kind", "lightgbm", ())
    model = type(whole.model)()
    model.CopyFrom(whole.model)
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    aggregate = next(attribute for attribute in node.attribute if attribute.name == "aggregate_function")
    assert aggregate.i == SUM
    aggregate.i = 3
    reason = OpenVINO().refuse(replace(whole, content=model.SerializeToString()))
    assert reason == "OpenVINO has no trees, and this model has trees whose leaves are not summed"
