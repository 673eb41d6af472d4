"""Loops over the same rows as one: what they have in common is then done once.

A text is read by several parts of a model: one sums what its terms say, one counts its words, one weighs its
terms. Each part has a loop of its own, which cuts the text into tokens and looks them up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

Constant = Callable[[Any, str], str]
"""Value and dtype -> the name of a constant."""


def join_loops(nodes: Sequence[NodeProto], rows_of: Mapping[str, str], constant: Constant) -> list[NodeProto]:
    """The nodes with every group of loops over the same tensor as one, where the first of them stands.

    `rows_of` names the tensor that a loop goes over, by the loop's output [N, W]. The bodies read nothing
    else but constants.
    """
    from onnx import helper

    groups: dict[str, list[NodeProto]] = {}
    for node in nodes:
        if node.op_type == "Loop" and node.output[0] in rows_of:
            groups.setdefault(rows_of[node.output[0]], []).append(node)
    joined: dict[str, list[NodeProto]] = {}
    for tensor, loops in groups.items():
        if len(loops) == 1:
            continue
        body, widths = _body([loop.attribute[0].g for loop in loops])
        whole = f"{loops[0].output[0]}_joined"
        made = [helper.make_node("Loop", list(loops[0].input), [whole], body=body)]
        start = 0
        for loop, width in zip(loops, widths, strict=True):
            bounds = [constant([place], "int64") for place in (start, start + width, 1)]
            made.append(helper.make_node("Slice", [whole, *bounds], list(loop.output)))
            start += width
        joined[tensor] = made
    found: list[NodeProto] = []
    for node in nodes:
        tensor = rows_of.get(node.output[0], "") if node.op_type == "Loop" else ""
        found += joined.pop(tensor, []) if tensor in groups and len(groups[tensor]) > 1 else [node]
    return found


def _body(bodies: Sequence[GraphProto]) -> tuple[GraphProto, list[int]]:
    """One body that gives what all of them give, side by side, and how much that is of each."""
    from onnx import TensorProto, helper

    first = bodies[0]
    nodes: list[NodeProto] = []
    types: dict[str, ValueInfoProto] = {}
    known: dict[tuple[Any, ...], list[str]] = {}
    names: dict[str, str] = {}
    for body in bodies:
        names |= {own.name: common.name for own, common in zip(body.input, first.input, strict=True)}
        types |= {value.name: value for value in body.value_info}
        for node in body.node:
            _add(node, nodes, known, names)
    widths = [body.output[1].type.tensor_type.shape.dim[0].dim_value for body in bodies]
    found = [names.get(body.output[1].name, body.output[1].name) for body in bodies]
    whole = f"{found[0]}_joined"
    nodes.append(helper.make_node("Concat", found, [whole], axis=0))
    made = {name for node in nodes for name in node.output}
    outputs = [first.output[0], helper.make_tensor_value_info(whole, TensorProto.FLOAT, [sum(widths)])]
    told = [value for name, value in types.items() if name in made]
    return helper.make_graph(nodes, first.name, list(first.input), outputs, value_info=told), widths


def _add(
    node: NodeProto, nodes: list[NodeProto], known: dict[tuple[Any, ...], list[str]], names: dict[str, str]
) -> None:
    """Append a node, unless one that does the same is there: its outputs then have those names."""
    made = type(node)()
    made.CopyFrom(node)
    made.input[:] = [names.get(name, name) for name in node.input]
    attributes = tuple(sorted(item.SerializeToString(deterministic=True) for item in node.attribute))
    key = (node.domain, node.op_type, tuple(made.input), attributes)
    if key in known:
        names.update(zip(node.output, known[key], strict=True))
        return
    known[key] = list(node.output)
    nodes.append(made)
