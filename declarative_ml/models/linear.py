"""Linear and logistic regression with an L2 penalty, fitted by Newton steps or L-BFGS.

Loss and penalty are scikit-learn's: sum of weight x loss + penalty / 2 x |coefficients|^2, the intercept
free, so that `penalty` is 1 / C of LogisticRegression and alpha of Ridge (on a standardised target).
Terms of texts are weighed too, in other variables: see models.linear_terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.learning.space import Span
from declarative_ml.learning.sums import place_and_scale
from declarative_ml.models.base import FitContext, Fitted, Model, State
from declarative_ml.models.linear_problem import Problem, newton

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from scipy.sparse import csr_matrix

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
    from declarative_ml.learning.moments import Moments
    from declarative_ml.learning.task import Task
    from declarative_ml.models.linear_terms import TermBasis

PENALTIES = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""What validation rows choose from, strongest first: each fit starts from the one before."""
_UNVALIDATED = PENALTIES.index(1.0)
# Choosing among penalties needs less precision than one fit with a given penalty, and a seventh of the time.
_ROUGH, _EXACT = 1e-7, 1e-9

_REMEMBERED = 1 << 19
"""Parameters that L-BFGS remembers of all its last steps: its own work grows with them."""
_SPREAD_ROWS = 1 << 21
"""Of more rows, what terms add to the margins is not kept to measure its spread."""
_COUNTED_ROWS = 1 << 17
"""Rows whose terms are counted at a time."""
_NEWTON_COLUMNS = 2_000
"""Up to this many parameters a Newton step's matrix is cheap next to the many passes of L-BFGS."""


_LINEAR = ("weights", "levels", "intercept", "terms")
"""What of a state the margins are linear in."""


class Linear(Model):
    """A weight for every number, every level and every term: simple, fast, easy to read."""

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
            return Fitted(path.state(), {}, path.curve, path.stopped_after)
        if validation is None or context.work is not None:
            index = _UNVALIDATED if context.work is None else context.work["penalty_index"]
            path.step(PENALTIES[index], 1.0)
            return Fitted(path.state(), {"penalty_index": index}, path.curve, path.stopped_after)
        for index, penalty in enumerate(PENALTIES):
            path.step(penalty, (index + 1) / len(PENALTIES), tolerance=_ROUGH)
            if index - path.best >= 2:
                break
            if path.stopped_after is not None or (penalty != PENALTIES[-1] and path.ends()):
                break
        return Fitted(path.state(), {"penalty_index": path.best}, path.curve, path.stopped_after)

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64."""
        import numpy as np

        scaled = np.asarray(data.scaled, dtype=np.float64)
        margins: np.ndarray = scaled @ state["weights"] + state["intercept"]
        if data.codes.shape[1]:
            rows = np.asarray(data.codes, dtype=np.int64) + state["starts"]
            for column in range(rows.shape[1]):
                margins += state["levels"][rows[:, column]]
        if len(state["terms"]) and data.terms is not None:
            margins += data.terms.matrix() @ state["terms"]
        return margins

    def mean_to_onnx(
        self, graph: OnnxGraph, states: Sequence[State], names: EncodedNames, layout: Layout, task: Task
    ) -> str:
        """See Model.mean_to_onnx: the mean of linear functions is one too."""
        import numpy as np

        mean = {name: np.mean([state[name] for state in states], axis=0) for name in _LINEAR}
        return self.to_onnx(graph, {**states[0], **mean}, names, layout, task)

    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """scaled @ weights + the level's row of one stacked table for each code + terms + intercept."""
        import numpy as np

        margins = graph.constant(state["intercept"].reshape(1, -1), "float32")
        scaled, weights = _weighted(graph, names, state["weights"])
        if scaled is not None:
            product = graph.add("MatMul", [scaled, graph.constant(weights, "float32")])
            margins = graph.add("Add", [product, margins])
        if names.codes is not None:
            starts = graph.constant(state["starts"].reshape(1, -1), "int64")
            rows = graph.add("Add", [names.codes, starts])
            table = graph.constant(state["levels"], "float32")
            found = graph.add("Gather", [table, rows], axis=0)  # [N, C, width]
            axis = graph.constant(np.array([1], dtype=np.int64))
            margins = graph.add("Add", [graph.add("ReduceSum", [found, axis], keepdims=0), margins])
        if len(state["terms"]):
            ends = np.cumsum([column.size for column in layout.terms])
            for weigh, weights in zip(names.terms, np.split(state["terms"], ends[:-1]), strict=True):
                margins = graph.add("Add", [weigh(graph, weights), margins])
        return margins

    def importance(self, state: State, layout: Layout) -> dict[str, float]:
        """The size of each column's weights; for codes the spread of its levels' weights.

        For a column of texts, the spread over the training rows of what its terms add to the margins.
        """
        import numpy as np

        found = dict.fromkeys(layout.scaled, 0.0)
        for name, weights in zip(layout.scaled, state["weights"]):
            found[name] += float(np.linalg.norm(weights))
        bounds = [*state["starts"].tolist(), len(state["levels"])]
        for column, start, end in zip(layout.codes, bounds[:-1], bounds[1:]):
            spread = float(np.linalg.norm(state["levels"][start:end].std(axis=0)))
            found[column.name] = found.get(column.name, 0.0) + spread
        for texts, spread in zip(layout.terms, state["term_spreads"].tolist()):
            found[texts.name] = spread
        return found


def _weighted(graph: OnnxGraph, names: EncodedNames, weights: np.ndarray) -> tuple[str | None, np.ndarray]:
    """The scaled columns [N, W] that count and their weights [W, width]: a text that is weighed by its terms
    needs no summary, which is most of the graph's size and time."""
    counted = [block for block in names.scaled_blocks if weights[list(block.places)].any()]
    if len(counted) == len(names.scaled_blocks):
        return names.scaled, weights
    if not counted:
        return None, weights
    places = [place for block in counted for place in block.places]
    return graph.concat([block.tensor for block in counted]), weights[places]


class _Path:
    """Fits along falling penalties, each started from the last; the best on validation rows is kept."""

    def __init__(
        self, train: Dataset, validation: Dataset | None, context: FitContext, iterations: int
    ) -> None:
        import numpy as np

        self._context, self._iterations = context, iterations
        self._offset, self._scale = 0.0, 1.0
        if context.task.type == "number":
            self._offset, spread = place_and_scale(train.target, train.weight)
            self._scale = spread or 1.0
        self._term_columns = train.layout.terms
        basis = _basis(train, context.task)
        standardised = (context.task, self._offset, self._scale, basis)
        self._train = Problem(train, *standardised, context.memory)
        left = None if context.memory is None else context.memory - self._train.kept_bytes
        held_out = validation if context.work is None else None
        self._validation = None if held_out is None else Problem(held_out, *standardised, left)
        width = context.task.width
        self._parameters = np.zeros((self._train.frame.width + 1, width))
        self._best_parameters = self._parameters
        self._lowest = float("inf")
        self._fits = 0
        self.best = 0
        self._looks = 0
        self.stopped_after: int | None = None
        self.curve: list[dict[str, float]] = []

    def step(self, penalty: float, fraction: float, tolerance: float = _EXACT) -> None:
        """Fit with one penalty, until an iteration gains less than `tolerance`; report `fraction` as done."""
        import numpy as np

        def report(_: Any) -> None:
            self._context.progress(fraction, f"penalty {penalty:g}")
            if self.ends():
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
                options={
                    "maxiter": most,
                    "ftol": tolerance,
                    "gtol": 1e3 * tolerance,
                    "maxcor": _steps(start.size),
                },
            )
            self._parameters = np.asarray(found.x).reshape(start.shape)
        losses = {"train": self._train.mean_loss(self._parameters)}
        current = 0.0
        if self._validation is not None:
            current = losses["validation"] = self._validation.mean_loss(self._parameters)
        if current < self._lowest:
            self._lowest, self.best, self._best_parameters = current, self._fits, self._parameters
        self._fits += 1
        self.curve.append({"step": float(self._fits), **losses})

    def ends(self) -> bool:
        """Whether the path ends here, between two iterations or two penalties."""
        self._looks += 1
        if self._context.ends_after(self._looks):
            self.stopped_after = self._looks
        return self.stopped_after is not None

    def state(self) -> State:
        """The best parameters, in the target's own unit."""
        import numpy as np

        design = self._train.frame
        columns, levels, parts = np.split(self._best_parameters[:-1] * self._scale, design.splits)
        weights = np.zeros((design.scaled_width, columns.shape[1]))
        weights[design.columns] = columns
        terms = np.zeros((0, columns.shape[1]), dtype=np.float32)
        if design.basis is not None:
            terms = design.basis.weights(parts).astype(np.float32)
        return {
            "weights": weights,
            "levels": levels,
            "intercept": self._best_parameters[-1] * self._scale + self._offset,
            "starts": design.starts,
            "terms": terms,
            "term_spreads": self._spreads(terms),
        }

    def _spreads(self, terms: np.ndarray) -> np.ndarray:
        """How much the margins differ between training rows by each column of terms."""
        import numpy as np

        if not len(terms):
            return np.zeros(0)
        ends = np.cumsum([column.size for column in self._term_columns]).tolist()
        bounds = list(zip([0, *ends[:-1]], ends, strict=True))
        added = [_Spread(self._train.rows) for _ in bounds]
        for part in self._train.parts():
            if part.design.terms is not None:
                for spread, (start, end) in zip(added, bounds, strict=True):
                    spread.add(part.design.terms[:, start:end] @ terms[start:end])
        return np.array([float(np.linalg.norm(spread.value())) for spread in added])


class _Spread:
    """The standard deviation [K] of rows [N, K] that come part by part; those of many are only counted."""

    def __init__(self, rows: int) -> None:
        self._whole = rows <= _SPREAD_ROWS
        self._parts: list[np.ndarray] = []
        self._moments: list[Moments] = []

    def add(self, values: np.ndarray) -> None:
        """The next rows [n, K]."""
        if self._whole:
            self._parts.append(values)
            return
        from declarative_ml.learning.moments import Moments

        self._moments = self._moments or [Moments() for _ in range(values.shape[1])]
        for moments, column in zip(self._moments, values.T.astype("float64"), strict=True):
            moments.update(column)

    def value(self) -> np.ndarray:
        """Of all rows."""
        import numpy as np

        if self._whole:
            return np.asarray(np.concatenate(self._parts).std(axis=0))
        return np.array([moments.std for moments in self._moments])


def _basis(train: Dataset, task: Task) -> TermBasis | None:
    """What the weights of terms are made of, None where the rows have none."""

    from declarative_ml.models.linear_terms import learn_basis

    if train.terms is None:
        return None
    sizes = [column.size for column in train.layout.terms]
    counted = (_counted(block, task) for block in train.blocks(_COUNTED_ROWS))
    return learn_basis(counted, train.terms.digests, sizes)


def _counted(block: Dataset, task: Task) -> tuple[csr_matrix, np.ndarray | None]:
    """The terms of a block, and the weights of its rows by class (see learn_basis)."""
    import numpy as np

    weight = np.ones(len(block)) if block.weight is None else np.asarray(block.weight, dtype=np.float64)
    target = np.asarray(block.target)
    classes = None
    if task.type == "binary":
        classes = ((2.0 * target - 1.0) * weight)[:, None]
    elif task.type == "multiclass":
        classes = np.eye(task.width)[target.astype(np.int64)] * weight[:, None]
    assert block.terms is not None  # the caller looked
    return block.terms.matrix(), classes


def _steps(parameters: int) -> int:
    """How many steps L-BFGS remembers: fewer where they are long."""
    return min(max(_REMEMBERED // parameters, 3), 10)
