"""The core of a graph as a torch module that `torch.export` takes: the same numbers, on plain tensors.

An interpreter of the operators on numbers of the closed list in `graph.onnx_graph`. Trees are to be spelled
out before (`rewrite.plain_trees`): what is left of them are comparisons and gathers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.formats.torch_graph.operators import OPERATORS, Node
from declarative_ml.graph.core import attributes_of, operators_of

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto


def untranslated(model: ModelProto) -> list[str]:
    """The operators of the model that have no translation, sorted."""
    return sorted(operators_of(model.graph) - OPERATORS.keys())


def to_torch(model: ModelProto) -> Any:
    """A `torch.nn.Module` that takes the graph's inputs in their order and returns its first output.

    Raises DataError naming the operator that has no translation, or the form of it.
    """
    import torch
    from onnx import numpy_helper

    if missing := untranslated(model):
        raise DataError(f"torch: no translation of the operator {missing[0]}")
    # Copied: torch warns of arrays that cannot be written to.
    constants = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    places = {name: f"constant_{number}" for number, name in enumerate(constants)}
    nodes = [(node, attributes_of(node)) for node in model.graph.node]
    names = [value.name for value in model.graph.input]

    class Core(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name, array in constants.items():
                self.register_buffer(places[name], torch.from_numpy(array))

        def forward(self, *tensors: Any) -> Any:
            values: dict[str, Any] = {name: getattr(self, place) for name, place in places.items()}
            values.update(zip(names, tensors, strict=True))
            for node, attributes in nodes:
                values[node.output[0]] = _translated(torch, node, attributes, values, constants)
            return values[model.graph.output[0].name]

    return Core().eval()


def _translated(
    torch: Any,
    node: Any,
    attributes: Mapping[str, Any],
    values: Mapping[str, Any],
    constants: Mapping[str, np.ndarray],
) -> Any:
    inputs = [values[name] if name else None for name in node.input]
    known = [constants.get(name) for name in node.input]
    return OPERATORS[node.op_type](Node(torch, node.op_type, inputs, known, attributes, len(node.output)))
