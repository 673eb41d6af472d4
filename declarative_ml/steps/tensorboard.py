"""Write learning curves, metrics and options as event files for TensorBoard."""

from __future__ import annotations

from declarative_ml.steps.context import StepContext
from declarative_ml.steps.report import curves
from declarative_ml.steps.track import flat_metrics, trials
from declarative_ml.trackers.base import NestedRun
from declarative_ml.trackers.tensorboard import write_events


def run(context: StepContext) -> None:
    """Fill the artifact with the folders that TensorBoard takes for runs."""
    whole = NestedRun("run", context.params["options"], flat_metrics(context))
    write_events(context.out, whole, curves(context), trials(context))
