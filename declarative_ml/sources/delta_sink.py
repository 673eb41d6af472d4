"""A Delta table to write to: one commit, or none when anything fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.core.optional import require
from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.sources.sink import Mode, Sink

if TYPE_CHECKING:
    import pyarrow as pa

_MODES = {"create": "error", "append": "append", "replace": "overwrite"}


class DeltaSink(Sink):
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

    def send(self, rows: pa.RecordBatchReader) -> None:
        """Write all rows as one commit."""
        require("deltalake", "delta").write_deltalake(self.path, rows, mode=_MODES[self.mode])

    def refused(self, error: Exception) -> DataError:
        """What the table or its store said."""
        name = self.path.rstrip("/").rpartition("/")[2]
        said = f"the Delta table {name} refuses the rows: {one_line(error)}"
        return DataError(said, hint="mode: create, append or replace")
