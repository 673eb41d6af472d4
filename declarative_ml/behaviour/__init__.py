"""The shelf of behavioural tests: what a model must do when its rows change. One file each."""

from declarative_ml.behaviour.base import Behaviour
from declarative_ml.core.component import Shelf

BEHAVIOURS: Shelf[Behaviour] = Shelf(
    "test",
    {
        "invariance": "declarative_ml.behaviour.invariance:Invariance",
        "direction": "declarative_ml.behaviour.direction:Direction",
        "robustness": "declarative_ml.behaviour.robustness:Robustness",
        "expect": "declarative_ml.behaviour.expectation:Expectation",
    },
)
