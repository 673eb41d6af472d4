"""What candidates cost, alone or as a blend: the size of the graph, and the time that it takes for a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import Calibration
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.models.base import load_state
from declarative_ml.scoring.session import open_session
from declarative_ml.scoring.timing import TIMED_ROWS, microseconds
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.members import tuned_model
from declarative_ml.steps.model_graph import Fits, feature_columns, model_graph
from declarative_ml.steps.raw import raw_inputs

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Cost:
    """Of a graph, its features included."""

    bytes: int
    microseconds: float
    """Of one row in one thread."""


def cost_of(context: StepContext, task: Task, numbers: Sequence[int]) -> Cost:
    """The cost of the candidates `numbers` of `members` together, each as its first fold has it."""
    columns = feature_columns(context)
    fits = [
        Fits(
            tuned_model(context, context.params["members"][number], f"member{number}.tune"),
            [load_state(context.inputs[f"member{number}.fold0"] / "state.npz")],
        )
        for number in numbers
    ]
    shares = [1.0 / len(fits)] * len(fits)
    graph = model_graph(context, "candidate", task, columns, fits, shares, Calibration(), 0.5)
    content = graph.SerializeToString()
    session = open_session(content, threads=1)
    return Cost(len(content), microseconds(partial(session.run, None), _first_rows(context, columns)))


def _first_rows(context: StepContext, columns: Any) -> dict[str, np.ndarray]:

    order = DiskRows(context.inputs["split"] / "order.npy")
    return raw_inputs(context.inputs, order[:TIMED_ROWS], columns)
