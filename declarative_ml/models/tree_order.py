"""Which child of a split stands right behind it in memory: the one that most rows go to.

ONNX Runtime lays the false child of a split behind the split itself, and the true one anywhere. Where most
training rows went to the false one, a row's way through a large forest reads memory mostly in its order, and
the processor guesses most branches right. Answers are the same to the bit: `x > t` is `-x <= t'` with the
float32 just below `-t`, so a split changes its sides by reading the column with the other sign.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from declarative_ml.models.tree_graph import Tree, float32_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

_MANY_SPLITS = 10_000
"""Fewer lie in the processor's nearest memory anyway, and the further nodes cost more than they save."""


def order_by_rows(
    graph: OnnxGraph, tensor: str, trees: Sequence[Tree], columns: int
) -> tuple[str, Sequence[Tree]]:
    """The same trees over a tensor [N, 2 columns], where they are many; else what was given.

    `tensor` is [N, columns] float32.
    """
    if sum(len(tree.feature) for tree in trees) < _MANY_SPLITS or any(
        tree.left_share is None for tree in trees
    ):
        return tensor, trees
    ordered = [_ordered(tree, columns) for tree in trees]
    if (
        any(tree.missing_left.any() for tree in ordered)
        and (values := _missing_as(trees, columns)) is not None
    ):
        # Trees in which no NaN goes to the true side need no look at it in any split.
        missing = graph.add("IsNaN", [tensor])
        tensor = graph.add("Where", [missing, graph.constant(values.reshape(1, -1), "float32"), tensor])
        ordered = [replace(tree, missing_left=tree.missing_left & False) for tree in ordered]
    return graph.concat([tensor, graph.add("Neg", [tensor])]), ordered


def _ordered(tree: Tree, columns: int) -> Tree:
    """The tree with its heavy children on the right; column c with the other sign is column c + columns."""
    import numpy as np

    assert tree.left_share is not None
    is_number = np.array([members is None for members in tree.members], dtype=bool)
    with np.errstate(over="ignore", under="ignore"):
        other = np.nextafter(-float32_below(tree.threshold), np.float32(-np.inf))
    # Some runtimes take the numbers next to 0 for 0.
    is_exact = np.isfinite(other) & (np.abs(other) >= np.finfo(np.float32).tiny)
    swaps = is_number & is_exact & (tree.left_share > 0.5)
    return replace(
        tree,
        feature=np.where(swaps, tree.feature + columns, tree.feature),
        threshold=np.where(swaps, other.astype(np.float64), tree.threshold),
        missing_left=tree.missing_left ^ swaps,
        left=np.where(swaps, tree.right, tree.left),
        right=np.where(swaps, tree.left, tree.right),
        left_share=np.where(swaps, 1.0 - tree.left_share, tree.left_share),
    )


def _missing_as(trees: Sequence[Tree], columns: int) -> np.ndarray | None:
    """A number for each column [columns] that every split sends where it sends NaN; None where a column has
    none. Columns that had no missing value in training have one."""
    import numpy as np

    feature = np.concatenate([tree.feature for tree in trees])
    threshold = float32_below(np.concatenate([tree.threshold for tree in trees]))
    left = np.concatenate([tree.missing_left for tree in trees])
    in_set = np.array([members is not None for tree in trees for members in tree.members], dtype=bool)
    found = np.zeros(columns, dtype=np.float32)
    for column in np.unique(feature).tolist():
        own = feature == column
        number = _missing_as_one(threshold[own], left[own], in_set[own])
        if number is None:
            return None
        found[column] = number
    return found


def _missing_as_one(threshold: np.ndarray, left: np.ndarray, in_set: np.ndarray) -> float | None:
    import numpy as np

    if in_set.any():
        return None if left.any() or not in_set.all() else -1.0  # codes begin with 0, so it is in no set
    largest = float(np.finfo(np.float32).max)
    return next(
        (number for number in (0.0, largest, -largest) if ((number <= threshold) == left).all()), None
    )
