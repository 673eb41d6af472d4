"""Weights of a .tflite in float16: the large matrices and tables alone, and every other number exactly.

TensorFlow's own conversion rounds every constant, biases and the scale of the predictions included, and cuts
what is beyond 65,504: a house price then ends there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.optional import require
from declarative_ml.formats.rewrite.smaller import FLOAT16_MAX, LARGE

if TYPE_CHECKING:
    import numpy as np

_FLOAT32, _FLOAT16 = 0, 1
_DEQUANTIZE, _FULLY_CONNECTED, _GATHER = 6, 9, 36
"""Of schema.fbs."""
_TAKES_HALVES = 3
"""The version of DEQUANTIZE that turns float16 into float32."""


def with_half_weights(content: bytes) -> bytes:
    """The model with its large weights in float16, each behind a DEQUANTIZE."""
    buffers = require("ai_edge_litert.tools.flatbuffer_utils", "tensorflow")
    model = buffers.convert_bytearray_to_object(content)
    graph = model.subgraphs[0]
    code = len(model.operatorCodes)
    weights = {place: _values(model, graph.tensors[place]) for place in _weights(model, graph)}
    turned = [
        _turned(buffers.schema_fb, model, graph, place, values, code)
        for place, values in sorted(weights.items())
        if values is not None and values.size >= LARGE and abs(values).max() <= FLOAT16_MAX
    ]
    if turned:
        made = buffers.schema_fb.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = _DEQUANTIZE
        made.version = _TAKES_HALVES
        model.operatorCodes.append(made)
        graph.operators = [*turned, *graph.operators]
        _forget_unread(model)
    return bytes(buffers.convert_object_to_bytearray(model))


def _weights(model: Any, graph: Any) -> set[int]:
    """The tensors that are read as matrices and tables, and as nothing else."""
    read: dict[int, set[tuple[int, int]]] = {}
    for operator in graph.operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        for position, place in enumerate(operator.inputs):
            read.setdefault(int(place), set()).add((kind, position))
    return {place for place, uses in read.items() if uses <= {(_FULLY_CONNECTED, 1), (_GATHER, 0)}}


def _values(model: Any, tensor: Any) -> np.ndarray | None:
    """The float32 constant; None where the tensor is none."""
    import numpy as np

    data = model.buffers[tensor.buffer].data
    if tensor.type != _FLOAT32 or data is None or not len(data):
        return None
    return np.frombuffer(np.asarray(data, dtype=np.uint8).tobytes(), dtype="<f4")


def _turned(schema: Any, model: Any, graph: Any, place: int, values: np.ndarray, code: int) -> Any:
    """The operator that makes the tensor at `place` of halves, which are added."""
    import numpy as np

    tensor = graph.tensors[place]
    half = schema.TensorT()
    half.shape, half.type, half.name = tensor.shape, _FLOAT16, tensor.name + b"_half"
    half.buffer = len(model.buffers)
    stored = schema.BufferT()
    stored.data = np.frombuffer(values.astype("<f2").tobytes(), dtype=np.uint8)
    model.buffers.append(stored)
    # The first buffer is the empty one: what has it is computed.
    tensor.buffer = 0
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = [len(graph.tensors)], [place]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    graph.tensors.append(half)
    return operator


def _forget_unread(model: Any) -> None:
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for place, stored in enumerate(model.buffers):
        if place not in used:
            stored.data = None
