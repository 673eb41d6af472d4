"""XGBoost's JSON model as trees for the graph, read without importing XGBoost.

XGBoost compares float32 values with float32 thresholds and sends `x < t` to the left: for float32 that is
`x <= t'` with the float32 just below t. A native categorical split lists the values that go right, so its
sides change places here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from declarative_ml.models.tree_graph import Tree, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


def read_trees(model: bytes) -> list[Tree]:
    """The trees of `Booster.save_raw("json")`, in the order of boosting, round by round and class by class.

    Raises ValueError for what a `gbtree` booster with one parallel tree never holds.
    """
    booster = json.loads(model)["learner"]["gradient_booster"]
    if booster["name"] != "gbtree":
        raise ValueError(f"XGBoost's {booster['name']} cannot become a TreeEnsemble")
    trees, classes = booster["model"]["trees"], booster["model"]["tree_info"]
    width = max(classes, default=0) + 1
    if classes != [number % width for number in range(len(trees))]:
        raise ValueError("XGBoost's trees are not one a class and round")
    return [_read_tree(tree) for tree in trees]


def _read_tree(tree: Mapping[str, Any]) -> Tree:
    import numpy as np

    def values(name: str, dtype: type) -> np.ndarray:
        return np.array(tree[name], dtype=dtype)

    left, right = values("left_children", np.int64), values("right_children", np.int64)
    reached = _reached(left, right)
    is_leaf = left < 0
    split, leaf = reached & ~is_leaf, reached & is_leaf
    number = np.where(is_leaf, ~(np.cumsum(leaf) - 1), np.cumsum(split) - 1)
    condition = values("split_conditions", np.float32)
    categorical = values("split_type", np.int64)[split] == 1
    missing_left = values("default_left", np.int64)[split] == 1
    left, right = number[left[split]], number[right[split]]
    sets = _sets(tree)
    members = tuple(sets.get(node) for node in np.flatnonzero(split).tolist())
    weight = values("sum_hessian", np.float64)
    first, second = (weight[values(side, np.int64)[split]] for side in ("left_children", "right_children"))
    with np.errstate(over="ignore"):
        below = np.nextafter(condition[split], np.float32(-np.inf))
    return Tree(
        feature=values("split_indices", np.int64)[split],
        gain=values("loss_changes", np.float64)[split],
        threshold=np.where(categorical, 0.0, below.astype(np.float64)),
        members=members,
        missing_left=missing_left ^ categorical,
        left=np.where(categorical, right, left),
        right=np.where(categorical, left, right),
        leaf=condition[leaf].astype(np.float64),
        left_share=np.where(categorical, share(second, first), share(first, second)),
    )


def _reached(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which nodes hang on the root: pruning leaves others behind."""
    import numpy as np

    reached = np.zeros(len(left), dtype=bool)
    level = np.zeros(1, dtype=np.int64)
    while len(level):
        reached[level] = True
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]])
    return reached


def _sets(tree: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """Node -> the values that go right at its categorical split, ascending."""
    import numpy as np

    found = {}
    parts = (tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"])
    for node, start, size in zip(*parts, strict=True):
        found[int(node)] = np.array(tree["categories"][start : start + size], dtype=np.int64)
    return found
