"""Cut a graph in two: the encoding of raw columns, and the core that computes on plain tensors.

Runtimes without texts take the core; what they are fed is made by the encoder, or by code that does the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

ENCODED = "encoded"
"""The entry of the model's metadata that names the tensors between encoding and core, by kind."""


@dataclass(frozen=True)
class Cut:
    """The two halves. Each is a model of its own; the second takes what the first gives."""

    encoder: ModelProto
    """Raw columns in; out: `raw`, `scaled` (float32 [N, W]) and `codes` (int64 [N, C]), those that count."""
    core: ModelProto
    """In: the encoder's outputs. Out: `probabilities` [N, C], or `prediction` [N, 1] for a number."""


def operators_of(graph: GraphProto) -> frozenset[str]:
    """The names of the operators of a graph, those of the graphs inside of nodes too."""
    return frozenset(node.op_type for node in all_nodes(graph))


def all_nodes(graph: GraphProto) -> Iterator[Any]:
    """The nodes of a graph in order, each before those of the graphs inside of it."""
    for node in graph.node:
        yield node
        yield from inner_nodes(node)


def inner_nodes(node: Any) -> Iterator[Any]:
    """The nodes of the graphs inside of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from all_nodes(attribute.g)


def tensors_read(node: Any) -> Iterator[str]:
    """The names of the tensors that a node reads, by the graphs inside of it too."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                yield from tensors_read(inner)
            yield from (value.name for value in attribute.g.output)


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes by name: tensors and lists of whole numbers as arrays, texts as str."""
    import numpy as np
    from onnx import AttributeProto, helper, numpy_helper

    found: dict[str, Any] = {}
    for item in node.attribute:
        value = helper.get_attribute_value(item)
        if item.type == AttributeProto.TENSOR:
            value = numpy_helper.to_array(value)
        elif item.type == AttributeProto.INTS:
            value = np.array(value, dtype=np.int64)
        found[item.name] = value.decode() if isinstance(value, bytes) else value
    return found


def cut(model: ModelProto) -> Cut | None:
    """Both halves of a graph of ours; None where the core reads raw columns itself (terms of texts), or where
    a column has the name of a tensor between the two."""
    named = next((entry.value for entry in model.metadata_props if entry.key == ENCODED), None)
    outputs = [value.name for value in model.graph.output]
    wanted = "probabilities" if "probabilities" in outputs else "prediction"
    if named is None:
        return None
    names = {tensor: kind for kind, tensor in json.loads(named).items()}
    core = nodes_behind(model, [wanted], frozenset(names))
    read = {name for node in core for name in node.input}
    used = {tensor: kind for tensor, kind in names.items() if tensor in read}
    # A column that is called `raw` would stand for two tensors.
    if (read | set(used.values())) & {value.name for value in model.graph.input}:
        return None
    encoder = nodes_behind(model, list(used))
    return Cut(
        _model(model, encoder, {}, used, inputs=list(model.graph.input)),
        _model(model, core, used, {wanted: wanted}),
    )


def nodes_behind(model: ModelProto, outputs: list[str], ends: frozenset[str] = frozenset()) -> list[Any]:
    """The nodes that make `outputs`, back to the tensors `ends`, in order."""
    needed = set(outputs)
    nodes = []
    for node in reversed(model.graph.node):
        made = needed.intersection(node.output)
        if made and not made <= ends:
            nodes.append(node)
            needed.update(tensors_read(node))
    return nodes[::-1]


def _model(
    whole: ModelProto,
    nodes: list[Any],
    inputs_named: Mapping[str, str],
    outputs_named: Mapping[str, str],
    inputs: list[Any] | None = None,
) -> ModelProto:
    """The nodes as a model whose ends have plain names."""
    from onnx import NodeProto, checker, helper, shape_inference

    types = {value.name: value for value in shape_inference.infer_shapes(whole).graph.value_info}
    types |= {value.name: value for value in whole.graph.output}
    needed = {name for node in nodes for name in tensors_read(node)}
    constants = [tensor for tensor in whole.graph.initializer if tensor.name in needed]
    if inputs is None:
        inputs = [_renamed(types[tensor], kind) for tensor, kind in inputs_named.items()]
        opened = []
        for node in nodes:
            changed = NodeProto()
            changed.CopyFrom(node)
            changed.input[:] = [inputs_named.get(name, name) for name in node.input]
            opened.append(changed)
        nodes = opened
    renames = [(tensor, name) for tensor, name in outputs_named.items() if tensor != name]
    nodes = [*nodes, *(helper.make_node("Identity", [tensor], [name]) for tensor, name in renames)]
    outputs = [_renamed(types[tensor], name) for tensor, name in outputs_named.items()]
    graph = helper.make_graph(nodes, whole.graph.name, inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    checker.check_model(made)
    return made


def _renamed(value: Any, name: str) -> Any:
    from onnx import ValueInfoProto

    changed = ValueInfoProto()
    changed.CopyFrom(value)
    changed.name = name
    return changed
