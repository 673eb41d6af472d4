"""The shelf of places where a plan runs: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.engines.base import Engine

ENGINES: Shelf[Engine] = Shelf(
    "engine",
    {
        "local": "declarative_ml.engines.local:Local",
        "ray": "declarative_ml.engines.ray:Ray",
    },
)
