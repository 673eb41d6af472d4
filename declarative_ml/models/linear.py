"""Linear and logistic regression with an L2 penalty, fitted by our own L-BFGS objective.

Loss and penalty are scikit-learn's: sum of weight x loss + penalty / 2 x |coefficients|^2, the intercept
free, so that `penalty` is 1 / C of LogisticRegression and alpha of Ridge (on a standardised target).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.learning.space import Span
from declarative_ml.models.base import FitContext, Fitted, Model, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
    from declarative_ml.learning.task import Task, TaskType

PENALTIES = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""What validation rows choose from, strongest first: each fit starts from the one before."""
_UNVALIDATED = PENALTIES.index(1.0)
# Choosing among penalties needs less precision than one fit with a given penalty, and a seventh of the time.
_ROUGH, _EXACT = 1e-7, 1e-9

_NEWTON_COLUMNS = 2_000
"""Up to this many parameters a Newton step's matrix is cheap next to the many passes of L-BFGS."""
_RIDGE = 1e-6
"""Keeps the matrix invertible where a column is constant; in rows, so far below any penalty."""
_SHORTEST = 1e-4


class Linear(Model):
    """A weight for every number and every level: simple, fast, easy to read."""

    type: Literal["linear"] = "linear"
    penalty: float | None = Field(
        default=None, ge=0.0, description="L2 strength (1 / C); absent: chosen on validation rows, else 1"
    )
    iterations: int = Field(default=300, ge=1, description="At most this many L-BFGS iterations a fit")

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    space: ClassVar[Mapping[str, Span]] = {"penalty": Span(low=1e-3, high=1e4, log=True)}

    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Minimise the penalised loss; `work["penalty_index"]` counts in PENALTIES (absent: `penalty`).

        Raises DataError when there is no column to weigh.
        """
        if not train.layout.scaled and not train.layout.codes:
            raise DataError("linear has no column to weigh", hint="give it a number, date or category column")
        path = _Path(train, validation, context, self.iterations)
        if self.penalty is not None:
            path.step(self.penalty, 1.0)
            return Fitted(path.state(), {}, path.curve, path.cut)
        if validation is None or context.work is not None:
            index = _UNVALIDATED if context.work is None else context.work["penalty_index"]
            path.step(PENALTIES[index], 1.0)
            return Fitted(path.state(), {"penalty_index": index}, path.curve, path.cut)
        for index, penalty in enumerate(PENALTIES):
            path.step(penalty, (index + 1) / len(PENALTIES), tolerance=_ROUGH)
            if index - path.best >= 2:
                break
            path.cut = path.cut or (context.time_is_up and penalty != PENALTIES[-1])
            if path.cut:
                break
        return Fitted(path.state(), {"penalty_index": path.best}, path.curve, path.cut)

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64."""
        import numpy as np

        scaled = np.asarray(data.scaled, dtype=np.float64)
        margins: np.ndarray = scaled @ state["weights"] + state["intercept"]
        if data.codes.shape[1]:
            rows = np.asarray(data.codes, dtype=np.int64) + state["starts"]
            for column in range(rows.shape[1]):
                margins += state["levels"][rows[:, column]]
        return margins

    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """scaled @ weights + the level's row of one stacked table for each code + intercept."""
        import numpy as np

        margins = graph.constant(state["intercept"].reshape(1, -1), "float32")
        if names.scaled is not None:
            product = graph.add("MatMul", [names.scaled, graph.constant(state["weights"], "float32")])
            margins = graph.add("Add", [product, margins])
        if names.codes is not None:
            starts = graph.constant(state["starts"].reshape(1, -1), "int64")
            rows = graph.add("Add", [names.codes, starts])
            table = graph.constant(state["levels"], "float32")
            found = graph.add("Gather", [table, rows], axis=0)  # [N, C, width]
            axis = graph.constant(np.array([1], dtype=np.int64))
            margins = graph.add("Add", [graph.add("ReduceSum", [found, axis], keepdims=0), margins])
        return margins

    def importance(self, state: State, layout: Layout) -> dict[str, float]:
        """The size of each column's weights; for codes the spread of its levels' weights."""
        import numpy as np

        found = dict.fromkeys(layout.scaled, 0.0)
        for name, weights in zip(layout.scaled, state["weights"]):
            found[name] += float(np.linalg.norm(weights))
        bounds = [*state["starts"].tolist(), len(state["levels"])]
        for column, start, end in zip(layout.codes, bounds[:-1], bounds[1:]):
            spread = float(np.linalg.norm(state["levels"][start:end].std(axis=0)))
            found[column.name] = found.get(column.name, 0.0) + spread
        return found


class _Design:
    """Rows as [scaled | one-hot codes], the second part sparse."""

    def __init__(self, data: Dataset) -> None:
        import numpy as np
        from scipy import sparse

        self.dense = np.asarray(data.scaled, dtype=np.float64)
        sizes = np.array([column.cardinality for column in data.layout.codes], dtype=np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[:-1]
        rows, columns = data.codes.shape
        positions = (np.asarray(data.codes, dtype=np.int64) + self.starts).ravel()
        ends = np.arange(0, rows * columns + 1, columns) if columns else np.zeros(rows + 1, np.int64)
        self.onehot = sparse.csr_matrix((np.ones(rows * columns), positions, ends), (rows, int(sizes.sum())))
        self.transposed = self.onehot.T.tocsr()
        self.width = self.dense.shape[1] + self.onehot.shape[1]

    def times(self, weights: np.ndarray) -> np.ndarray:
        """[N, K] = design @ weights [D, K]."""
        split = self.dense.shape[1]
        product: np.ndarray = self.dense @ weights[:split] + self.onehot @ weights[split:]
        return product

    def gram(self, row_weights: np.ndarray) -> np.ndarray:
        """[D + 1, D + 1] = [design | 1] transposed @ diag(row_weights) @ [design | 1]."""
        import numpy as np
        from scipy import sparse

        dense = np.column_stack([self.dense, np.ones(len(self.dense))])
        weighted = dense * row_weights[:, None]
        across = np.asarray(self.transposed @ weighted)
        levels = (self.transposed @ sparse.diags_array(row_weights) @ self.onehot).toarray()
        split, width = self.dense.shape[1], self.width
        gram = np.empty((width + 1, width + 1))
        numbers = [*range(split), width]
        gram[np.ix_(numbers, numbers)] = dense.T @ weighted
        gram[split:width, split:width] = levels
        gram[np.ix_(range(split, width), numbers)] = across
        gram[np.ix_(numbers, range(split, width))] = across.T
        return gram

    def transposed_times(self, residuals: np.ndarray) -> np.ndarray:
        """[D, K] = design transposed @ residuals [N, K]."""
        import numpy as np

        return np.concatenate([self.dense.T @ residuals, self.transposed @ residuals])


class _Problem:
    """Mean-free targets, weights and the loss of margins on one set of rows."""

    def __init__(self, data: Dataset, task: Task, offset: float, scale: float) -> None:
        import numpy as np

        self.design = _Design(data)
        self.kind: TaskType = task.type
        weight = np.ones(len(data)) if data.weight is None else np.asarray(data.weight, dtype=np.float64)
        self.weight = weight / weight.mean()
        if task.type == "multiclass":
            self.target = np.eye(task.width)[np.asarray(data.target, dtype=np.int64)]
        else:
            self.target = ((np.asarray(data.target, dtype=np.float64) - offset) / scale)[:, None]

    def loss(self, margins: np.ndarray) -> tuple[float, np.ndarray]:
        """The weighted sum of the losses, and its gradient by the margins [N, K]."""
        import numpy as np

        if self.kind == "number":
            residual = margins - self.target
            losses = 0.5 * residual[:, 0] ** 2
        elif self.kind == "binary":
            losses = (np.logaddexp(0.0, margins) - self.target * margins)[:, 0]
            residual = 0.5 * (1.0 + np.tanh(0.5 * margins)) - self.target
        else:
            shifted = margins - margins.max(axis=1, keepdims=True)
            log_total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            losses = ((log_total - shifted) * self.target).sum(axis=1)
            residual = np.exp(shifted - log_total) - self.target
        return float(self.weight @ losses), self.weight[:, None] * residual

    def curvature(self, margins: np.ndarray) -> np.ndarray:
        """The second derivative of each row's loss by its margin [N], of one-column margins [N, 1]."""
        import numpy as np

        if self.kind == "number":
            return np.asarray(self.weight)
        probability = 0.5 * (1.0 + np.tanh(0.5 * margins[:, 0]))
        curvature: np.ndarray = self.weight * probability * (1.0 - probability)
        return curvature

    def objective(self, penalty: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Value and gradient by the flat parameters [(D + 1) * K], the intercept last; per row."""
        import numpy as np

        width, rows = self.target.shape[1], len(self.target)

        def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
            parameters = flat.reshape(-1, width)
            weights = parameters[:-1]
            total, residual = self.loss(self.design.times(weights) + parameters[-1])
            slope = self.design.transposed_times(residual) + penalty * weights
            gradient = np.concatenate([slope, residual.sum(axis=0)[None, :]])
            return (total + 0.5 * penalty * float((weights**2).sum())) / rows, gradient.ravel() / rows

        return value


def newton(
    problem: _Problem,
    start: np.ndarray,
    penalty: float,
    iterations: int,
    tolerance: float,
    report: Callable[[Any], None],
) -> np.ndarray:
    """Minimise the objective by Newton steps, halved until they gain; parameters [D + 1, 1].

    Stops early, with what it has, when `report` raises StopIteration.

    One step solves least squares exactly; a logistic loss takes about six (iteratively reweighted
    least squares; Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 4.4.1).
    """
    import numpy as np
    from scipy.linalg import cho_factor, cho_solve

    value_of = problem.objective(penalty)
    rows = len(problem.target)
    parameters = start.ravel()
    penalised = np.arange(len(parameters)) < problem.design.width
    value, gradient = value_of(parameters)
    for _ in range(iterations):
        margins = problem.design.times(parameters[:-1, None]) + parameters[-1]
        hessian = problem.design.gram(problem.curvature(margins))
        hessian[np.diag_indices_from(hessian)] += _RIDGE + penalty * penalised
        step = cho_solve(cho_factor(hessian / rows, lower=True, overwrite_a=True), gradient)
        length, found = 1.0, value_of(parameters - step)
        while found[0] > value and length > _SHORTEST:
            length *= 0.5
            found = value_of(parameters - length * step)
        if found[0] > value:
            break
        gain, (value, gradient) = value - found[0], found
        parameters = parameters - length * step
        try:
            report(None)
        except StopIteration:
            break
        if gain <= tolerance * max(abs(value), 1.0):
            break
    return parameters.reshape(start.shape)


class _Path:
    """Fits along falling penalties, each started from the last; the best on validation rows is kept."""

    def __init__(
        self, train: Dataset, validation: Dataset | None, context: FitContext, iterations: int
    ) -> None:
        import numpy as np

        self._context, self._iterations = context, iterations
        self._offset, self._scale = 0.0, 1.0
        if context.task.type == "number":
            self._offset = float(np.average(train.target, weights=train.weight))
            spread = float(np.sqrt(np.average((train.target - self._offset) ** 2, weights=train.weight)))
            self._scale = spread or 1.0
        self._train = _Problem(train, context.task, self._offset, self._scale)
        self._validation = (
            _Problem(validation, context.task, self._offset, self._scale)
            if validation is not None and context.work is None
            else None
        )
        width = context.task.width
        self._parameters = np.zeros((self._train.design.width + 1, width))
        self._best_parameters = self._parameters
        self._lowest = float("inf")
        self._fits = 0
        self.best = 0
        self.cut = False
        self.curve: list[dict[str, float]] = []

    def step(self, penalty: float, fraction: float, tolerance: float = _EXACT) -> None:
        """Fit with one penalty, until an iteration gains less than `tolerance`; report `fraction` as done."""
        import numpy as np

        def report(_: Any) -> None:
            self._context.progress(fraction, f"penalty {penalty:g}")
            if self._context.time_is_up:
                self.cut = True
                raise StopIteration

        start, most = self._parameters, self._iterations
        if start.shape[1] == 1 and len(start) <= _NEWTON_COLUMNS:
            self._parameters = newton(self._train, start, penalty, most, tolerance, report)
        else:
            from scipy.optimize import minimize

            found = minimize(
                self._train.objective(penalty),
                start.ravel(),
                jac=True,
                method="L-BFGS-B",
                callback=report,
                options={"maxiter": most, "ftol": tolerance, "gtol": 1e3 * tolerance},
            )
            self._parameters = np.asarray(found.x).reshape(start.shape)
        losses = {"train": self._mean_loss(self._train)}
        current = 0.0
        if self._validation is not None:
            current = losses["validation"] = self._mean_loss(self._validation)
        if current < self._lowest:
            self._lowest, self.best, self._best_parameters = current, self._fits, self._parameters
        self._fits += 1
        self.curve.append({"step": float(self._fits), **losses})

    def _mean_loss(self, problem: _Problem) -> float:
        margins = problem.design.times(self._parameters[:-1]) + self._parameters[-1]
        return problem.loss(margins)[0] / len(problem.target)

    def state(self) -> State:
        """The best parameters, in the target's own unit."""
        split = self._train.design.dense.shape[1]
        weights = self._best_parameters * self._scale
        return {
            "weights": weights[:split],
            "levels": weights[split:-1],
            "intercept": weights[-1] + self._offset,
            "starts": self._train.design.starts,
        }
