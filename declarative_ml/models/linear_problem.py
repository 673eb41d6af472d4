"""What `linear` minimises: a penalised loss of margins, by the weights of columns, levels and terms."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from scipy.sparse import csr_matrix

    from declarative_ml.learning.dataset import Dataset, Layout
    from declarative_ml.learning.task import Task, TaskType
    from declarative_ml.models.linear_terms import TermBasis

_RIDGE = 1e-6
"""Keeps the matrix invertible where a column is constant; in rows, so far below any penalty."""
_SHORTEST = 1e-4
_PART_BYTES = 128 << 20
"""About what the rows of a part take in memory."""
_TERMS_OF_A_TEXT = 32
"""That many are reckoned with."""


class Frame:
    """What the columns of a design are: [scaled | one-hot codes | parts of terms].

    With a `basis` for the terms, the columns of `scaled` that say the same in short are left out, and the
    weights that belong to terms are those of its parts. Without, there are no terms.
    """

    def __init__(self, layout: Layout, basis: TermBasis | None) -> None:
        import numpy as np

        self.basis = basis
        self.columns = _columns(layout, basis is not None)
        self.scaled_width = len(layout.scaled)
        sizes = np.array([column.cardinality for column in layout.codes], dtype=np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[:-1]
        self.levels = int(sizes.sum())
        self.splits = np.cumsum([len(self.columns), self.levels])
        self.width = int(self.splits[-1]) + (0 if basis is None else basis.parts)
        terms = 0 if basis is None else len(layout.terms)
        self.row_bytes = 8 * len(self.columns) + 24 * len(sizes) + 8 * _TERMS_OF_A_TEXT * terms + 16
        """About what a row of a Design takes."""


class Design:
    """Rows in memory: dense numbers, a sparse matrix of levels, and a sparse product for terms."""

    def __init__(self, data: Dataset, frame: Frame) -> None:
        import numpy as np
        from scipy import sparse

        self.basis, self.splits, self.width = frame.basis, frame.splits, frame.width
        every = len(frame.columns) == frame.scaled_width
        scaled = np.asarray(data.scaled)
        self.dense = np.array(scaled if every else scaled[:, frame.columns], np.float64, order="C")
        rows, columns = data.codes.shape
        positions = (np.asarray(data.codes, dtype=np.int64) + frame.starts).ravel()
        ends = np.arange(0, rows * columns + 1, columns) if columns else np.zeros(rows + 1, np.int64)
        self.onehot = sparse.csr_matrix((np.ones(rows * columns), positions, ends), (rows, frame.levels))
        self.transposed = self.onehot.T.tocsr()
        self.terms = data.terms.matrix() if frame.basis is not None and data.terms is not None else None

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


class Part:
    """Some rows of a problem: their design, targets and weights, and the loss of margins on them."""

    def __init__(self, data: Dataset, frame: Frame, kind: TaskType, weight: np.ndarray, target: np.ndarray):
        self.design = Design(data, frame)
        self.kind, self.weight, self.target = kind, weight, target

    def margins(self, parameters: np.ndarray) -> np.ndarray:
        """[N, K] by the parameters [D + 1, K], the intercept last."""
        margins: np.ndarray = self.design.times(parameters[:-1]) + parameters[-1]
        return margins

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


class Problem:
    """Mean-free targets, weights and the loss on one set of rows, taken part by part in a fixed order.

    Parts are as large as the layout makes them, whatever memory there is, so that sums do not depend on it.
    Those that fit into `memory` (bytes; None: all) are kept, the others are read anew for every pass.
    """

    def __init__(
        self,
        data: Dataset,
        task: Task,
        offset: float,
        scale: float,
        basis: TermBasis | None = None,
        memory: int | None = None,
    ) -> None:
        import numpy as np

        self.frame = Frame(data.layout, basis)
        self._data, self._task, self._offset, self._scale = data, task, offset, scale
        self._part_rows = part_rows(self.frame.row_bytes)
        held = self._part_rows * self.frame.row_bytes
        self._most_kept = len(data) if memory is None else max(0, memory // held - 1)
        self.kept_bytes = self._most_kept * held
        """What kept parts take at most."""
        self._kept: dict[int, Part] = {}
        self.rows, self.outputs = len(data), task.width
        weight = None if data.weight is None else np.asarray(data.weight, dtype=np.float64)
        self._weight = None if weight is None else weight / weight.mean()

    def parts(self) -> Iterator[Part]:
        """All rows, in their order."""
        for number in range(-(-self.rows // self._part_rows)):
            part = self._kept.get(number) or self._part(number)
            if number < self._most_kept:
                self._kept[number] = part
            yield part

    def _part(self, number: int) -> Part:
        import numpy as np

        start = number * self._part_rows
        stop = min(start + self._part_rows, self.rows)
        data = self._data.take(np.arange(start, stop)) if stop - start < self.rows else self._data
        if self._task.type == "multiclass":
            target = np.eye(self._task.width)[np.asarray(data.target, dtype=np.int64)]
        else:
            target = ((np.asarray(data.target, dtype=np.float64) - self._offset) / self._scale)[:, None]
        weight = np.ones(stop - start) if self._weight is None else self._weight[start:stop]
        return Part(data, self.frame, self._task.type, weight, target)

    def mean_loss(self, parameters: np.ndarray) -> float:
        """The mean loss of the parameters [D + 1, K], without a penalty."""
        return sum(part.loss(part.margins(parameters))[0] for part in self.parts()) / self.rows

    def hessian(self, parameters: np.ndarray) -> np.ndarray:
        """The second derivative of the sum of losses [D + 1, D + 1], for K = 1."""
        import numpy as np

        grams = (part.design.gram(part.curvature(part.margins(parameters))) for part in self.parts())
        total = next(grams)
        for gram in grams:
            np.add(total, gram, out=total)
        return total

    def objective(self, penalty: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Value and gradient by the flat parameters [(D + 1) * K], the intercept last; per row."""
        import numpy as np

        def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
            parameters = flat.reshape(-1, self.outputs)
            weights = parameters[:-1]
            total, slope, free = 0.0, np.zeros_like(weights), np.zeros(self.outputs)
            for part in self.parts():
                loss, residual = part.loss(part.margins(parameters))
                total += loss
                slope += part.design.transposed_times(residual)
                free += residual.sum(axis=0)
            slope += penalty * weights
            gradient = np.concatenate([slope, free[None, :]])
            value = (total + 0.5 * penalty * float((weights**2).sum())) / self.rows
            return value, gradient.ravel() / self.rows

        return value


def part_rows(row_bytes: int) -> int:
    """The rows of a part, by what a row takes."""
    return max(_PART_BYTES // row_bytes, 1)


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
    rows = problem.rows
    parameters = start.ravel()
    penalised = np.arange(len(parameters)) < problem.frame.width
    value, gradient = value_of(parameters)
    for _ in range(iterations):
        hessian = problem.hessian(parameters[:, None])
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
