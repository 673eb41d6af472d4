"""Networks of an mlp that share weights: what they begin with, and that they answer as those apart would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_mlp import BINARY, NUMBER, THREE, fit, graph_margins, make_data

from declarative_ml.learning.task import Task
from declarative_ml.models import mlp_inference
from declarative_ml.models.base import State
from declarative_ml.models.mlp import MLP, default_networks
from declarative_ml.models.mlp_network import Design, Network
from declarative_ml.models.mlp_sharing import Sharing, own_weights

OPTIONS = {"layers": (8, 6), "epochs": 3, "networks": 5, "embedding_size": 4}
SHARED = ["weights", "layers"]


def apart(state: State) -> State:
    """The same networks, each with weights of its own."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    found = own_weights({**tensors, "weight0_codes": torch.zeros(0, tensors["weight0"].shape[1])})
    return {name: tensor.contiguous().numpy() for name, tensor in found.items() if name != "weight0_codes"}


@pytest.mark.parametrize("share", SHARED)
@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_the_graph_agrees_and_networks_apart_do(task: Task, share: Sharing, tmp_path: Path) -> None:
    model = MLP.model_validate({**OPTIONS, "share": share})
    fitted, data = fit(model, task, tmp_path), make_data(task, 60, seed=2)
    data.scaled[:4] *= 1e6
    expected = model.predict(fitted.state, data, task)
    found = graph_margins(model, fitted, data, task)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    found = model.predict(apart(fitted.state), data, task)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_inputs_too_many_to_scale_scale_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP.model_validate({**OPTIONS, "share": "weights"})
    fitted, data = fit(model, THREE, tmp_path), make_data(THREE, 60, seed=2)
    expected = model.predict(fitted.state, data, THREE)
    monkeypatch.setattr(mlp_inference, "_MOST_SCALED", 10)
    np.testing.assert_allclose(model.predict(fitted.state, data, THREE), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(graph_margins(model, fitted, data, THREE), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", SHARED)
def test_what_networks_begin_with(share: Sharing) -> None:
    train = make_data(BINARY, 90)
    design = Design((8, 6), 7, "relu", 0.0, embedding_size=4, bins=3, share=share)
    network = Network(design, BINARY, 3, train, None, pool=1000)
    begun = network.parameters
    ramps = network.inputs["ramp_column"]
    first = begun["in0"].detach().numpy()
    assert first.shape == (7, 3 + len(ramps) + 2 * 4)
    assert set(np.unique(first)) == {-1.0, 1.0}
    assert np.array_equal(first[:, 3 : 3 + len(ramps)], first[:, ramps]), "one sign for a column of the table"
    others = [name for name in begun if name.startswith(("in", "out")) and name != "in0"]
    assert sorted(others) == (["in1", "out0", "out1"] if share == "weights" else [])
    assert all(bool((begun[name] == 1.0).all()) for name in others)
    assert begun["weight1"].shape == (1, 8, 6)
    assert begun["weight2"].shape == (7, 6, 1), "the last layer is each network's own"
    assert network.decayed == {"weight0", "weight0_codes", "weight1", "weight2"}


def test_what_is_shared_is_stored_once(tmp_path: Path) -> None:
    sizes = {}
    for share in ("nothing", *SHARED):
        state = fit(MLP.model_validate({**OPTIONS, "share": share}), BINARY, tmp_path / share).state
        sizes[share] = sum(
            array.size for name, array in state.items() if name.startswith(("we", "b", "in", "ou"))
        )
    assert sizes["layers"] < sizes["weights"] < sizes["nothing"]


def test_many_networks_where_they_share() -> None:
    assert MLP(share="weights").defaults(300, BINARY)["networks"] == default_networks(300, "weights")
    assert default_networks(10**6, "weights") > default_networks(300, "nothing")
