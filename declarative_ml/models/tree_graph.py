"""LightGBM's text model as one ONNX `TreeEnsemble` node that takes every row to the same leaf.

LightGBM compares in float64 and the graph in float32, so a threshold becomes the largest float32 that
is not above it: for float32 inputs `x <= t` then has the same answer. Native categorical splits become
BRANCH_MEMBER nodes (ai.onnx.ml 5). The text is read here, without importing LightGBM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.graph.tree_ensemble import BRANCH_LEQ, BRANCH_MEMBER, SUM, joined_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

# Bits of LightGBM's decision_type.
_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_MISSING_SHIFT = 2
_MISSING_ZERO = 1
_MISSING_NAN = 2


@dataclass(frozen=True)
class Tree:
    """One tree of M splits and M + 1 leaves. A child >= 0 is a split, a child < 0 the leaf `~child`."""

    feature: np.ndarray
    gain: np.ndarray
    threshold: np.ndarray
    """[M] float64; 0 for a categorical split."""
    members: tuple[np.ndarray | None, ...]
    """The values that go left at a categorical split; None for a numeric one."""
    missing_left: np.ndarray
    """[M] bool: whether NaN goes left."""
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray
    """[M + 1] float64 leaf values, shrinkage and start score included."""
    left_share: np.ndarray | None = None
    """[M]: the share of a split's training rows that went left; None: it is not known."""


def parse_trees(model_text: str) -> list[Tree]:
    """The trees of `Booster.model_to_string()`, in the order of boosting.

    Raises ValueError for what training with a plain numeric matrix never makes: linear leaves and
    zeros that count as missing.
    """
    body = model_text.partition("\nend of trees")[0]
    return [_parse_tree(block) for block in body.split("\nTree=")[1:]]


def _parse_tree(block: str) -> Tree:
    import numpy as np

    fields = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
    if fields.get("is_linear", "0") != "0":
        raise ValueError("LightGBM's linear trees cannot become a TreeEnsemble")

    def numbers(name: str, dtype: type) -> np.ndarray:
        return np.array(fields.get(name, "").split(), dtype=dtype)

    decision = numbers("decision_type", np.int64)
    threshold = numbers("threshold", np.float64)
    missing = decision >> _MISSING_SHIFT & 3
    if np.any(missing == _MISSING_ZERO):
        raise ValueError("trees trained with zero_as_missing cannot become a TreeEnsemble")
    categorical = decision & _CATEGORICAL == 1
    # Without NaN in training LightGBM reads a NaN as 0; at a categorical split it always goes right.
    default_left = decision & _DEFAULT_LEFT != 0
    missing_left = np.where(missing == _MISSING_NAN, default_left, threshold >= 0.0) & ~categorical
    bounds, words = numbers("cat_boundaries", np.int64), numbers("cat_threshold", np.uint32)
    members = tuple(
        _set_bits(words[bounds[int(number)] : bounds[int(number) + 1]]) if is_set else None
        for number, is_set in zip(threshold, categorical)
    )
    left, right = numbers("left_child", np.int64), numbers("right_child", np.int64)
    rows = numbers("internal_count", np.float64), numbers("leaf_count", np.float64)
    return Tree(
        feature=numbers("split_feature", np.int64),
        gain=numbers("split_gain", np.float64),
        threshold=np.where(categorical, 0.0, threshold),
        members=members,
        missing_left=missing_left,
        left=left,
        right=right,
        leaf=numbers("leaf_value", np.float64),
        left_share=share(_of_children(left, *rows), _of_children(right, *rows)),
    )


def _of_children(child: np.ndarray, of_splits: np.ndarray, of_leaves: np.ndarray) -> np.ndarray:
    """The rows of each child, a split or a leaf `~child`."""
    import numpy as np

    found: np.ndarray = np.where(
        child >= 0, np.append(of_splits, 0.0)[child], np.append(of_leaves, 0.0)[~child]
    )
    return found


def share(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left` as a share of both, float64; 0 where both are 0."""
    import numpy as np

    found: np.ndarray = left / np.maximum(left + right, 1e-300)
    return found


def _set_bits(words: np.ndarray) -> np.ndarray:
    """The positions of the bits that are set, in 32-bit words of which the lowest comes first."""
    import numpy as np

    return np.flatnonzero(np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little"))


def gain_by_feature(trees: Sequence[Tree], features: int) -> np.ndarray:
    """The total gain of the splits on each of `features` columns, float64."""
    import numpy as np

    total = np.zeros(features)
    for tree in trees:
        np.add.at(total, tree.feature, tree.gain)
    return total


def float32_below(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each float64 value."""
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded.astype(np.float64) > values, lower, rounded)


def add_tree_ensemble(graph: OnnxGraph, tensor: str, trees: Sequence[Tree], width: int) -> str:
    """Add the sum of the trees' leaves over `tensor` [N, features] float32: -> [N, width] float32.

    Tree i adds to column i % width, as LightGBM orders the trees of a multiclass model.
    """
    columns = _Columns()
    for number, tree in enumerate(trees):
        columns.append(_as_branching(tree), number % width)
    return graph.add(
        "TreeEnsemble", [tensor], aggregate_function=SUM, n_targets=width, **columns.attributes()
    )


def _as_branching(tree: Tree) -> Tree:
    """The same tree, with a split in front of a lone leaf: TreeEnsemble has no tree without a split."""
    import numpy as np

    if len(tree.feature):
        return tree
    return Tree(
        feature=np.zeros(1, dtype=np.int64),
        gain=np.zeros(1),
        threshold=np.zeros(1),
        members=(None,),
        missing_left=np.zeros(1, dtype=bool),
        left=np.array([-1]),
        right=np.array([-2]),
        leaf=np.repeat(tree.leaf, 2),
        left_share=np.full(1, 0.5),
    )


class _Columns:
    """The attributes of the node as they grow tree by tree."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}
        self._sets: list[np.ndarray] = []
        self._nodes = 0
        self._leaves = 0

    def append(self, tree: Tree, target: int) -> None:
        """Add the nodes and leaves of one tree that has at least one split."""
        import numpy as np

        parts = {
            "nodes_featureids": tree.feature,
            "nodes_splits": float32_below(tree.threshold),
            "nodes_modes": np.array([BRANCH_LEQ if item is None else BRANCH_MEMBER for item in tree.members]),
            "nodes_missing_value_tracks_true": tree.missing_left,
            "tree_roots": np.array([self._nodes]),
            "leaf_weights": tree.leaf,
            "leaf_targetids": np.full(len(tree.leaf), target),
        }
        for side, child in (("true", tree.left), ("false", tree.right)):
            parts[f"nodes_{side}leafs"] = child < 0
            parts[f"nodes_{side}nodeids"] = np.where(child < 0, ~child + self._leaves, child + self._nodes)
        for name, values in parts.items():
            self._parts.setdefault(name, []).append(values)
        self._sets += [members for members in tree.members if members is not None]
        self._nodes += len(tree.feature)
        self._leaves += len(tree.leaf)

    def attributes(self) -> dict[str, Any]:
        """The finished attributes, in the types that ai.onnx.ml 5 asks for."""
        import numpy as np
        from onnx import numpy_helper

        dtypes = {"nodes_splits": np.float32, "leaf_weights": np.float32, "nodes_modes": np.uint8}
        found: dict[str, Any] = {}
        for name, values in self._parts.items():
            joined = np.concatenate(values)
            if name in dtypes:
                found[name] = numpy_helper.from_array(joined.astype(dtypes[name]), name)
            else:
                found[name] = joined.astype(np.int64).tolist()
        if self._sets:
            found["membership_values"] = numpy_helper.from_array(joined_sets(self._sets), "membership_values")
        return found
