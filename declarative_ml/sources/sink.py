"""What every sink knows: where rows go, all of them or none."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from declarative_ml.core.component import Component
from declarative_ml.core.errors import DataError, DmlError

if TYPE_CHECKING:
    import pyarrow as pa

Mode = Literal["create", "append", "replace"]


class Sink(Component):
    """A place that predictions are written to."""

    type: str

    def resolved(self, base: Path) -> Sink:
        """The same with relative paths, those of secrets' files too, made absolute against `base`."""
        return self

    def write(self, batches: Iterator[pa.RecordBatch]) -> int:
        """Write all rows and return their number; where there is no batch, nothing is done.

        Raises DataError for what the place refuses, and goes on with the errors of `batches`; the place is
        then as it was before.
        """
        import pyarrow as pa

        first = next(batches, None)
        if first is None:
            return 0
        rows = _Counted(chain([first], batches))
        reader = pa.RecordBatchReader.from_batches(first.schema, rows)
        try:
            self.send(reader)
        except DmlError:
            raise
        except Exception as error:  # noqa: BLE001 - drivers and stores have errors of their own
            raise rows.error or self.refused(error) from None
        return rows.done

    @abstractmethod
    def send(self, rows: pa.RecordBatchReader) -> None:
        """Write all rows, or leave everything as it was and raise; any error will do (see `refused`)."""

    @abstractmethod
    def refused(self, error: Exception) -> DataError:
        """What to say of an error of `send`, with no secret in it."""


class _Counted:
    """Batches, their rows counted, and the error that ended them: drivers put words of their own for it."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.done = 0
        self.error: DmlError | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.done += batch.num_rows
                yield batch
        except DmlError as error:
            self.error = error
            raise
