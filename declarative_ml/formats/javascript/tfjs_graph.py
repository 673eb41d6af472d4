"""The files of TensorFlow.js: a graph in JSON, and the constants of its nodes in one binary file.

The layout is that of TensorFlow.js's graph models (`format: graph-model`): modelTopology is a GraphDef as
JSON whose constants have lost their values, weightsManifest lists these by node in the order of the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto

WEIGHTS = "weights.bin"
_TYPES = {"float32": "float32", "int32": "int32", "bool": "bool"}


def to_tfjs(core: ModelProto) -> tuple[str, bytes]:
    """model.json and weights.bin of a core without texts; inputs and output have the core's names.

    Raises DataError for an operator without a translation to TensorFlow.
    """
    from declarative_ml.formats.tf.graph import to_tensorflow
    from declarative_ml.formats.tf.runtime import tensorflow

    tf, json_format = tensorflow(), require("google.protobuf.json_format", "tensorflow")
    module = to_tensorflow(core, lite=True)
    definition = module.concrete.graph.as_graph_def()
    outputs = {name: tensor.name for name, tensor in module.concrete.structured_outputs.items()}
    nodes = list(_needed(definition, [name.partition(":")[0] for name in outputs.values()]))
    _rename_outputs(nodes, outputs)
    weights, content = _take_constants(tf, nodes)
    topology = {"node": [json_format.MessageToDict(node) for node in nodes], "versions": {"producer": 1}}
    model = {
        "format": "graph-model",
        "generatedBy": "declarative-ml",
        "convertedBy": "declarative-ml",
        "signature": {"inputs": _inputs(core), "outputs": {name: {"name": f"{name}:0"} for name in outputs}},
        "modelTopology": topology,
        "weightsManifest": [{"paths": [WEIGHTS], "weights": weights}],
    }
    return json.dumps(model, separators=(",", ":"), sort_keys=True), content


def _needed(definition: Any, outputs: Iterable[str]) -> Iterable[Any]:
    """The nodes that the outputs depend on, in the graph's order."""
    by_name = {node.name: node for node in definition.node}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(each.lstrip("^").partition(":")[0] for each in by_name[name].input)
    return [node for node in definition.node if node.name in needed or node.op == "Placeholder"]


def _rename_outputs(nodes: list[Any], outputs: dict[str, str]) -> None:
    """Let the answers come from nodes with the names of the core's outputs."""
    for name, tensor in outputs.items():
        node = next(node for node in nodes if node.name == tensor.partition(":")[0])
        old, node.name = node.name, name
        for other in nodes:
            other.input[:] = [name if each.partition(":")[0] == old else each for each in other.input]


def _take_constants(tf: Any, nodes: list[Any]) -> tuple[list[dict[str, Any]], bytes]:
    """Move the values of constants out of the nodes: what each is, and their bytes in that order."""
    weights, parts = [], []
    for node in nodes:
        if node.op != "Const":
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if str(value.dtype) not in _TYPES:
            raise DataError(f"TensorFlow.js: no constants of the type {value.dtype}")
        tensor = node.attr["value"].tensor
        kept = type(tensor)(dtype=tensor.dtype)
        kept.tensor_shape.CopyFrom(tensor.tensor_shape)
        tensor.CopyFrom(kept)
        weights.append({"name": node.name, "shape": list(value.shape), "dtype": _TYPES[str(value.dtype)]})
        parts.append(value.tobytes())
    return weights, b"".join(parts)


def _inputs(core: ModelProto) -> dict[str, Any]:
    return {
        value.name: {
            "name": f"{value.name}:0",
            "dtype": "DT_INT32" if value.name == "codes" else "DT_FLOAT",
            "tensorShape": {
                "dim": [{"size": "-1"}, {"size": str(value.type.tensor_type.shape.dim[1].dim_value)}]
            },
        }
        for value in core.graph.input
    }
