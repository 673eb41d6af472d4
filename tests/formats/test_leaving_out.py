"""Members of an ensemble that a format cannot hold: refused with the way out, or left out at a price."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import load_model_from_string

from declarative_ml.cli import dml
from declarative_ml.core.errors import StepFailed
from declarative_ml.formats import FORMATS
from declarative_ml.formats.conversion import convert
from declarative_ml.graph.members import members_of, without_members
from declarative_ml.scoring.session import open_session, run_graph
from tests.formats.tickets import FEATURES, original_of, write_tickets

SMALL_TREES = {"type": "lightgbm", "rounds": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of which tensorrt cannot hold the trees, and onnx-core not the linear model (it weighs terms)."""
    root = tmp_path_factory.mktemp("leaving-out")
    write_tickets(root / "tickets.csv")
    spec = {
        "name": "tickets",
        "data": {"source": "tickets.csv", "split": {"method": "random", "validation": 0.2, "test": 0.2}},
        "target": "kind",
        "features": FEATURES,
        "model": {"type": "ensemble", "members": ["linear", SMALL_TREES], "weights": "equal"},
        "evaluate": {"metric": "accuracy"},
        "convert": [{"format": "onnx-core", "leave_out": True}],
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (root / "spec.yaml").write_text(json.dumps(spec))
    told = CliRunner().invoke(dml, ["run", str(root / "spec.yaml"), "--format", "json"])
    assert told.exit_code == 0, told.output
    (root / "result.json").write_text(told.stdout)
    return root


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def graph(result):
    return load_model_from_string((Path(result["bundle"]) / "model.onnx").read_bytes())


def test_the_graph_says_who_is_in_it(graph):
    assert [(member.name, member.weight) for member in members_of(graph)] == [
        ("linear", 0.5),
        ("lightgbm", 0.5),
    ]


def test_the_parts_blend_to_the_whole(graph, folder, result):
    """For equal weights and a temperature, the logits of the whole are the mean of those of the parts."""
    original = original_of(result["bundle"], folder / "tickets.csv")
    answers = {
        name: np.log(run_graph(open_session(model.SerializeToString()), original.rows))
        for name, model in {
            "whole": graph,
            "linear": without_members(graph, ["lightgbm"]),
            "lightgbm": without_members(graph, ["linear"]),
        }.items()
    }
    centred = {name: logits - logits.mean(axis=1, keepdims=True) for name, logits in answers.items()}
    mean = (centred["linear"] + centred["lightgbm"]) / 2
    assert np.abs(mean - centred["whole"]).max() < 1e-4
    assert np.abs(centred["linear"] - centred["lightgbm"]).max() > 0.1


def test_what_is_left_out_leaves_no_trace(graph):
    alone = without_members(graph, ["lightgbm"])
    assert "TreeEnsemble" not in {node.op_type for node in alone.graph.node}
    assert len(alone.graph.initializer) < len(graph.graph.initializer)
    assert [(member.name, member.weight) for member in members_of(alone)] == [("linear", 1.0)]
    assert list(alone.graph.input) == list(graph.graph.input)


@pytest.mark.parametrize("names", [["linear", "lightgbm"], ["mlp"]])
def test_somebody_must_stay_and_be_known(graph, names):
    with pytest.raises(ValueError, match="no member"):
        without_members(graph, names)


def test_a_run_tells_what_is_left_out_and_what_it_costs(result):
    (found,) = result["conversions"]
    assert (found["name"], found["status"]) == ("onnx-core", "ok")
    (left,) = found["left_out"]
    assert (left["name"], left["weight"]) == ("linear", 0.5) and "terms of texts" in left["reason"]
    cost = found["cost"]
    assert (cost["metric"], cost["rows"]) == ("accuracy", 40)
    assert cost["whole"] == pytest.approx(result["metrics"]["test"]["accuracy"])
    assert cost["without"] != cost["whole"]
    told = f"without linear (weight 0.50): accuracy {cost['without']:.4f} instead of {cost['whole']:.4f}"
    assert found["reason"].startswith(told)
    assert told in Path(result["report"]).read_text()


def test_without_the_option_the_refusal_names_it(folder, tmp_path):
    told = CliRunner().invoke(
        dml, ["convert", str(folder / "spec.yaml"), "--to", "onnx-core", "-o", str(tmp_path / "core")]
    )
    assert isinstance(told.exception, StepFailed)
    assert "`leave_out: true` converts without linear" in str(told.exception)
    assert not (tmp_path / "core").exists()


@pytest.mark.parametrize("score", [True, False])
def test_labelled_rows_tell_the_cost_of_a_model_that_is_there(folder, tmp_path, score):
    arguments = ["convert", str(folder / "spec.yaml"), "--to", "onnx-core", "--with", "leave_out=true"]
    arguments += ["--score", str(folder / "tickets.csv")] * score
    told = CliRunner().invoke(dml, [*arguments, "-o", str(tmp_path / "core"), "--format", "json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    if score:
        assert found["cost"]["rows"] == 200 and found["cost"]["metric"] == "log_loss"
    else:
        assert found["cost"] is None and "no labelled rows tell" in found["reason"]


def test_nobody_left_is_a_refusal(folder, result, tmp_path):
    """TensorRT holds neither terms nor trees."""
    original = original_of(result["bundle"], folder / "tickets.csv")
    wanted = FORMATS.parse({"format": "tensorrt", "leave_out": True})
    found = convert(original, wanted, tmp_path / "x")
    assert found.status == "refused" and "leave_out" not in found.reason and not found.left_out
