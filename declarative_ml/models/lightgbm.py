"""Gradient-boosted trees by LightGBM (Ke et al., NeurIPS 2017), with native categorical splits."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.learning.space import Span
from declarative_ml.models.base import FitContext, Fitted, State, Work
from declarative_ml.models.boosting import LARGEST_RATE, Boosting, boosted_refit
from declarative_ml.models.lightgbm_import import import_lightgbm
from declarative_ml.models.tree_columns import TreeModel, TreeRows, place_and_scale, require_columns
from declarative_ml.models.tree_graph import Tree, parse_trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from declarative_ml.learning.dataset import Dataset
    from declarative_ml.learning.task import Task

_OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "number": "regression"}

_VALUES_PER_THREAD = 500_000
"""Values (rows x columns) that keep a thread busy. With fewer, threads wait for each other more than they
work: on 35,000 rows of 14 columns two take 1.7 times the processor time of one, and no less time."""

_MONOTONE_PENALTY = 2.0
"""Keeps constrained columns out of the first two levels of a tree, where a split would bind everything below
it (Auguste, Malory & Smirnov, arXiv 2020). The RMSE of four tables came out between 1.1 % lower and 0.3 %
higher than without it."""

_MATRIX_VALUES = 1 << 24
"""Up to so many values (64 MB) are handed to LightGBM at once."""
_BLOCK_ROWS = 16_384
_LEAST_CHANCE = 1e-15
"""Probabilities below it count as it."""
_WAY = 8.0
"""So far, in rounds times the learning rate, few rounds should come."""


class LightGBM(TreeModel):
    """Boosted decision trees: strong on tables, fast, no scaling needed."""

    type: Literal["lightgbm"] = "lightgbm"
    rounds: int | None = Field(
        default=None, ge=1, description="At most this many; absent: 2000, or 5 / learning_rate unvalidated"
    )
    early_stopping: int = Field(default=50, ge=1, description="Stop after as many rounds without gain")
    total_leaves: int | None = Field(
        default=None,
        ge=2,
        description="Of all trees together, about 27 bytes each in model.onnx: rounds end there, and an "
        "absent learning_rate is larger where they are few; absent: no bound",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Absent: 0.04 below 5,000 rows, else 0.06; more for many classes",
    )
    num_leaves: int | None = Field(
        default=None,
        ge=2,
        le=65536,
        description="Absent: the cube root of the rows, x 1.5 for numbers, within 8..64",
    )
    min_data_in_leaf: int | None = Field(
        default=None, ge=1, description="Absent: 20, or a fifth of fewer than 100 rows"
    )
    feature_fraction: float = Field(default=0.5, gt=0.0, le=1.0, description="Share of columns a tree sees")
    bagging_fraction: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Share of rows a tree sees; absent: 0.8 below 5,000 rows, else 1",
    )
    bagging_freq: int = Field(default=1, ge=0, description="Draw rows anew every so many rounds; 0: never")
    lambda_l1: float = Field(default=0.0, ge=0.0, description="L1 penalty of leaf values")
    lambda_l2: float = Field(default=1.0, ge=0.0, description="L2 penalty of leaf values")
    extra_trees: bool = Field(
        default=False, description="Random thresholds: trees differ more and fit faster"
    )
    max_bin: int = Field(default=255, ge=2, le=65535, description="Most histogram bins of a column")
    cat_smooth: float | None = Field(
        default=None, ge=0.0, description="Smoothing of rare categories; absent: 3 below 5,000 rows, else 10"
    )
    cat_l2: float | None = Field(
        default=None, ge=0.0, description="L2 penalty of categorical splits; absent: as cat_smooth"
    )

    libraries: ClassVar[tuple[str, ...]] = ("lightgbm", "numpy")
    monotone: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Span]] = {
        "learning_rate": Span(low=0.015, high=0.15, log=True),
        "num_leaves": Span(low=4, high=128, log=True),
        "min_data_in_leaf": Span(low=3, high=100, log=True),
        "feature_fraction": Span(low=0.25, high=1.0),
        "bagging_fraction": Span(low=0.5, high=1.0),
        "lambda_l2": Span(low=0.03, high=30.0, log=True),
        "cat_smooth": Span(low=1.0, high=100.0, log=True),
        "extra_trees": Span(choices=(False, True)),
    }

    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Boost until the validation loss stops improving, or for exactly `context.work["rounds"]`.

        A number target is standardised first, so that no option depends on its unit. Raises DataError
        when there is no column to split on.
        """
        require_columns(train.layout, "lightgbm")
        seen, state = self.learn_rows(train, context.task)
        boosting = _Boosting(self._parameters(seen, context), seen, context.task, state)
        own_steps = self.learning_rate is None
        if context.work is not None:
            boosting.run(context.work["rounds"], context, own_steps=own_steps)
            return boosting.fitted({**context.work, "rounds": boosting.best})
        rows = len(train)
        most = self._most_rounds(rows, context.task)
        if validation is None:
            most = min(self.rounds or round(5.0 / boosting.learning_rate), most)
            boosting.run(most, context, own_steps=own_steps)
        else:
            boosting.watch(self.rows(validation, state))
            most = min(self.rounds or 2000, most)
            boosting.run(most, context, self.early_stopping, own_steps=own_steps)
        return boosting.fitted({**boosting.work(), "fit_rows": rows})

    def _parameters(self, train: TreeRows, context: FitContext) -> dict[str, Any]:
        """LightGBM's parameters. A refit uses those of the fit that chose its work."""
        objective = _OBJECTIVES[context.task.type]
        rows = (context.work or {}).get("fit_rows", len(train))
        ours = {"type", "rounds", "early_stopping", "total_leaves", "categories", "target_smoothing"}
        options = self.model_dump(exclude=ours, exclude_none=True)
        return {
            **self.defaults(rows, context.task),
            **options,
            "objective": objective,
            "metric": "None",  # see _Boosting._loss
            **({"num_class": context.task.width} if objective == "multiclass" else {}),
            "seed": context.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": min(context.threads, max(1, train.size // _VALUES_PER_THREAD)),
            "verbosity": -1,
            **_constraints(train, context.monotone),
        }

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64."""
        booster = import_lightgbm().Booster(model_str=_text(state))
        margins = booster.predict(self.rows(data, state).matrix(), raw_score=True).reshape(
            len(data), task.width
        )
        scaled: np.ndarray = margins * state["scale"] + state["offset"]
        return scaled

    def forest(self, state: State) -> list[Tree]:
        """See TreeModel.forest."""
        return parse_trees(_text(state))

    def refit_work(self, works: list[Work], fit_rows: int, refit_rows: int) -> Work:
        """See Model.refit_work."""
        return {
            **boosted_refit(works),
            "fit_rows": round(statistics.median(work["fit_rows"] for work in works)),
        }

    def defaults(self, rows: int, task: Task) -> dict[str, Any]:
        """See Model.defaults."""
        found = _options_by_rows(rows, task)
        if self.total_leaves is not None:
            steps = _WAY / self._most_rounds(rows, task)
            found["learning_rate"] = max(found["learning_rate"], min(LARGEST_RATE, steps))
        return found

    def _most_rounds(self, rows: int, task: Task) -> int:
        """The rounds that `total_leaves` has room for: each has a tree, or one for each of many classes."""
        if self.total_leaves is None:
            return sys.maxsize
        leaves = self.num_leaves or _options_by_rows(rows, task)["num_leaves"]
        return max(1, self.total_leaves // (leaves * task.width))


def _options_by_rows(rows: int, task: Task) -> dict[str, Any]:
    """The options that are best left to the number of training rows and to the task.

    Found by cross-validation inside the training rows of thirteen small and medium tables. Fewer rows
    want smaller trees, smaller steps and drawn rows; from about 5,000 rows on, drawing rows costs
    accuracy. Numbers bear larger trees than classes. Every class costs a tree a round, so that many
    classes take larger steps.
    """
    small = rows < 5000
    leaves = rows ** (1 / 3) * (1.0 if task.is_classification else 1.5)
    return {
        "learning_rate": (0.04 if small else 0.06) * min(3.0, max(1.0, task.width / 3)),
        "num_leaves": min(64, max(8, round(leaves))),
        "min_data_in_leaf": min(20, max(2, rows // 5)),
        "bagging_fraction": 0.8 if small else 1.0,
        "cat_smooth": 3.0 if small else 10.0,
        "cat_l2": 3.0 if small else 10.0,
    }


def _constraints(rows: TreeRows, monotone: Mapping[str, int]) -> dict[str, Any]:
    """The parameters that keep the directions of `monotone`; none without any.

    Of LightGBM's methods only `basic` keeps its promise: `intermediate` and `advanced` of LightGBM 4.7 let
    predictions go the other way by up to 1 % of the target's deviation, where values are missing or trees
    see a share of the columns. The run sweeps the shipped graph for it (steps.sweep).
    """
    if not monotone:
        return {}
    return {
        "monotone_constraints": rows.directions(monotone),
        "monotone_constraints_method": "basic",
        "monotone_penalty": _MONOTONE_PENALTY,
    }


class _Boosting(Boosting):
    """A booster of LightGBM at work."""

    def __init__(self, parameters: dict[str, Any], train: TreeRows, task: Task, learned: State) -> None:
        super().__init__(task.type, parameters["learning_rate"])
        self._library = import_lightgbm()
        self._task = task
        self._learned = learned
        self._offset, self._scale = place_and_scale(train.data, task)
        self._parameters = parameters
        self._data = self._library.Dataset(
            binned_from(train),
            self._target(train.data),
            weight=_weight(train.data),
            categorical_feature=[place for place, kind in enumerate(train.kinds) if kind == "c"],
            params=parameters,
        )
        self._booster = self._library.Booster(parameters, self._data)
        self._watching = False

    def _target(self, data: Dataset) -> np.ndarray:
        """The target as LightGBM sees it, float64 [N]."""
        import numpy as np

        return (np.asarray(data.target, dtype=np.float64) - self._offset) / self._scale

    def watch(self, validation: TreeRows) -> None:
        """Measure the loss on these rows after every round."""
        data = self._library.Dataset(
            binned_from(validation),
            self._target(validation.data),
            weight=_weight(validation.data),
            reference=self._data,
            params=self._parameters,
        )
        self._booster.add_valid(data, "validation")
        self._watching = True

    def _update(self, done: int) -> bool:
        finished: bool = self._booster.update()
        return finished

    def _step_by(self, learning_rate: float) -> None:
        self._booster.reset_parameter({"learning_rate": learning_rate})

    def _losses(self, *, train: bool) -> dict[str, float]:
        losses = {"train": float(self._booster.eval_train(self._loss)[0][2])} if train else {}
        if self._watching:
            losses["validation"] = float(self._booster.eval_valid(self._loss)[0][2])
        return losses

    def _loss(self, prediction: np.ndarray, data: Any) -> tuple[str, float, bool]:
        """The mean log loss of probabilities [N] or [N, classes], or the mean square, as LightGBM takes a
        metric: name, value, whether more is better.

        LightGBM's own metrics are summed by as many threads as the process happens to have in use, so their
        last bits change from run to run, and with them now and then the round that early stopping chooses.
        """
        import numpy as np

        label = data.get_label()
        if not self._task.is_classification:
            losses = (prediction - label) ** 2
        else:
            chances = np.column_stack([1.0 - prediction, prediction]) if prediction.ndim == 1 else prediction
            chance = chances[np.arange(len(label)), label.astype(np.int64)]
            losses = -np.log(np.maximum(chance, _LEAST_CHANCE))
        return "loss", float(np.average(losses, weights=data.get_weight())), False

    def fitted(self, work: Work) -> Fitted:
        """The model up to its best round."""
        import numpy as np

        text = self._booster.model_to_string(num_iteration=self.best)
        # What follows the trees names the thread count: it must not reach the model's digest.
        trees = text.partition("\nend of trees")[0] + "\nend of trees\n"
        state = {
            **self._learned,
            "model": np.frombuffer(trees.encode(), dtype=np.uint8),
            "offset": np.array(self._offset),
            "scale": np.array(self._scale),
        }
        return Fitted(state, work, self.curve, self.stopped_after, self.hurried)


def binned_from(found: TreeRows) -> Any:
    """What LightGBM takes its bins from: a matrix, or rows on disk, block by block, where they are many.

    Both give the same bins: they come from as many drawn rows, by the same seed.
    """
    import numpy as np

    if found.size <= _MATRIX_VALUES:
        return found.matrix()
    library = import_lightgbm()

    class Blocks(library.Sequence):  # type: ignore[misc, name-defined]
        """Rows by number or stretch, as LightGBM asks for them: ascending."""

        batch_size = _BLOCK_ROWS

        def __init__(self) -> None:
            self._start, self._block = 0, np.zeros((0, 0), dtype=np.float32)

        def __len__(self) -> int:
            return len(found)

        def __getitem__(self, rows: Any) -> np.ndarray:
            if isinstance(rows, slice):
                return found.matrix(rows)
            if not self._start <= rows < self._start + len(self._block):
                self._start = int(rows)
                self._block = found.matrix(slice(self._start, self._start + _BLOCK_ROWS))
            # A copy, or every drawn row would keep its block.
            row: np.ndarray = self._block[rows - self._start].astype(np.float64)
            return row

    return Blocks()


def _text(state: State) -> str:
    return state["model"].tobytes().decode()


def _weight(data: Dataset) -> np.ndarray | None:
    """The weights, scaled to a mean of 1: the penalties then mean the same whatever their unit."""
    import numpy as np

    if data.weight is None:
        return None
    return np.asarray(data.weight / np.mean(data.weight), dtype=np.float64)
