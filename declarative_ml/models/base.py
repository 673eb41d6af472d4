"""What every model knows: how to fit, how to predict at training time, how to become a graph."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from declarative_ml.core.component import Component
from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.learning.space import Span
from declarative_ml.learning.task import Task, TaskType

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import EncodedNames

State = dict[str, "np.ndarray"]
"""Fitted parameters as named arrays; text (a LightGBM model) as an array of uint8. Never pickled."""

Work = dict[str, int]
"""How much was done, for example {"rounds": 213} or {"epochs": 18}: what a refit repeats."""


def _no_progress(fraction: float, message: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class FitContext:
    """What the engine hands to `fit` beside the data."""

    task: Task
    seed: int
    threads: int
    """Of all processes together."""
    scratch: Path
    """A folder that survives a kill: checkpoints go here."""
    progress: Callable[[float, str], None] = _no_progress
    """Call with the done fraction 0..1 and a short message ("epoch 3/50 · loss 0.31").

    It raises to interrupt the run, so call it often: every round or epoch at least."""
    work: Work | None = None
    """Set for a refit: do exactly this much, with no validation rows and no early stopping."""
    deadline: Callable[[], float] | None = None
    """When to stop with the best so far, in seconds of `time.monotonic`; it may move. At least one round
    is done."""
    hurries: bool = False
    """Whether larger steps may be taken where the deadline leaves few: what is wanted is the best fit, not to
    know how good its options are."""
    stop_after: int | None = None
    """Set to repeat a fit that a deadline ended: what `Fitted.stopped_after` was. No clock is looked at."""
    hurried: float | None = None
    """Set to repeat a fit that a deadline hurried: what `Fitted.hurried` was. No clock is looked at."""
    processes: int = 1
    """How many train together, for models that are `parallel`: the same model but for rounding."""
    memory: int | None = None
    """Bytes that copies of rows may take where a fit can also do without them. It never changes the result;
    None: as many as it takes."""
    monotone: Mapping[str, int] = field(default_factory=dict)
    """Columns of the layout's `raw` (and of `scaled`, under the same names) -> 1 where the margin must never
    fall when only this column grows, -1 where it must never rise. Only for models that are `monotone`, and
    never for several classes."""

    @property
    def repeats(self) -> bool:
        """Whether the fit does again what a deadline once made of it."""
        return self.stop_after is not None or self.hurried is not None

    def ends_after(self, done: int) -> bool:
        """Whether the fit ends where it is. `done` counts from 1 the places where it can end, whatever lies
        between them: rounds, trees, batches, iterations. Equal fits come to equal places."""
        if self.repeats:
            return self.stop_after is not None and done >= self.stop_after
        return self.deadline is not None and time.monotonic() >= self.deadline()


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns."""

    state: State
    work: Work
    curve: list[dict[str, float]] = field(default_factory=list)
    """The learning curve: one dict a round or epoch, keys "step", "train" and "validation" (the loss)."""
    stopped_after: int | None = None
    """Where the deadline ended it, as `FitContext.ends_after` counts; None: it came to its own end."""
    hurried: float | None = None
    """The learning rate that the deadline asked for, where it is not the fit's own."""

    @property
    def cut(self) -> bool:
        """Whether the deadline ended it."""
        return self.stopped_after is not None


class Model(Component):
    """A learner. `fit` and `predict` see a Dataset; `to_onnx` adds the same function to the graph."""

    type: str

    tasks: ClassVar[frozenset[TaskType]] = frozenset({"binary", "multiclass", "number"})
    space: ClassVar[Mapping[str, Span]] = {}
    """Option -> what `tune` tries for it, where the spec names no space."""
    monotone: ClassVar[bool] = False
    """Whether `fit` keeps the directions of `FitContext.monotone`, whatever the data."""
    parallel: ClassVar[bool] = False
    """Whether `fit` can share its work between `FitContext.processes`."""

    @abstractmethod
    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Learn from `train`; `validation` acts through early stopping only. Rows may lie on disk."""

    @abstractmethod
    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64 (see learning.task)."""

    @abstractmethod
    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """Add the model to the graph. Returns the float32 tensor of margins [N, task.width].

        `names.raw` is [N, R], `names.scaled` [N, S] and `names.codes` int64 [N, C]: all columns of the
        layout, joined. `names.terms` has one entry for each column of `layout.terms`.
        """

    def mean_to_onnx(
        self, graph: OnnxGraph, states: Sequence[State], names: EncodedNames, layout: Layout, task: Task
    ) -> str:
        """The mean of several fits, as `to_onnx` adds one."""
        import numpy as np

        fits = [self.to_onnx(graph, state, names, layout, task) for state in states]
        if len(fits) == 1:
            return fits[0]
        total = fits[0]
        for tensor in fits[1:]:
            total = graph.add("Add", [total, tensor])
        return graph.add("Mul", [total, graph.constant(np.array([[1.0 / len(fits)]], dtype=np.float32))])

    def refit_work(self, works: list[Work], fit_rows: int, refit_rows: int) -> Work:
        """The work for the refit on all rows, from the works that the folds' early stopping chose.

        `fit_rows` is the mean number of rows that a fold was fitted on.
        """
        import statistics

        return {name: round(statistics.median(work[name] for work in works)) for name in works[0]}

    def defaults(self, rows: int, task: Task) -> dict[str, Any]:
        """What options that are left out come to on so many training rows, where a fit need not tell."""
        return {}

    def importance(self, state: State, layout: Layout) -> dict[str, float]:
        """Importance by column of the layout, where the model has a native notion of it."""
        return {}


def save_state(state: State, path: Path) -> None:
    """Write a state as one .npz file of plain arrays (no pickle), with equal bytes for equal states."""
    import numpy as np

    arrays: dict[str, Any] = {name: np.ascontiguousarray(state[name]) for name in sorted(state)}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def load_state(path: Path) -> State:
    """Read what `save_state` wrote."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
