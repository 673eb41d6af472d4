"""Any source of the shelf, as a field of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source

if TYPE_CHECKING:
    AnySource = Source
else:
    # The shelf's table is the only list of names, so this union is made from it.
    AnySource = Annotated[Union[tuple(SOURCES.classes())], Field(discriminator="type")]  # noqa: UP007
