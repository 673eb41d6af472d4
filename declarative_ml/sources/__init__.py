"""The shelf of data sources: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.sources.base import Source

SOURCES: Shelf[Source] = Shelf(
    "source",
    {
        "file": "declarative_ml.sources.file:FileSource",
        "sample": "declarative_ml.sources.sample:SampleSource",
        "sql": "declarative_ml.sources.sql:SqlSource",
    },
)
