"""Gradient-boosted trees by XGBoost (Chen & Guestrin, KDD 2016), with native categorical splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.learning.space import Span
from declarative_ml.models.base import FitContext, Fitted, State, Work
from declarative_ml.models.boosting import Boosting, boosted_refit
from declarative_ml.models.tree_columns import (
    TreeModel,
    TreeRows,
    class_shares,
    place_and_scale,
    require_columns,
)
from declarative_ml.models.tree_graph import Tree
from declarative_ml.models.xgboost_import import import_xgboost
from declarative_ml.models.xgboost_trees import read_trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from declarative_ml.learning.dataset import Dataset
    from declarative_ml.learning.task import Task

_OBJECTIVES = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "number": ("reg:squarederror", "rmse"),
}
_NO_MARGIN = {"binary": 0.5, "multiclass": 0.0, "number": 0.0}
"""The `base_score` that adds nothing: boosting starts from a margin that is kept beside the trees."""
_VALUES_PER_THREAD = 500_000
"""Values (rows x columns) that keep a thread busy."""


class XGBoost(TreeModel):
    """Boosted decision trees of even depth: as strong as lightgbm, and unlike it in a blend."""

    type: Literal["xgboost"] = "xgboost"
    rounds: int | None = Field(
        default=None, ge=1, description="At most this many; absent: 2000, or 5 / learning_rate unvalidated"
    )
    early_stopping: int = Field(default=50, ge=1, description="Stop after as many rounds without gain")
    learning_rate: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Absent: 0.05; up to three times that for many classes"
    )
    max_depth: int | None = Field(
        default=None, ge=1, le=16, description="Most splits from the root to a leaf; absent: 6, for numbers 8"
    )
    min_child_weight: float = Field(
        default=1.0, ge=0.0, description="Least sum of second derivatives in a leaf; for numbers, of weights"
    )
    feature_fraction: float = Field(default=0.5, gt=0.0, le=1.0, description="Share of columns a tree sees")
    bagging_fraction: float = Field(default=0.8, gt=0.0, le=1.0, description="Share of rows a tree sees")
    lambda_l1: float = Field(default=0.0, ge=0.0, description="L1 penalty of leaf values")
    lambda_l2: float = Field(default=1.0, ge=0.0, description="L2 penalty of leaf values")
    max_bin: int = Field(default=256, ge=2, le=65535, description="Most histogram bins of a column")

    libraries: ClassVar[tuple[str, ...]] = ("xgboost-cpu", "numpy")
    monotone: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Span]] = {
        "learning_rate": Span(low=0.015, high=0.15, log=True),
        "max_depth": Span(low=2, high=10),
        "min_child_weight": Span(low=0.1, high=30.0, log=True),
        "feature_fraction": Span(low=0.25, high=1.0),
        "bagging_fraction": Span(low=0.5, high=1.0),
        "lambda_l2": Span(low=0.03, high=30.0, log=True),
    }

    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Boost until the validation loss stops improving, or for exactly `context.work["rounds"]`.

        A number target is standardised first, so that no option depends on its unit. Raises DataError
        when there is no column to split on, MissingDependency without xgboost.
        """
        require_columns(train.layout, "xgboost")
        seen, state = self.learn_rows(train, context.task)
        boosting = _Boosting(self._parameters(seen, context), seen, context.task, state)
        own_steps = self.learning_rate is None
        if context.work is not None:
            boosting.run(context.work["rounds"], context, own_steps=own_steps)
            return boosting.fitted({**context.work, "rounds": boosting.best})
        if validation is None:
            boosting.run(self.rounds or round(5.0 / boosting.learning_rate), context, own_steps=own_steps)
        else:
            boosting.watch(self.rows(validation, state))
            boosting.run(self.rounds or 2000, context, self.early_stopping, own_steps=own_steps)
        return boosting.fitted(boosting.work())

    def _parameters(self, train: TreeRows, context: FitContext) -> dict[str, Any]:
        """XGBoost's own names of the options."""
        kind = context.task.type
        objective, metric = _OBJECTIVES[kind]
        parameters = {
            "objective": objective,
            "eval_metric": metric,
            "base_score": _NO_MARGIN[kind],
            "tree_method": "hist",
            "learning_rate": self.learning_rate or _default_rate(context.task),
            "max_depth": self.max_depth or _default_depth(context.task),
            "min_child_weight": self.min_child_weight,
            "colsample_bytree": self.feature_fraction,
            "subsample": self.bagging_fraction,
            "reg_alpha": self.lambda_l1,
            "reg_lambda": self.lambda_l2,
            "max_bin": self.max_bin,
            "seed": context.seed,
            "nthread": min(context.threads, max(1, train.size // _VALUES_PER_THREAD)),
            "verbosity": 0,
        }
        if kind == "multiclass":
            parameters["num_class"] = context.task.width
        if context.monotone:
            parameters["monotone_constraints"] = tuple(train.directions(context.monotone))
        return parameters

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64."""
        library = import_xgboost()
        booster = library.Booster({"verbosity": 0}, model_file=bytearray(state["model"].tobytes()))
        sums = booster.predict(_rows(library, self.rows(data, state)), output_margin=True).reshape(
            len(data), task.width
        )
        margins: np.ndarray = sums * state["scale"] + state["offset"]
        return margins

    def forest(self, state: State) -> list[Tree]:
        """See TreeModel.forest."""
        return read_trees(state["model"].tobytes())

    def refit_work(self, works: list[Work], fit_rows: int, refit_rows: int) -> Work:
        """See Model.refit_work."""
        return boosted_refit(works)

    def defaults(self, rows: int, task: Task) -> dict[str, Any]:
        """See Model.defaults."""
        return {"learning_rate": _default_rate(task), "max_depth": _default_depth(task)}


def _default_rate(task: Task) -> float:
    """Every class costs a tree a round, so that many classes take larger steps."""
    return 0.05 * min(3.0, max(1.0, task.width / 3))


def _default_depth(task: Task) -> int:
    """Numbers bear larger trees than classes."""
    return 6 if task.is_classification else 8


def _rows(library: Any, rows: TreeRows, label: np.ndarray | None = None) -> Any:
    """XGBoost's own form of the rows; codes are categories."""
    return library.DMatrix(
        rows.matrix(), label, weight=rows.data.weight, feature_types=rows.kinds, enable_categorical=True
    )


class _Boosting(Boosting):
    """A booster of XGBoost at work."""

    def __init__(self, parameters: dict[str, Any], train: TreeRows, task: Task, learned: State) -> None:
        super().__init__(task.type, parameters["learning_rate"])
        self._library = import_xgboost()
        self._task = task
        self._learned = learned
        self._offset, self._scale = _start(train.data, task)
        self._train = self._watched(train)
        self._validation: Any = None
        self._booster = self._library.Booster(parameters, [self._train])

    def watch(self, validation: TreeRows) -> None:
        """Measure the loss on these rows after every round."""
        self._validation = self._watched(validation)

    def _watched(self, seen: TreeRows) -> Any:
        """The rows with their target, and for classes with the margin that boosting starts from."""
        import numpy as np

        if not self._task.is_classification:
            return _rows(self._library, seen, (np.asarray(seen.data.target) - self._offset) / self._scale)
        rows = _rows(self._library, seen, np.asarray(seen.data.target))
        rows.set_base_margin(np.tile(self._offset.astype(np.float32), (len(seen), 1)))
        return rows

    def _update(self, done: int) -> bool:
        self._booster.update(self._train, done - 1)
        return False

    def _step_by(self, learning_rate: float) -> None:
        self._booster.set_param({"learning_rate": learning_rate})

    def _losses(self, *, train: bool) -> dict[str, float]:
        losses = {"train": self._loss(self._train)} if train else {}
        if self._validation is not None:
            losses["validation"] = self._loss(self._validation)
        return losses

    def _loss(self, rows: Any) -> float:
        """Log loss, or the mean square in units of the deviation: XGBoost says its root, as text."""
        loss = float(self._booster.eval_set([(rows, "rows")]).rpartition(":")[2])
        return loss if self._task.is_classification else loss**2

    def fitted(self, work: Work) -> Fitted:
        """The model up to its best round."""
        import numpy as np

        state = {
            **self._learned,
            "model": np.frombuffer(bytes(self._booster[: self.best].save_raw("json")), dtype=np.uint8),
            "offset": self._offset,
            "scale": self._scale,
        }
        return Fitted(state, work, self.curve, self.stopped_after, self.hurried)


def _start(train: Dataset, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Where boosting starts [width] and the scale [1]: margins of the classes' shares, or the target's."""
    import numpy as np

    if not task.is_classification:
        place, scale = place_and_scale(train, task)
        return np.array([place]), np.array([scale])
    logs = np.log(class_shares(train, task))
    return (logs[1:] - logs[:1] if task.type == "binary" else logs), np.ones(1)
