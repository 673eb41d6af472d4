"""A forest as plain arrays: what scikit-learn has grown, how it predicts, and its trees for the graph.

scikit-learn compares float32 values with float64 thresholds (`x <= t`), so a threshold becomes the largest
float32 that is not above it: every row then takes the same way here, in the graph and in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from declarative_ml.models.tree_graph import Tree, float32_below, share

if TYPE_CHECKING:
    import numpy as np

_WALKERS = 200_000
"""Rows x trees that are on their way at a time: few enough to stay near the processor."""


@dataclass(frozen=True)
class Forest:
    """The trees one after another: S splits and S + T leaves of T trees.

    A child >= 0 is a split and a child < 0 the leaf `~child`, both counted from the start of their tree.
    """

    feature: np.ndarray
    """[S] int32."""
    threshold: np.ndarray
    """[S] float32: a value up to it goes left."""
    missing_left: np.ndarray
    """[S] bool: whether NaN goes left."""
    left: np.ndarray
    right: np.ndarray
    gain: np.ndarray
    """[S] float32: by how much each split lowered the impurity, times the weight of its rows."""
    left_share: np.ndarray
    """[S] float32: the share of a split's rows that went left."""
    leaf: np.ndarray
    """[S + T, width] float32."""
    splits: np.ndarray
    """[T] int32: how many splits each tree has."""

    @classmethod
    def of(cls, parts: Sequence[Forest]) -> Forest:
        """One forest of all the trees of `parts`, in their order."""
        import numpy as np

        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name; `Forest(**arrays)` is the way back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """The sum of the leaves that each row of `matrix` [N, features] float32 falls into: [N, width]."""
        import numpy as np

        walk = _Walk(self)
        found = np.empty((len(matrix), self.leaf.shape[1]))
        step = max(1, _WALKERS // len(self.splits))
        for start in range(0, len(matrix), step):
            leaves = walk.leaves(matrix[start : start + step])
            found[start : start + step] = self.leaf[leaves].sum(axis=1, dtype=np.float64)
        return found

    def trees(self) -> Iterator[Tree]:
        """The trees for the graph; one of several outputs is a tree for each, in turn."""
        import numpy as np

        split, leaf = 0, 0
        for count in self.splits.tolist():
            part, leaves = slice(split, split + count), self.leaf[leaf : leaf + count + 1]
            split, leaf = split + count, leaf + count + 1
            for output in range(self.leaf.shape[1]):
                yield Tree(
                    feature=self.feature[part],
                    gain=self.gain[part],
                    threshold=self.threshold[part].astype(np.float64),
                    members=(None,) * count,
                    missing_left=self.missing_left[part],
                    left=self.left[part],
                    right=self.right[part],
                    leaf=leaves[:, output],
                    left_share=self.left_share[part],
                )


class _Walk:
    """The ways of rows through all trees at once."""

    def __init__(self, forest: Forest) -> None:
        import numpy as np

        self._forest = forest
        trees = np.arange(len(forest.splits), dtype=np.int32)
        self._starts = np.cumsum(forest.splits, dtype=np.int32) - forest.splits
        of_split = np.repeat(trees, forest.splits)
        splits, leaves = self._starts[of_split], self._starts[of_split] + of_split
        # A leaf ~n of its tree is ~(n + leaves before) = ~n - leaves before.
        self._children = np.stack(
            [np.where(side < 0, side - leaves, side + splits) for side in (forest.right, forest.left)]
        )
        self._roots = np.where(forest.splits > 0, self._starts, ~(self._starts + trees))

    def leaves(self, matrix: np.ndarray) -> np.ndarray:
        """The leaf of each row in each tree, counted over the forest: [N, T]."""
        import numpy as np

        forest = self._forest
        at = np.tile(self._roots, len(matrix))
        walking = np.flatnonzero(at >= 0)
        rows = walking // len(self._roots)
        while len(walking):
            split = at[walking]
            value = matrix[rows, forest.feature[split]]
            goes_left = (value <= forest.threshold[split]) | (np.isnan(value) & forest.missing_left[split])
            child = self._children[goes_left.astype(np.int8), split]
            at[walking] = child
            on = child >= 0
            walking, rows = walking[on], rows[on]
        return ~at.reshape(len(matrix), -1)


def read_tree(tree: Any, leaf: np.ndarray, exponents: np.ndarray) -> Forest:
    """scikit-learn's `tree_` as a forest of one tree.

    `leaf` [nodes, width] is what each node would answer; `exponents` [features] tell the power of two by
    which the columns were multiplied before the tree was grown.
    """
    import numpy as np

    is_leaf = tree.children_left < 0
    number = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1).astype(np.int32)
    split = ~is_leaf
    feature = tree.feature[split].astype(np.int32)
    left, right = tree.children_left[split], tree.children_right[split]
    rows = tree.weighted_n_node_samples
    mass = rows * tree.impurity
    return Forest(
        feature=feature,
        threshold=float32_below(np.ldexp(tree.threshold[split], -exponents[feature])),
        missing_left=tree.missing_go_to_left[split].astype(bool),
        left=number[left],
        right=number[right],
        gain=np.maximum(mass[split] - mass[left] - mass[right], 0.0).astype(np.float32),
        left_share=share(rows[left], rows[right]).astype(np.float32),
        leaf=leaf[is_leaf].astype(np.float32),
        splits=np.array([split.sum()], dtype=np.int32),
    )
