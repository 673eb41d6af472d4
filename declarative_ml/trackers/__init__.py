"""The shelf of trackers: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.trackers.base import Tracker

TRACKERS: Shelf[Tracker] = Shelf("tracker", {"mlflow": "declarative_ml.trackers.mlflow:MLflowTracker"})
