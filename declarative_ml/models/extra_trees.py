"""Extremely randomised trees (Geurts, Ernst & Wehenkel, Machine Learning 2006), grown by scikit-learn.

Each tree learns from all rows and draws its thresholds at random, so that trees differ and their mean is
smooth. For classes the mean is one of log-probabilities (a logarithmic opinion pool), each leaf's shares
first drawn towards those of the whole table. Against the usual mean of probabilities that was level on two
tables of two classes and far ahead on one of ten classes, and it is a plain sum in the graph.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.optional import require
from declarative_ml.learning.space import Span
from declarative_ml.models.base import FitContext, Fitted, State, Work
from declarative_ml.models.forest import Forest, read_tree
from declarative_ml.models.tree_columns import (
    TreeModel,
    TreeRows,
    class_shares,
    place_and_scale,
    require_columns,
)
from declarative_ml.models.tree_graph import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from declarative_ml.learning.dataset import Dataset
    from declarative_ml.learning.disk_rows import DiskRows
    from declarative_ml.learning.task import Task

_MOST_LEAVES = 290_000
"""Leaves of the whole graph, where the spec leaves the size open: one takes 27 bytes, and a refit on all rows
has up to a quarter more of them than the folds, so the model stays below 10 MB whatever the rows."""
_FEWEST_TREES, _MOST_TREES = 30, 100
"""200 trees were no better than 100, and 25 to 50 came close to them."""
_BATCHES = 20
"""Trees are grown in so many batches: between two the clock is looked at."""
_VALUES_PER_THREAD = 200_000
"""Values (rows x columns) that keep a thread busy."""
_CURVE_ROWS = 5_000
"""Training rows that the curve's training loss is measured on."""
_LARGEST_EXPONENT = 60


class ExtraTrees(TreeModel):
    """Trees with random thresholds, averaged: few options, robust, unlike boosted trees in a blend."""

    type: Literal["extra_trees"] = "extra_trees"
    trees: int | None = Field(
        default=None, ge=1, le=10_000, description="Absent: 30 to 100, the fewer the more rows"
    )
    feature_fraction: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Share of columns a split chooses from; absent: a third, for numbers a half",
    )
    min_data_in_leaf: int | None = Field(
        default=None,
        ge=1,
        description="Absent: 3 for two classes, else 1; more where the model would pass 10 MB",
    )
    smoothing: float = Field(
        default=1.0,
        gt=0.0,
        description="Classes: rows with the shares of the whole table that are added to each leaf",
    )

    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "numpy")
    space: ClassVar[Mapping[str, Span]] = {
        "feature_fraction": Span(low=0.1, high=1.0),
        "min_data_in_leaf": Span(low=1, high=30, log=True),
        "smoothing": Span(low=0.1, high=10.0, log=True),
    }

    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Grow the trees; the work is `trees` and `fit_rows`, the rows by which absent options were chosen.

        Raises DataError when there is no column to split on, MissingDependency without scikit-learn.
        """
        require_columns(train.layout, "extra_trees")
        require("sklearn", "sklearn")
        work = context.work or {}
        rows = work.get("fit_rows", len(train))
        trees, leaf_rows = self._size(rows, context.task)
        trees = work.get("trees", trees)
        fraction = self.feature_fraction or _fraction(context.task)
        seen, state = self.learn_rows(train, context.task)
        growing = _Growing(seen, context, leaf_rows, fraction, self.smoothing, state)
        growing.watch(seen, "train", _CURVE_ROWS)
        if validation is not None and context.work is None:
            growing.watch(self.rows(validation, state), "validation")
        growing.run(trees)
        return growing.fitted({"trees": growing.grown, "fit_rows": rows})

    def _size(self, rows: int, task: Task) -> tuple[int, int]:
        """How many trees, and how many rows a leaf has at least.

        Smaller leaves gained more than trees beyond about fifty: so the number of trees gives way first,
        down to 30, and then the leaves grow.
        """
        leaf_rows = self.min_data_in_leaf or (3 if task.type == "binary" else 1)
        leaves = max(rows, 1) * task.width / _MOST_LEAVES
        trees = self.trees or min(_MOST_TREES, max(_FEWEST_TREES, math.floor(leaf_rows / leaves)))
        return trees, self.min_data_in_leaf or max(leaf_rows, math.ceil(leaves * trees))

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64."""
        margins: np.ndarray = (
            _forest(state).margins(self.rows(data, state).matrix()) * state["scale"] + state["offset"]
        )
        return margins

    def forest(self, state: State) -> list[Tree]:
        """See TreeModel.forest: one for each class of several."""
        return list(_forest(state).trees())

    def defaults(self, rows: int, task: Task) -> dict[str, Any]:
        """See Model.defaults."""
        trees, leaf_rows = self._size(rows, task)
        return {"trees": trees, "min_data_in_leaf": leaf_rows, "feature_fraction": round(_fraction(task), 3)}

    def gains(self, state: State, columns: int) -> np.ndarray:
        """See TreeModel.gains: by how much the impurity fell."""
        import numpy as np

        return np.bincount(state["feature"], weights=state["gain"], minlength=columns)


def _fraction(task: Task) -> float:
    """The share of columns that a split chooses from. Numbers gain from a wider choice than classes."""
    return 1 / 3 if task.is_classification else 0.5


def _forest(state: State) -> Forest:
    return Forest(**{field.name: state[field.name] for field in fields(Forest)})


class _Growing:
    """Trees as they grow: batches, and the loss of their mean on the watched rows."""

    def __init__(
        self,
        train: TreeRows,
        context: FitContext,
        leaf_rows: int,
        fraction: float,
        smoothing: float,
        learned: State,
    ) -> None:
        import numpy as np
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        self._context, self._smoothing, self._learned = context, smoothing, learned
        self._offset, self._scale = place_and_scale(train.data, context.task)
        values = train.matrix()
        self._exponents = _exponents(values)
        self._matrix = np.ldexp(values, self._exponents)
        self._target = self._scaled_target(train.data.target)
        self._weight = train.data.weight
        self._prior = class_shares(train.data, context.task) if context.task.is_classification else np.ones(1)
        make = ExtraTreesClassifier if context.task.is_classification else ExtraTreesRegressor
        self._model = make(
            max_features=fraction,
            min_samples_leaf=leaf_rows,
            random_state=context.seed,
            n_jobs=min(context.threads, max(1, values.size // _VALUES_PER_THREAD)),
            warm_start=True,
        )
        self._watched: dict[str, _Watched] = {}
        self._forests: list[Forest] = []
        self.stopped_after: int | None = None
        self.curve: list[dict[str, float]] = []

    @property
    def grown(self) -> int:
        """Trees so far."""
        return len(self._forests)

    def watch(self, seen: TreeRows, name: str, most: int | None = None) -> None:
        """Measure the loss on these rows (the first `most` of them) after every batch."""
        chosen, weight = slice(most), seen.data.weight
        target = self._scaled_target(seen.data.target[chosen])
        weight = None if weight is None else weight[chosen]
        self._watched[name] = _Watched(seen.matrix(chosen), target, weight, self._context.task)

    def run(self, trees: int) -> None:
        """Grow until there are `trees`, or the time is up."""
        batch = max(self._model.n_jobs, math.ceil(trees / _BATCHES))
        while self.grown < trees:
            self._model.set_params(n_estimators=min(trees, self.grown + batch))
            self._model.fit(self._matrix, self._target, self._weight)
            new = [self._read(tree.tree_) for tree in self._model.estimators_[self.grown :]]
            self._forests += new
            losses = {name: rows.add(Forest.of(new)) for name, rows in self._watched.items()}
            self.curve.append({"step": float(self.grown), **losses})
            shown = losses.get("validation", losses["train"])
            self._context.progress(self.grown / trees, f"tree {self.grown}/{trees} · loss {shown:.4f}")
            if self.grown < trees and self._context.ends_after(self.grown):
                self.stopped_after = self.grown
                break

    def _scaled_target(self, target: np.ndarray | DiskRows) -> np.ndarray:
        import numpy as np

        if self._context.task.is_classification:
            return np.asarray(target)
        return (np.asarray(target, dtype=np.float64) - self._offset) / self._scale

    def _read(self, tree: Any) -> Forest:
        """The tree with margins in its leaves; scikit-learn knows only the classes that occur."""
        import numpy as np

        task, values = self._context.task, tree.value[:, 0, :]
        if not task.is_classification:
            return read_tree(tree, values, self._exponents)
        rows = tree.weighted_n_node_samples[:, None]
        counts = np.broadcast_to(self._smoothing * self._prior, (len(rows), len(self._prior))).copy()
        counts[:, self._model.classes_] += values * rows
        logs = np.log(counts / (rows + self._smoothing))
        return read_tree(tree, logs[:, 1:] - logs[:, :1] if task.type == "binary" else logs, self._exponents)

    def fitted(self, work: Work) -> Fitted:
        """The forest, whose sum of leaves is the mean of the trees."""
        import numpy as np

        forest = Forest.of(self._forests)
        state = {
            **self._learned,
            **forest.arrays(),
            "leaf": forest.leaf / np.float32(self.grown),
            "offset": np.array([self._offset]),
            "scale": np.array([self._scale]),
        }
        return Fitted(state, work, self.curve, self.stopped_after)


class _Watched:
    """Rows whose loss is followed while trees are added."""

    def __init__(self, values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, task: Task) -> None:
        self._matrix, self._target, self._weight, self._task = values, target, weight, task
        self._sum: Any = 0.0
        self._trees = 0

    def add(self, forest: Forest) -> float:
        """The mean loss with these trees added: log loss, or the square in units of the deviation."""
        import numpy as np

        self._sum = self._sum + forest.margins(self._matrix)
        self._trees += len(forest.splits)
        margins = self._sum / self._trees
        if not self._task.is_classification:
            losses = (margins[:, 0] - self._target) ** 2
        else:
            logits = np.concatenate([0.0 * margins, margins], axis=1) if self._task.width == 1 else margins
            top = logits.max(axis=1)
            log_sum = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
            losses = log_sum - logits[np.arange(len(logits)), self._target]
        return float(np.average(losses, weights=self._weight))


def _exponents(values: np.ndarray) -> np.ndarray:
    """The power of two for each column [N, D] that brings its largest value near 2^60.

    scikit-learn takes values that differ by less than 1e-7 for the same. Multiplying by a power of two
    is exact, so the unit of a column does not matter.
    """
    import numpy as np

    largest = np.fmax.reduce(np.abs(values), axis=0, initial=0.0)
    return np.asarray(_LARGEST_EXPONENT - np.frexp(largest)[1])
