"""What every source knows: its schema, a fingerprint of what it read, and a stream of Arrow batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.component import Component

if TYPE_CHECKING:
    import pyarrow as pa


class Source(Component):
    """Where rows come from. Text formats yield every column as string; typing happens afterwards."""

    type: str

    @property
    def remote(self) -> bool:
        """Whether its rows may change without a trace.

        They are then read anew in every run, and not to check a spec.
        """
        return False

    def resolved(self, base: Path) -> Source:
        """The same source with relative paths made absolute against `base`, the folder of the spec."""
        return self

    def files(self) -> list[Path]:
        """The local files that are read (their contents enter the cache key); empty when there are none.

        Raises DataError naming the pattern when a path matches nothing.
        """
        return []

    def options_for_key(self) -> dict[str, object]:
        """The options that may change the rows, without paths: those act through the files' contents."""
        return {}

    def described(self) -> str:
        """What is read, in a few words for people."""
        return f"the rows of the {self.type} source"

    def bound(self, recorded: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
        """The same rows as a source that stays the same while it is read, and what says which they are.

        What the second value holds (a version, offsets, a digest) is kept in the lock of the run. `recorded`
        is that of the run which is repeated, else empty. Raises DataError when those rows are gone.
        """
        return self, {}

    @abstractmethod
    def columns(self) -> list[str]:
        """The column names, read as cheaply as possible (for CSV the header line only)."""

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in file order, in batches of bounded size. Raises DataError for unreadable data."""
