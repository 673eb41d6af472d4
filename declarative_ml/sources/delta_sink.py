"""A Delta table to write to: one commit, or none when anything fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.core.optional import require
from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.sources.sql_sink import Counted, Mode

if TYPE_CHECKING:
    import pyarrow as pa

_MODES = {"create": "error", "append": "append", "replace": "overwrite"}


class DeltaSink(Section):
    """A Delta table that predictions are written to, as one version of it."""

    type: Literal["delta"] = "delta"
    path: str = Field(min_length=1, description="Folder of the table; or s3://…, gs://…, az://…")
    mode: Mode = Field(
        default="create", description="create: a new table; append: behind its rows; replace: in their place"
    )

    def resolved(self, base: Path) -> DeltaSink:
        """The same with a path on this machine made absolute against `base`."""
        if REMOTE_PATH.match(self.path):
            return self
        return self.model_copy(update={"path": str(base / Path(self.path).expanduser())})

    def write(self, batches: Iterator[pa.RecordBatch]) -> int:
        """Write all rows as one commit and return their number.

        Raises DataError for what the table refuses, and goes on with the errors of `batches`; the table then
        has the version of before.
        """
        import pyarrow as pa

        deltalake = require("deltalake", "delta")
        first = next(batches, None)
        if first is None:
            return 0
        rows = Counted(chain([first], batches))
        reader = pa.RecordBatchReader.from_batches(first.schema, rows)
        try:
            deltalake.write_deltalake(self.path, reader, mode=_MODES[self.mode])
        except DmlError:
            raise
        except Exception as error:  # noqa: BLE001 - of the table, the store, or the rows
            if rows.error is not None:
                raise rows.error from None
            name = self.path.rstrip("/").rpartition("/")[2]
            raise DataError(
                f"the Delta table {name} refuses the rows: {' '.join(str(error).split())[:300]}",
                hint="mode: create, append or replace",
            ) from None
        return rows.done
