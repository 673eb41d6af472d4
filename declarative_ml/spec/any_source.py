"""Any source or sink of the shelves, as a field of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from declarative_ml.sources import SINKS, SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.sources.sink import Sink

if TYPE_CHECKING:
    AnySource = Source
    AnySink = Sink
else:
    # The shelves' tables are the only lists of names, so these unions are made from them.
    AnySource = Annotated[Union[tuple(SOURCES.classes())], Field(discriminator="type")]  # noqa: UP007
    AnySink = Annotated[Union[tuple(SINKS.classes())], Field(discriminator="type")]  # noqa: UP007
