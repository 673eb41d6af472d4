"""TreeEnsemble (ai.onnx.ml 5) spelled out in standard operators, for runtimes that have no trees.

All trees take one step at a time, from their roots down: each is a number, the node it has come to, and the
tables of the nodes tell where it goes next (S. Nakandala et al., "A Tensor Compiler for Unified Machine
Learning Prediction Serving", OSDI 2020). A leaf leads to itself. The comparisons are those of the original,
so every row comes to the same leaves; their sum may round differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.graph.core import attributes_of
from declarative_ml.graph.tree_ensemble import BRANCH_LEQ, BRANCH_MEMBER, SUM, TREES, member_sets

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, NodeProto

_LARGEST = 3.4028234663852886e38
_MOST_MEMBERS = 1 << 24
"""Sets of values times the largest value: the bytes of their table."""


@dataclass(frozen=True)
class _Forest:
    """Splits and leaves in one numbering, the splits first."""

    splits: int
    features: int
    """Columns of the input; behind them and their copy stand those of the sets."""
    roots: np.ndarray
    column: np.ndarray
    """What each node compares: see `_table`."""
    threshold: np.ndarray
    children: tuple[np.ndarray, np.ndarray]
    """Where true and false lead."""
    sets: Sequence[tuple[int, np.ndarray]]
    """Column and members of each split by a set."""
    missing_inside: np.ndarray
    """Of each of them, whether NaN takes the true side."""
    weights: np.ndarray
    targets: np.ndarray
    """By tree."""
    width: int
    depth: int


def count_splits(model: ModelProto) -> int:
    """The splits of all trees of the model."""
    return sum(
        len(attribute.ints)
        for node in model.graph.node
        if node.op_type == TREES
        for attribute in node.attribute
        if attribute.name == "nodes_featureids"
    )


def unsupported_trees(model: ModelProto) -> str | None:
    """What of the model's trees cannot be spelled out, in words for a person; None: nothing."""
    for node in model.graph.node:
        if node.op_type == TREES and (reason := _unsupported(attributes_of(node))):
            return reason
    return None


def _unsupported(attributes: dict[str, Any]) -> str | None:
    if attributes.get("aggregate_function", SUM) != SUM or attributes.get("post_transform", 0) != 0:
        return "trees whose leaves are not summed"
    if not set(attributes["nodes_modes"].tolist()) <= {BRANCH_LEQ, BRANCH_MEMBER}:
        return "trees that compare otherwise than by <= or by sets"
    sets = member_sets(attributes.get("membership_values"))
    if any((members < 0).any() or (members != members.astype("int64")).any() for members in sets):
        return "trees that split by sets of other values than whole numbers from 0 on"
    if len(sets) * _values(sets) > _MOST_MEMBERS:
        return "trees that split by sets of very many levels"
    return None


def without_tree_ensembles(model: ModelProto) -> ModelProto:
    """The model with its trees spelled out. Raises ValueError for those of `unsupported_trees`."""
    from onnx import ModelProto, checker, shape_inference

    if reason := unsupported_trees(model):
        raise ValueError(f"this model has {reason}")
    made = ModelProto()
    made.CopyFrom(model)
    widths = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in [*shape_inference.infer_shapes(model).graph.value_info, *model.graph.input]
        if len(value.type.tensor_type.shape.dim) == 2
    }
    nodes: list[NodeProto] = []
    for number, node in enumerate(model.graph.node):
        if node.op_type != TREES:
            nodes.append(node)
            continue
        writer = _Writer(f"//trees_{number}")
        _spell_out(writer, node, _forest(attributes_of(node), widths.get(node.input[0], 0)))
        nodes += writer.nodes
        made.graph.initializer.extend(writer.constants)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    checker.check_model(made)
    return made


def _values(sets: Sequence[np.ndarray]) -> int:
    """One more than the largest member."""
    return 1 + max((int(members.max()) for members in sets if len(members)), default=0)


def _forest(attributes: dict[str, Any], features: int) -> _Forest:
    import numpy as np

    used = attributes["nodes_featureids"]
    features = max(features, int(used.max()) + 1)
    splits, weights = len(used), attributes["leaf_weights"]
    nodes = splits + len(weights)
    column, threshold = np.zeros(nodes, np.int32), np.zeros(nodes, np.float32)
    left = (
        attributes["nodes_missing_value_tracks_true"] if _tracks(attributes) else np.zeros(splits, np.int64)
    )
    column[:splits] = used + np.where(left != 0, 0, features)
    # No value that a graph of ours compares is infinite, and what stands for NaN must be beyond all others.
    threshold[:splits] = np.clip(attributes["nodes_splits"], -_LARGEST, _LARGEST)
    by_set = np.flatnonzero(attributes["nodes_modes"] == BRANCH_MEMBER)
    column[by_set] = 2 * features + np.arange(len(by_set))
    threshold[by_set] = 0.5
    children = []
    for side in ("true", "false"):
        child = np.arange(nodes, dtype=np.int32)
        leads, is_leaf = attributes[f"nodes_{side}nodeids"], attributes[f"nodes_{side}leafs"]
        child[:splits] = np.where(is_leaf != 0, leads + splits, leads)
        children.append(child)
    roots = attributes["tree_roots"].astype(np.int32)
    depth, targets = _walk(roots, children, splits, attributes["leaf_targetids"])
    sets = list(zip(used[by_set].tolist(), member_sets(attributes.get("membership_values")), strict=True))
    width = int(attributes.get("n_targets", 1))
    return _Forest(
        splits,
        features,
        roots,
        column,
        threshold,
        (children[0], children[1]),
        sets,
        left[by_set] != 0,
        weights,
        targets,
        width,
        depth,
    )


def _tracks(attributes: dict[str, Any]) -> bool:
    return "nodes_missing_value_tracks_true" in attributes


def _walk(
    roots: np.ndarray, children: Sequence[np.ndarray], splits: int, leaf_targets: np.ndarray
) -> tuple[int, np.ndarray]:
    """The steps to the deepest leaf, and the target that each tree adds to."""
    import numpy as np

    depth, targets = 0, np.full(len(roots), -1)
    nodes, trees = roots, np.arange(len(roots))
    while len(nodes):
        depth += 1
        nodes = np.concatenate([child[nodes] for child in children])
        trees = np.concatenate([trees, trees])
        at_leaf = nodes >= splits
        found = leaf_targets[nodes[at_leaf] - splits]
        targets[trees[at_leaf]] = found
        if (targets[trees[at_leaf]] != found).any():
            raise ValueError("a tree of this model adds to several outputs")
        nodes, trees = nodes[~at_leaf], trees[~at_leaf]
    return depth, targets


class _Writer:
    """Nodes and constants under names of their own."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[NodeProto] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"{self._prefix}_c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = output or f"{self._prefix}_t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _spell_out(write: _Writer, node: NodeProto, forest: _Forest) -> None:
    import numpy as np

    table = _table(write, node.input[0], forest)
    columns = write.constant(forest.column, np.int32)
    thresholds = write.constant(forest.threshold, np.float32)
    children = [write.constant(child, np.int32) for child in forest.children]
    at_roots = forest.roots[None, :]
    value = write.add("Gather", [table, write.constant(forest.column[forest.roots], np.int32)], axis=1)
    goes = write.add("LessOrEqual", [value, write.constant(forest.threshold[at_roots], np.float32)])
    firsts = [write.constant(child[at_roots], np.int32) for child in forest.children]
    place = write.add("Where", [goes, *firsts])
    for _ in range(forest.depth - 1):
        value = write.add("GatherElements", [table, write.add("Gather", [columns, place])], axis=1)
        goes = write.add("LessOrEqual", [value, write.add("Gather", [thresholds, place])])
        place = write.add("Where", [goes, *(write.add("Gather", [child, place]) for child in children)])
    leaf = write.add("Sub", [place, write.constant(forest.splits, np.int32)])
    weights = write.add("Gather", [write.constant(forest.weights, np.float32), leaf])
    if forest.width == 1:
        write.add("ReduceSum", [weights, write.constant([1], np.int64)], node.output[0], keepdims=1)
        return
    adds_to = write.constant(np.eye(forest.width)[forest.targets], np.float32)
    write.add("MatMul", [weights, adds_to], node.output[0])


def _table(write: _Writer, tensor: str, forest: _Forest) -> str:
    """What the nodes compare: the columns with -inf for NaN, which is below every threshold, the columns with
    inf for NaN, which is above, and for each split by a set 0 where it has the value, else 1."""
    import numpy as np

    missing = write.add("IsNaN", [tensor])
    ends = [write.constant(end, np.float32) for end in (-np.inf, np.inf)]
    parts = [write.add("Where", [missing, end, tensor]) for end in ends]
    if forest.sets:
        parts.append(_outside_of_sets(write, tensor, forest))
    return write.add("Concat", parts, axis=1)


def _outside_of_sets(write: _Writer, tensor: str, forest: _Forest) -> str:
    import numpy as np

    values = _values([members for _, members in forest.sets])
    outside = np.ones((len(forest.sets), values), np.int8)
    for number, (_, members) in enumerate(forest.sets):
        outside[number, members.astype(np.int64)] = 0
    compared = write.constant([column for column, _ in forest.sets], np.int32)
    value = write.add("Gather", [tensor, compared], axis=1)
    above = write.add("GreaterOrEqual", [value, write.constant(0, np.float32)])
    below = write.add("Less", [value, write.constant(values, np.float32)])
    whole = write.add("Equal", [value, write.add("Floor", [value])])
    known = write.add("And", [write.add("And", [above, below]), whole])
    code = write.add("Where", [known, value, write.constant(0, np.float32)])
    starts = write.constant(np.arange(len(forest.sets))[None, :] * values, np.int32)
    place = write.add("Add", [write.add("Cast", [code], to=_INT32), starts])
    found = write.add("Gather", [write.constant(outside.ravel(), np.int8), place])
    unknown = write.constant(1, np.float32)
    if forest.missing_inside.any():
        missing = write.constant(~forest.missing_inside[None, :], np.float32)
        unknown = write.add("Where", [write.add("IsNaN", [value]), missing, unknown])
    return write.add("Where", [known, write.add("Cast", [found], to=_FLOAT), unknown])


_FLOAT, _INT32 = 1, 6
"""Of TensorProto.DataType."""
