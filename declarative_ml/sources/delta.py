"""Delta tables, pinned to a version that the lock of the run records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.core.optional import require
from declarative_ml.sources.base import Source
from declarative_ml.sources.native_columns import plain_batch, selected
from declarative_ml.sources.remote import REMOTE_PATH

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536


class DeltaSource(Source):
    """A version of a Delta table: the newest one when the run begins, or the one that is named.

    The run's lock keeps the version, and `dml reproduce` reads it again as long as the table has it.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    remote: ClassVar[bool] = True

    type: Literal["delta"] = "delta"
    path: str = Field(
        min_length=1, description="Folder of the table, relative to the spec; or s3://…, gs://…, az://…"
    )
    version: int | None = Field(default=None, ge=0, description="The newest when absent")
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    def described(self) -> str:
        """The name of the table's folder, and its version."""
        name = self.path.rstrip("/").rpartition("/")[2]
        return f"the Delta table {name}" + ("" if self.version is None else f", version {self.version}")

    def resolved(self, base: Path) -> DeltaSource:
        """The same source with a path on this machine made absolute against `base`."""
        if REMOTE_PATH.match(self.path):
            return self
        return self.model_copy(update={"path": str(base / Path(self.path).expanduser())})

    def options_for_key(self) -> dict[str, object]:
        """The version and the columns; the rows themselves are written down and compared."""
        kept = {"version": self.version, "select": self.select}
        return {name: value for name, value in kept.items() if value not in (None, ())}

    def bound(self, recorded: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
        """The source with the version that the table has now, or had in the run that is repeated."""
        wanted = self.model_copy(update={"version": recorded.get("version", self.version)})
        version = wanted._open().version()
        return self.model_copy(update={"version": version}), {"version": version}

    def columns(self) -> list[str]:
        """The column names, from the table's log."""
        return selected(self.select, self._open().to_pyarrow_dataset().schema.names, self.described())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in plain types, in the order of the files' names.

        Raises DataError for files that are gone, and for nested or binary columns.
        """
        import pyarrow as pa

        dataset = self._open().to_pyarrow_dataset()
        names = selected(self.select, dataset.schema.names, self.described())
        rows = 0
        try:
            for fragment in sorted(dataset.get_fragments(), key=lambda fragment: str(fragment.path)):
                for batch in fragment.to_batches(dataset.schema, columns=names, batch_size=_BATCH_ROWS):
                    rows += batch.num_rows
                    yield plain_batch(batch, names, self.described())
        except (pa.ArrowInvalid, OSError) as error:
            hint = "VACUUM deletes the files of old versions"
            raise DataError(f"{self.described()} cannot be read: {error}", hint=hint) from error
        if not rows:
            raise DataError(f"{self.described()} has no rows", hint="name another version")

    def _open(self) -> Any:
        deltalake = require("deltalake", "delta")
        try:
            return deltalake.DeltaTable(self.path, version=self.version)
        except (deltalake.exceptions.DeltaError, OSError, ValueError) as error:
            said = one_line(error)
            hint = "path is the folder that holds _delta_log"
            raise DataError(f"{self.described()} cannot be read: {said}", hint=hint) from None
