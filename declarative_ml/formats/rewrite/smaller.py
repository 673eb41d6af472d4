"""The same graph with smaller weights: what goes in and what comes out stays as it is."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from declarative_ml.graph.core import inner_nodes

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, NodeProto

LARGE = 1024
"""Weights of a matrix from which on the nodes around it cost less than is won."""
FLOAT16_MAX = 65_504.0
"""The largest number that float16 has."""
_MATRICES = frozenset({"MatMul", "Gemm"})


def large_weights(model: ModelProto, kind: Literal["dynamic", "float16"]) -> dict[str, np.ndarray]:
    """The float32 constants that become smaller, by name: the right sides of products of matrices and, for
    float16, the tables that rows are taken from. What other operators read too stays as it is."""
    from onnx import TensorProto, numpy_helper

    places: dict[str, set[tuple[str, int]]] = {}

    def note(node: NodeProto, operator: str) -> None:
        for position, name in enumerate(node.input):
            places.setdefault(name, set()).add((operator, position))

    for node in model.graph.node:
        note(node, node.op_type)
        for inner in inner_nodes(node):
            # The library leaves matrices inside of loops alone.
            note(inner, inner.op_type if kind == "float16" else "inside of a loop")
    allowed = {(operator, 1) for operator in _MATRICES}
    if kind == "float16":
        allowed.add(("Gather", 0))
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[0] * tensor.dims[1] >= LARGE
        and places.get(tensor.name, {("", 0)}) <= allowed
    }


def with_float16_weights(model: ModelProto) -> ModelProto:
    """Large weights as float16, each behind a Cast to float32. Those beyond its range stay float32."""
    import numpy as np
    from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

    made = ModelProto()
    made.CopyFrom(model)
    weights = large_weights(model, "float16")
    casts = []
    for tensor in made.graph.initializer:
        values = weights.get(tensor.name)
        if values is None or not np.all(np.abs(values) <= FLOAT16_MAX):
            continue
        half = f"{tensor.name}_half"
        casts.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    checker.check_model(made)
    return made


def with_integer_weights(model: ModelProto) -> ModelProto:
    """Large matrices as unsigned 8-bit integers, with a scale for each column.

    Unsigned, since processors without VNNI overflow on products of signed and unsigned bytes.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    named = onnx.ModelProto()
    named.CopyFrom(model)
    weights = large_weights(model, "dynamic")
    chosen = []
    for number, node in enumerate(named.graph.node):
        node.name = f"node {number}"
        if node.op_type in _MATRICES and node.input[1] in weights:
            # The library first turns a Gemm into a MatMul of this name.
            chosen.append(f"{node.name}_MatMul" if node.op_type == "Gemm" else node.name)
    advice = logging.getLogger()
    level = advice.level
    advice.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "quantized.onnx"
            quantize_dynamic(
                named, path, nodes_to_quantize=chosen, weight_type=QuantType.QUInt8, per_channel=True
            )
            made = onnx.load(path)
    finally:
        advice.setLevel(level)
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    return made
