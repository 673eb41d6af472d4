"""The members of an ensemble inside of its graph: who they are, and the same graph without some of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from declarative_ml.graph.core import nodes_behind, tensors_read

if TYPE_CHECKING:
    from onnx import ModelProto

MEMBERS = "members"
"""The entry of the model's metadata that lists them; absent for a single model."""
_BLEND = "//blend"


class GraphMember(NamedTuple):
    """One of several models whose weighted mean is the answer."""

    name: str
    weight: float
    tensor: str
    """Its margins, [N, width]."""


def describe_members(members: Sequence[GraphMember]) -> str:
    """The text of the entry MEMBERS."""
    return json.dumps([member._asdict() for member in members], ensure_ascii=False)


def members_of(model: ModelProto) -> tuple[GraphMember, ...]:
    """The members in the order of the blend; none for a single model."""
    entry = next((entry.value for entry in model.metadata_props if entry.key == MEMBERS), "[]")
    return tuple(GraphMember(**item) for item in json.loads(entry))


def without_members(model: ModelProto, names: Collection[str]) -> ModelProto:
    """The graph without the members `names`: the others keep their weights in relation to each other.

    What was fitted on the whole blend stays: calibration, threshold, intervals. Raises ValueError when no
    member would be left, or a name is none of theirs.
    """
    from onnx import ModelProto, checker

    members = members_of(model)
    unknown = set(names) - {member.name for member in members}
    kept = [member for member in members if member.name not in names]
    if unknown or not kept:
        raise ValueError(f"no members {sorted(unknown)}" if unknown else "no member would be left")
    total = sum(member.weight for member in kept)
    kept = [member._replace(weight=member.weight / total) for member in kept]
    made = ModelProto()
    made.CopyFrom(model)
    _blend_again(made, [member.tensor for member in members], kept)
    nodes = nodes_behind(made, [value.name for value in made.graph.output])
    needed = {name for node in nodes for name in tensors_read(node)}
    constants = [tensor for tensor in made.graph.initializer if tensor.name in needed]
    types = [value for value in made.graph.value_info if value.name in needed]
    for field, content in (("node", nodes), ("initializer", constants), ("value_info", types)):
        made.graph.ClearField(field)
        getattr(made.graph, field).extend(content)
    entry = next(entry for entry in made.metadata_props if entry.key == MEMBERS)
    entry.value = describe_members(kept)
    checker.check_model(made, full_check=True)
    return made


def _blend_again(model: ModelProto, tensors: list[str], kept: Sequence[GraphMember]) -> None:
    """Let the product that blends take the members `kept` only."""
    import numpy as np
    from onnx import numpy_helper

    joined = next(node for node in model.graph.node if list(node.input) == tensors)
    product = next(node for node in model.graph.node if joined.output[0] in node.input)
    old = next(tensor for tensor in model.graph.initializer if tensor.name == product.input[1])
    width = numpy_helper.to_array(old).shape[1]
    shares: list[Any] = [np.eye(width, dtype=np.float32) * np.float32(member.weight) for member in kept]
    model.graph.initializer.append(numpy_helper.from_array(np.concatenate(shares), _BLEND))
    joined.input[:] = [member.tensor for member in kept]
    product.input[1] = _BLEND
