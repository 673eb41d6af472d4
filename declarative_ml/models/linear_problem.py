"""What `linear` minimises: a penalised loss of margins, by the weights of columns, levels and terms."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from scipy.sparse import csr_matrix

    from declarative_ml.learning.dataset import Dataset, Layout
    from declarative_ml.learning.task import Task, TaskType
    from declarative_ml.models.linear_terms import TermBasis

_RIDGE = 1e-6
"""Keeps the matrix invertible where a column is constant; in rows, so far below any penalty."""
_SHORTEST = 1e-4


class Design:
    """Rows as [scaled | one-hot codes | terms]: the second part is sparse, the third a sparse product.

    With a `basis` for the terms, the columns of `scaled` that say the same in short are left out, and the
    weights that belong to terms are those of its parts. Without, there are no terms.
    """

    def __init__(self, data: Dataset, basis: TermBasis | None = None) -> None:
        import numpy as np
        from scipy import sparse

        self.basis = basis
        self.columns = _columns(data.layout, basis is not None)
        self.scaled_width = data.scaled.shape[1]
        every = len(self.columns) == self.scaled_width
        self.dense = np.array(data.scaled if every else data.scaled[:, self.columns], np.float64, order="C")
        sizes = np.array([column.cardinality for column in data.layout.codes], dtype=np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[:-1]
        rows, columns = data.codes.shape
        positions = (np.asarray(data.codes, dtype=np.int64) + self.starts).ravel()
        ends = np.arange(0, rows * columns + 1, columns) if columns else np.zeros(rows + 1, np.int64)
        self.onehot = sparse.csr_matrix((np.ones(rows * columns), positions, ends), (rows, int(sizes.sum())))
        self.transposed = self.onehot.T.tocsr()
        self.terms = data.terms.matrix() if basis is not None and data.terms is not None else None
        self.splits = np.cumsum([self.dense.shape[1], self.onehot.shape[1]])
        self.width = int(self.splits[-1]) + (0 if basis is None else basis.parts)

    def times(self, weights: np.ndarray) -> np.ndarray:
        """[N, K] = design @ weights [D, K]."""
        import numpy as np

        columns, levels, parts = np.split(weights, self.splits)
        product: np.ndarray = self.dense @ columns + self.onehot @ levels
        if self.basis is not None and self.terms is not None:
            product += self.terms @ self.basis.weights(parts).astype(np.float32)
        return product

    def transposed_times(self, residuals: np.ndarray) -> np.ndarray:
        """[D, K] = design transposed @ residuals [N, K]."""
        import numpy as np

        slopes = [self.dense.T @ residuals, self.transposed @ residuals]
        if self.basis is not None and self.terms is not None:
            # Single precision takes half the memory and time; the loss itself is summed in double.
            slopes.append(self.basis.slopes(self.terms.T @ residuals.astype(np.float32)))
        return np.concatenate(slopes)

    def gram(self, row_weights: np.ndarray) -> np.ndarray:
        """[D + 1, D + 1] = [design | 1] transposed @ diag(row_weights) @ [design | 1], for K = 1."""
        import numpy as np
        from scipy import sparse

        dense = np.column_stack([self.dense, np.ones(len(self.dense))])
        weighted = dense * row_weights[:, None]
        across = np.asarray(self._sparse.T @ weighted)
        split, width = self.dense.shape[1], self.width
        gram = np.empty((width + 1, width + 1))
        numbers = [*range(split), width]
        gram[np.ix_(numbers, numbers)] = dense.T @ weighted
        gram[split:width, split:width] = (
            self._sparse.T @ sparse.diags_array(row_weights) @ self._sparse
        ).toarray()
        gram[np.ix_(range(split, width), numbers)] = across
        gram[np.ix_(numbers, range(split, width))] = across.T
        return gram

    @cached_property
    def _sparse(self) -> csr_matrix:
        """The levels and the parts of terms side by side, float64."""
        from scipy import sparse

        if self.basis is None or self.terms is None:
            return self.onehot
        scaled = self.basis.spread @ sparse.diags_array(self.basis.factors[:, 0])
        return sparse.hstack([self.onehot, self.terms @ scaled], format="csr")


def _columns(layout: Layout, with_terms: bool) -> list[int]:
    """The places in `scaled` of the columns to weigh."""
    covered = {name for column in layout.terms for name in column.summary} if with_terms else set()
    return [place for place, name in enumerate(layout.scaled) if name not in covered]


class Problem:
    """Mean-free targets, weights and the loss of margins on one set of rows."""

    def __init__(
        self, data: Dataset, task: Task, offset: float, scale: float, basis: TermBasis | None = None
    ) -> None:
        import numpy as np

        self.design = Design(data, basis)
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
    problem: Problem,
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
