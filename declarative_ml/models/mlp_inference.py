"""A fitted `mlp` at work: the same function in numpy and as ONNX nodes.

The state's arrays:

    low, high                                training range of each scaled column, [S]
    ramp_column, ramp_start, ramp_scale      piecewise-linear ramps over the scaled columns, [P]
    offsets, table                           where each code column begins in the embedding table, [C], [L, E]
    weight0, bias0                           first layer of all K networks side by side, [I, K*H], [K*H]
    weight1 ..., bias1 ...                   the other layers by network, [K, H, H'], [K, 1, H']
    scaling                                  mean, deviation, least and greatest target; empty for classes
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.models.base import State

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import EncodedNames


_FILLED_ROWS = 1_024


def _layers(state: State) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights and biases by layer, the last pair folded into the mean of the K networks, [K*H, width]."""
    count = sum(1 for name in state if name.startswith("weight"))
    weights = [state[f"weight{number}"] for number in range(count)]
    biases = [state[f"bias{number}"] for number in range(count)]
    networks, _, width = weights[-1].shape
    weights[-1] = (weights[-1] / np.float32(networks)).reshape(-1, width)
    biases[-1] = biases[-1].mean(axis=0).reshape(-1)
    return weights, biases


def margins(state: State, scaled: np.ndarray, codes: np.ndarray, activation: str) -> np.ndarray:
    """Margins [N, width] float64 of one block of rows."""
    weights, biases = _layers(state)
    hidden = _numpy_activation(_inputs(state, scaled, codes) @ weights[0] + biases[0], activation)
    for weight, bias in zip(weights[1:-1], biases[1:-1]):
        networks = weight.shape[0]
        split = hidden.reshape(len(hidden), networks, -1).transpose(1, 0, 2)
        hidden = (np.matmul(split, weight) + bias).transpose(1, 0, 2).reshape(len(hidden), -1)
        hidden = _numpy_activation(hidden, activation)
    output: np.ndarray = (hidden @ weights[-1] + biases[-1]).astype(np.float64)
    if len(state["scaling"]):
        center, spread, low, high = state["scaling"]
        output = np.clip(output * spread + center, low, high)
    return output


def _inputs(state: State, scaled: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What the first layer sees [N, I], filled a few rows at a time: ramps are many."""
    numbers, ramped = scaled.shape[1], scaled.shape[1] + len(state["ramp_column"])
    found = np.empty((len(scaled), len(state["weight0"])), dtype=np.float32)
    for start in range(0, len(scaled), _FILLED_ROWS):
        rows = slice(start, start + _FILLED_ROWS)
        clipped = np.clip(np.asarray(scaled[rows], dtype=np.float32), state["low"], state["high"])
        ramps = (clipped[:, state["ramp_column"]] - state["ramp_start"]) * state["ramp_scale"]
        found[rows, :numbers] = clipped
        np.clip(ramps, np.float32(0), np.float32(1), out=found[rows, numbers:ramped])
        if codes.shape[1]:
            places = codes[rows] + state["offsets"]
            found[rows, ramped:] = state["table"][places].reshape(len(places), -1)
    return found


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
    weights, biases = _layers(state)
    hidden = _gemm(graph, _onnx_inputs(graph, state, names), weights[0], biases[0])
    hidden = _onnx_activation(graph, hidden, activation)
    for weight, bias in zip(weights[1:-1], biases[1:-1]):
        parts = _columns(graph, hidden, *weight.shape[:2])
        outputs = [_gemm(graph, *layer) for layer in zip(parts, weight, bias)]
        hidden = _onnx_activation(graph, graph.concat(outputs), activation)
    return _onnx_target(graph, _gemm(graph, hidden, weights[-1], biases[-1]), state)


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
