"""A fitted `mlp` at work: the same function in numpy and as ONNX nodes.

The state's arrays:

    low, high                                training range of each scaled column, [S]
    ramp_column, ramp_start, ramp_scale      piecewise-linear ramps over the scaled columns, [P]
    offsets, table                           where each code column begins in the embedding table, [C], [L, E]
    weight0, bias0                           first layer of all K networks side by side, [I, K*H], [K*H]
    weight1 ..., bias1 ...                   the other layers by network, [K, H, H'], [K, 1, H']
    scaling                                  mean, deviation, least and greatest target; empty for classes

Networks that share (mlp_sharing) have one weight0 [I, H] and, up to the last layer, weight1 [1, H, H'] ...;
each scales the inputs of a layer by its own in0 [K, I], in1 ... [K, H], and the outputs by out0 ... [K, H].
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.models.base import State

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import EncodedNames

_MOST_SCALED = 8_192
"""Values of a row, in all networks, up to which the inputs are scaled; beyond, the weights are: the inputs
of as many rows as are scored together would take too much memory."""


@dataclass(frozen=True)
class _Layer:
    """A layer of K networks: [N, K*H] -> [N, K*H'], or of the first one [N, I] -> [N, K*H]."""

    weight: np.ndarray
    """[I, K*H] of all networks side by side, [K, H, H'] by network, or shared by them all, [H, H']."""
    bias: np.ndarray
    """[1, K*H']."""
    shared: bool = False
    follows: bool = False
    """Whether it reads another layer's outputs, not what all networks see alike."""
    before: np.ndarray | None = None
    """What scales its inputs, [K, H]."""
    after: np.ndarray | None = None
    """What scales its outputs, [1, K*H']."""


def _layers(state: State) -> list[_Layer]:
    """All layers, the last folded into the mean of the K networks, [K*H, width]."""
    count = sum(1 for name in state if name.startswith("weight"))
    layers = [_layer(state, number) for number in range(count - 1)]
    weight, bias = state[f"weight{count - 1}"], state[f"bias{count - 1}"]
    networks, _, width = weight.shape
    mean = (weight / np.float32(networks)).reshape(-1, width)
    return [*layers, _Layer(mean, bias.mean(axis=0).reshape(1, -1))]


def _layer(state: State, number: int) -> _Layer:
    weight, bias = state[f"weight{number}"], state[f"bias{number}"].reshape(1, -1)
    if "in0" not in state:
        return _Layer(weight, bias)
    networks, out = len(state["in0"]), weight.shape[-1]
    bias = np.broadcast_to(bias.reshape(-1, out), (networks, out)).reshape(1, -1)  # shared ones as well
    before, after = (state.get(f"{name}{number}") for name in ("in", "out"))
    if before is not None and number == 0 and before.size > _MOST_SCALED:
        wide = before.T[:, :, None] * weight[:, None, :]
        wide = wide if after is None else wide * after
        return _Layer(wide.reshape(len(weight), -1), bias)
    flat = None if after is None else after.reshape(1, -1)
    return _Layer(weight.reshape(weight.shape[-2:]), bias, True, number > 0, before, flat)


def margins(state: State, scaled: np.ndarray, codes: np.ndarray, activation: str) -> np.ndarray:
    """Margins [N, width] float64 of one block of rows."""
    *layers, last = _layers(state)
    hidden = _inputs(state, scaled, codes)
    for layer in layers:
        hidden = _numpy_activation(_numpy_layer(layer, hidden), activation)
    output: np.ndarray = (hidden @ last.weight + last.bias).astype(np.float64)
    if len(state["scaling"]):
        center, spread, low, high = state["scaling"]
        output = np.clip(output * spread + center, low, high)
    return output


def _numpy_layer(layer: _Layer, hidden: np.ndarray) -> np.ndarray:
    rows, weight = len(hidden), layer.weight
    if layer.shared:
        if layer.before is not None:
            hidden = hidden.reshape(rows, -1, len(weight)) * layer.before
        hidden = (hidden.reshape(-1, len(weight)) @ weight).reshape(rows, layer.bias.size)
        hidden = hidden if layer.after is None else hidden * layer.after
    elif weight.ndim == 3:
        split = hidden.reshape(rows, len(weight), -1).transpose(1, 0, 2)
        hidden = np.matmul(split, weight).transpose(1, 0, 2).reshape(rows, layer.bias.size)
    else:
        hidden = hidden @ weight
    found: np.ndarray = hidden + layer.bias
    return found


def _inputs(state: State, scaled: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What the first layer sees [N, I]."""
    clipped = np.clip(np.asarray(scaled, dtype=np.float32), state["low"], state["high"])
    ramps = (clipped[:, state["ramp_column"]] - state["ramp_start"]) * state["ramp_scale"]
    np.clip(ramps, np.float32(0), np.float32(1), out=ramps)
    parts = [clipped, ramps]
    if codes.shape[1]:
        parts.append(state["table"][codes + state["offsets"]].reshape(len(codes), -1))
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _numpy_activation(hidden: np.ndarray, activation: str) -> np.ndarray:
    one = np.float32(1)
    result: np.ndarray
    if activation == "relu":
        result = np.maximum(hidden, np.float32(0))
    elif activation == "tanh":
        result = np.tanh(hidden)
    elif activation == "silu":
        result = hidden / (one + np.exp(-np.maximum(hidden, np.float32(-80))))
    else:  # the tanh form of gelu
        inner = np.float32(np.sqrt(2.0 / np.pi)) * (hidden + np.float32(0.044715) * hidden**3)
        result = np.float32(0.5) * hidden * (one + np.tanh(inner))
    return result


def add_network(graph: OnnxGraph, state: State, names: EncodedNames, activation: str) -> str:
    """Add the network to the graph; returns its margins [N, width]. The last Gemm averages the networks."""
    *layers, last = _layers(state)
    hidden = _onnx_inputs(graph, state, names)
    for layer in layers:
        hidden = _onnx_activation(graph, _onnx_layer(graph, layer, hidden), activation)
    return _onnx_target(graph, _gemm(graph, hidden, last.weight, last.bias), state)


def _onnx_layer(graph: OnnxGraph, layer: _Layer, hidden: str) -> str:
    if layer.shared:
        return _onnx_shared(graph, layer, hidden)
    if layer.weight.ndim == 2:
        return _gemm(graph, hidden, layer.weight, layer.bias)
    networks, width, _ = layer.weight.shape
    parts, biases = _columns(graph, hidden, networks, width), layer.bias.reshape(networks, -1)
    return graph.concat([_gemm(graph, *each) for each in zip(parts, layer.weight, biases, strict=True)])


def _onnx_shared(graph: OnnxGraph, layer: _Layer, hidden: str) -> str:
    """One product for all networks, each of them a row of it."""
    width, out = layer.weight.shape
    if layer.before is not None:
        networks = layer.bias.size // out if layer.follows else 1
        split = _reshape(graph, hidden, -1, networks, width)
        hidden = graph.add("Mul", [split, graph.constant(layer.before)])
    split = _reshape(graph, hidden, -1, width)
    product = graph.add("MatMul", [split, graph.constant(layer.weight)])
    hidden = _reshape(graph, product, -1, layer.bias.size)
    if layer.after is not None:
        hidden = graph.add("Mul", [hidden, graph.constant(layer.after)])
    return graph.add("Add", [hidden, graph.constant(layer.bias)])


def _reshape(graph: OnnxGraph, tensor: str, *shape: int) -> str:
    return graph.add("Reshape", [tensor, graph.constant(shape, "int64")])


def _gemm(graph: OnnxGraph, tensor: str, weight: np.ndarray, bias: np.ndarray) -> str:
    return graph.add("Gemm", [tensor, graph.constant(weight), graph.constant(bias.reshape(-1))])


def _columns(graph: OnnxGraph, tensor: str, networks: int, width: int) -> list[str]:
    """Each network's own columns of `tensor` [N, networks * width]."""
    if networks == 1:
        return [tensor]
    axis = graph.constant([1], "int64")
    ends = [graph.constant([number * width], "int64") for number in range(networks + 1)]
    return [graph.add("Slice", [tensor, start, end, axis]) for start, end in pairwise(ends)]


def _onnx_inputs(graph: OnnxGraph, state: State, names: EncodedNames) -> str:
    parts = []
    if names.scaled is not None:
        clipped = graph.add("Max", [names.scaled, graph.constant(state["low"].reshape(1, -1))])
        clipped = graph.add("Min", [clipped, graph.constant(state["high"].reshape(1, -1))])
        parts.append(clipped)
        if len(state["ramp_column"]):
            ramps = graph.add("Gather", [clipped, graph.constant(state["ramp_column"])], axis=1)
            ramps = graph.add("Sub", [ramps, graph.constant(state["ramp_start"].reshape(1, -1))])
            ramps = graph.add("Mul", [ramps, graph.constant(state["ramp_scale"].reshape(1, -1))])
            bounds = [graph.constant(np.float32(0)), graph.constant(np.float32(1))]
            parts.append(graph.add("Clip", [ramps, *bounds]))
    if names.codes is not None:
        places = graph.add("Add", [names.codes, graph.constant(state["offsets"].reshape(1, -1))])
        found = graph.add("Gather", [graph.constant(state["table"]), places], axis=0)
        width = len(state["offsets"]) * state["table"].shape[1]
        parts.append(graph.add("Reshape", [found, graph.constant(np.array([-1, width], dtype=np.int64))]))
    return graph.concat(parts)


def _onnx_activation(graph: OnnxGraph, tensor: str, activation: str) -> str:
    if activation == "silu":
        return graph.add("Mul", [tensor, graph.add("Sigmoid", [tensor])])
    if activation == "gelu":
        return graph.add("Gelu", [tensor], approximate="tanh")
    return graph.add({"relu": "Relu", "tanh": "Tanh"}[activation], [tensor])


def _onnx_target(graph: OnnxGraph, output: str, state: State) -> str:
    """Back to the target's unit and range; margins of classes pass."""
    if not len(state["scaling"]):
        return output
    center, spread, low, high = (graph.constant(value, "float32") for value in state["scaling"])
    value = graph.add("Add", [graph.add("Mul", [output, spread]), center])
    return graph.add("Clip", [value, low, high])
