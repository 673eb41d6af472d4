"""TreeEnsemble as gathers: all trees of a block take one step down at a time, from their roots to the leaves.

The traversal of tensors that Hummingbird introduced (Nakandala et al., "A Tensor Compiler for Unified
Machine Learning Prediction Serving", OSDI 2020), with three changes. Both children of a split stand next to
each other, so that one number leads to them. A leaf is a split that leads to itself. Every column stands
twice, once with the least number in place of NaN, so that `x <= threshold` is the whole test: a split reads
the one or the other by where NaN goes, and one by a set of values reads a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.graph.tree_ensemble import AVERAGE, BRANCH_LEQ, BRANCH_MEMBER, SUM, member_sets

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.formats.tf.node import Node

TREES_AT_ONCE = 256
"""Trees that walk together: bounds memory to some 8 kB for every row."""
_LARGEST = 3.4028234663852886e38
_LARGEST_MEMBER = 1 << 20


@dataclass(frozen=True)
class _Forest:
    """The node's attributes. Columns of `splits` are numbered by what the splits read."""

    roots: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    children: tuple[np.ndarray, np.ndarray]
    """Where true and false lead."""
    leafs: tuple[np.ndarray, np.ndarray]
    """Whether that is a leaf."""
    weights: np.ndarray
    targets: np.ndarray
    width: int


@dataclass(frozen=True)
class _Block:
    """Trees whose nodes, leaves included, are numbered together: the roots first."""

    trees: int
    depth: int
    column: np.ndarray
    threshold: np.ndarray
    child: np.ndarray
    """Where false leads; true leads to the one before."""
    leaf: np.ndarray
    """The leaf of each node, -1 for a split."""
    tree: np.ndarray
    """The tree of each node."""


def tree_ensemble(node: Node) -> Any:
    """Add the trees' leaves up: float32 [N, n_targets] of [N, F]."""
    attributes = node.attributes
    aggregate = attributes.get("aggregate_function", SUM)
    if aggregate not in (SUM, AVERAGE):
        raise node.refuse(f"aggregate_function {aggregate}")
    if attributes.get("post_transform", 0):
        raise node.refuse(f"post_transform {attributes['post_transform']}")
    columns = _Columns(node)
    forest = _forest(attributes, columns.of_splits())
    table = columns.tensor()
    tf, total = node.tf, None
    for block in _blocks(forest):
        after: list[Any] = [] if total is None or node.lite else [total]
        with tf.control_dependencies(after):
            found = _walk(node, block, table, forest)
        total = found if total is None else total + found
    if aggregate == AVERAGE:
        total = total / tf.constant(len(forest.roots), tf.float32)
    return total


class _Columns:
    """The columns that splits read, made of the tensor [N, F]: one for each use of a feature."""

    def __init__(self, node: Node) -> None:
        import numpy as np

        self.node = node
        attributes = node.attributes
        self.features: np.ndarray = attributes["nodes_featureids"]
        self.modes: np.ndarray = attributes["nodes_modes"]
        other = set(np.unique(self.modes).tolist()) - {BRANCH_LEQ, BRANCH_MEMBER}
        if other:
            raise node.refuse(f"a split of mode {min(other)}")
        zeros = np.zeros(len(self.features), dtype=np.int64)
        self.tracks = np.asarray(attributes.get("nodes_missing_value_tracks_true", zeros)) != 0
        values = attributes.get("membership_values")
        self.sets = [np.unique(members) for members in member_sets(values)]

    def of_splits(self) -> tuple[np.ndarray, np.ndarray]:
        """Column and threshold of every split."""
        import numpy as np

        simple = self.modes == BRANCH_LEQ
        self.down = np.unique(self.features[simple & self.tracks])
        self.plain = np.unique(self.features[simple & ~self.tracks])
        column = np.zeros(len(self.features), dtype=np.int64)
        # The first column takes NaN down to the true side, for leaves too.
        self.down = self.down if len(self.down) else np.array([0])
        rising = np.searchsorted(self.down, self.features)
        falling = np.searchsorted(self.plain, self.features) + len(self.down)
        column[simple] = np.where(self.tracks, rising, falling)[simple]
        threshold = np.asarray(self.node.attributes["nodes_splits"], dtype=np.float32).copy()
        self._number_sets(column, threshold, len(self.down) + len(self.plain))
        return column, threshold

    def _number_sets(self, column: np.ndarray, threshold: np.ndarray, start: int) -> None:
        import numpy as np

        asked: dict[int, dict[tuple[bytes, bool], int]] = {}
        places = np.flatnonzero(self.modes == BRANCH_MEMBER)
        for place, members in zip(places, self.sets, strict=True):
            of_feature = asked.setdefault(int(self.features[place]), {})
            of_feature.setdefault((members.tobytes(), bool(self.tracks[place])), len(of_feature))
        first = {}
        for feature, sets in asked.items():
            first[feature] = start
            start += len(sets)
        for place, members in zip(places, self.sets, strict=True):
            feature = int(self.features[place])
            column[place] = first[feature] + asked[feature][members.tobytes(), bool(self.tracks[place])]
            threshold[place] = 0.5
        self.asked = asked

    def tensor(self) -> Any:
        """All of them, float32 [N, columns]."""
        tf, values = self.node.tf, self.node.tensor(0)
        # No infinity: TensorFlow Lite's converter turns a constant one into the largest number.
        missing = tf.not_equal(values, values) if self.node.lite else tf.math.is_nan(values)
        parts = [_take(tf, tf.where(missing, -_LARGEST, tf.minimum(values, _LARGEST)), self.down)]
        if len(self.plain):
            parts.append(_take(tf, values, self.plain))
        for feature, sets in self.asked.items():
            parts.append(self._outside(values[:, feature], missing[:, feature], list(sets)))
        return tf.concat(parts, axis=1)

    def _outside(self, values: Any, unknown: Any, sets: Sequence[tuple[bytes, bool]]) -> Any:
        """0 where the values [N] lead to the true side by each of the sets, 1 elsewhere."""
        import numpy as np

        tf = self.node.tf
        members = [np.frombuffer(content, dtype=np.float32) for content, _ in sets]
        every = np.concatenate([*members, np.zeros(1, dtype=np.float32)])
        if np.any(every != np.floor(every)) or every.min() < 0 or every.max() > _LARGEST_MEMBER:
            raise self.node.refuse("members that are not whole numbers from 0 to 2^20")
        most = int(every.max())
        false = np.ones((most + 3, len(sets)), dtype=bool)
        for number, (found, (_, tracks)) in enumerate(zip(members, sets, strict=True)):
            false[found.astype(np.int64), number] = False
            false[most + 2, number] = not tracks
        other, missing = np.float32(most + 1), np.float32(most + 2)
        whole = (values >= 0.0) & (values <= np.float32(most)) & (tf.floor(values) == values)
        rows = tf.where(unknown, missing, tf.where(whole, values, other))
        return tf.cast(tf.gather(tf.constant(false), tf.cast(rows, tf.int32)), tf.float32)


def _take(tf: Any, values: Any, columns: np.ndarray) -> Any:
    import numpy as np

    if values.shape[1] == len(columns) and np.array_equal(columns, np.arange(len(columns))):
        return values
    return tf.gather(values, columns.astype(np.int32), axis=1)


def _forest(attributes: Mapping[str, Any], splits: tuple[np.ndarray, np.ndarray]) -> _Forest:
    return _Forest(
        roots=attributes["tree_roots"],
        column=splits[0],
        threshold=splits[1],
        children=(attributes["nodes_truenodeids"], attributes["nodes_falsenodeids"]),
        leafs=(attributes["nodes_trueleafs"] != 0, attributes["nodes_falseleafs"] != 0),
        weights=attributes["leaf_weights"],
        targets=attributes["leaf_targetids"],
        width=attributes["n_targets"],
    )


def _blocks(forest: _Forest) -> list[_Block]:
    """The trees by depth, so that shallow ones do not wait for deep ones."""
    import numpy as np

    order = np.argsort(_depths(forest), kind="stable")
    starts = range(0, len(order), TREES_AT_ONCE)
    return [_block(forest, forest.roots[order[start : start + TREES_AT_ONCE]]) for start in starts]


def _depths(forest: _Forest) -> np.ndarray:
    """How many splits there are at most from each root to a leaf."""
    import numpy as np

    depths = np.zeros(len(forest.roots), dtype=np.int64)
    nodes, trees = forest.roots, np.arange(len(forest.roots))
    while len(nodes):
        depths[trees] += 1
        inner = [~leaf[nodes] for leaf in forest.leafs]
        below = [child[nodes][kept] for child, kept in zip(forest.children, inner, strict=True)]
        trees = np.concatenate([trees[kept] for kept in inner])
        nodes = np.concatenate(below)
    return depths


def _block(forest: _Forest, roots: np.ndarray) -> _Block:
    """Number the nodes level by level."""
    import numpy as np

    parts: list[tuple[np.ndarray, ...]] = []
    nodes, leafs, trees = roots, np.zeros(len(roots), dtype=bool), np.arange(len(roots))
    size = depth = 0
    while True:
        places = np.arange(size, size + len(nodes))
        size += len(nodes)
        inner = np.where(leafs, 0, nodes)
        child = places + 1
        child[~leafs] = size + 1 + 2 * np.arange(int((~leafs).sum()))
        threshold = np.where(leafs, np.float32(_LARGEST), forest.threshold[inner])
        column = np.where(leafs, 0, forest.column[inner])
        parts.append((column, threshold, child, np.where(leafs, nodes, -1), trees))
        splits = nodes[~leafs]
        if not len(splits):
            break
        depth += 1
        trees = np.repeat(trees[~leafs], 2)
        nodes = np.stack([side[splits] for side in forest.children], axis=1).reshape(-1)
        leafs = np.stack([side[splits] for side in forest.leafs], axis=1).reshape(-1)
    column, threshold, child, leaf, tree = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Block(
        trees=len(roots),
        depth=depth,
        column=column.astype(np.int32),
        threshold=threshold.astype(np.float32),
        child=child.astype(np.int32),
        leaf=leaf,
        tree=tree,
    )


def _walk(node: Node, block: _Block, table: Any, forest: _Forest) -> Any:
    """The sums of the leaves that each row reaches: [N, width]."""
    import numpy as np

    tf = node.tf
    column, threshold, child = (tf.constant(part) for part in (block.column, block.threshold, block.child))
    roots = np.arange(block.trees, dtype=np.int32)
    # The first step reads the same splits in every row. No step says "not": TensorFlow makes `x > t` of
    # `not x <= t`, which is something else where x is NaN.
    values = tf.gather(table, block.column[roots], axis=1)
    places = block.child[roots] - tf.cast(values <= block.threshold[roots], tf.int32)
    for _ in range(block.depth - 1):
        values = tf.gather(table, tf.gather(column, places), batch_dims=1)
        before = tf.cast(values <= tf.gather(threshold, places), tf.int32)
        places = tf.gather(child, places) - before
    return _sums(tf, block, places, forest)


def _sums(tf: Any, block: _Block, places: Any, forest: _Forest) -> Any:
    import numpy as np

    at_leaf = block.leaf >= 0
    reached = np.where(at_leaf, block.leaf, 0)
    weights = np.where(at_leaf, forest.weights[reached], np.float32(0)).astype(np.float32)
    if forest.width == 1:
        return tf.reduce_sum(tf.gather(tf.constant(weights), places), axis=1, keepdims=True)
    targets = forest.targets[reached]
    of_tree = np.zeros(block.trees, dtype=np.int64)
    of_tree[block.tree[at_leaf]] = targets[at_leaf]
    if np.array_equal(of_tree[block.tree[at_leaf]], targets[at_leaf]):
        turns = np.eye(forest.width, dtype=np.float32)[of_tree]
        return tf.matmul(tf.gather(tf.constant(weights), places), tf.constant(turns))
    rows = np.zeros((len(weights), forest.width), dtype=np.float32)
    rows[np.arange(len(weights)), targets] = weights
    return tf.reduce_sum(tf.gather(tf.constant(rows), places), axis=1)
