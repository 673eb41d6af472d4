"""Iceberg tables, pinned to a snapshot that the lock of the run records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from declarative_ml.core.errors import DataError, DmlError, one_line
from declarative_ml.core.optional import require
from declarative_ml.core.secret import Secret
from declarative_ml.sources.base import Source
from declarative_ml.sources.moment import Moment
from declarative_ml.sources.native_columns import plain_batch, selected

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536


class IcebergSource(Source):
    """A snapshot of an Iceberg table: the newest when the run begins, or the one that is named.

    The run's lock keeps the snapshot, and `dml reproduce` reads it again as long as the table has it.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    remote: ClassVar[bool] = True

    type: Literal["iceberg"] = "iceberg"
    table: str = Field(pattern=r"^[^.]+(\.[^.]+)+$", description="The table, such as shop.orders")
    catalog: str = Field(
        default="default",
        min_length=1,
        description="Name of the catalog, as the configuration of PyIceberg knows it",
    )
    uri: Secret | None = Field(
        default=None,
        description="Reference to the catalog's address: https://… (REST), thrift://…, sqlite:///…",
    )
    token: Secret | None = Field(default=None, description="REST: reference to a bearer token")
    warehouse: str | None = Field(default=None, description="The catalog's warehouse, where it has several")
    snapshot: int | None = Field(
        default=None, ge=0, description="Number of a snapshot; the newest when absent"
    )
    as_of: Moment | None = Field(default=None, description="In place of a number: the newest at this moment")
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    @model_validator(mode="after")
    def _one_of(self) -> IcebergSource:
        if self.snapshot is not None and self.as_of is not None:
            raise ValueError("give either 'snapshot' or 'as_of'")
        return self

    def described(self) -> str:
        """The table's name, and its snapshot."""
        return f"the Iceberg table {self.table}" + (f", snapshot {self.snapshot}" if self.snapshot else "")

    def resolved(self, base: Path) -> IcebergSource:
        """The same source with the paths of secrets' files made absolute against `base`."""
        secrets = {"uri": self.uri, "token": self.token}
        return self.model_copy(
            update={name: secret.resolved(base) for name, secret in secrets.items() if secret is not None}
        )

    def options_for_key(self) -> dict[str, object]:
        """Which rows; what they hold is written down and compared."""
        kept = ("table", "catalog", "warehouse", "snapshot", "as_of", "select")
        options = self.model_dump(mode="json", include=set(kept))
        return {name: options[name] for name in kept if options[name]}

    def bound(self, recorded: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
        """The source with the snapshot that the table has now, or had in the run that is repeated."""
        snapshot = recorded.get("snapshot", self.snapshot)
        if snapshot is None:
            snapshot = self._newest(self._open())
        return self.model_copy(update={"snapshot": snapshot, "as_of": None}), {"snapshot": snapshot}

    def columns(self) -> list[str]:
        """The column names, from the snapshot's schema."""
        return self._names(self._scan(self._open()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in plain types, without those that the table has deleted.

        Raises DataError for a snapshot that has expired, and for nested or binary columns.
        """

        table = self._open()
        scan = self._scan(table)
        names = self._names(scan)
        rows = 0
        try:
            for batch in scan.select(*names).to_arrow_batch_reader():
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    rows += min(_BATCH_ROWS, batch.num_rows - start)
                    yield plain_batch(batch.slice(start, _BATCH_ROWS), names, self.described())
        except DmlError:
            raise
        except Exception as error:  # noqa: BLE001 - errors of catalogs, stores and file formats
            raise self._refused(error, "snapshots that have expired have lost their files") from None
        if not rows:
            raise DataError(f"{self.described()} has no rows", hint="name another snapshot")

    def _open(self) -> Any:
        catalogs = require("pyiceberg.catalog", "iceberg")
        secrets = {"uri": self.uri, "token": self.token}
        options = {name: secret.reveal() for name, secret in secrets.items() if secret is not None}
        if self.warehouse is not None:
            options["warehouse"] = self.warehouse
        try:
            return catalogs.load_catalog(self.catalog, **options).load_table(self.table)
        except Exception as error:  # noqa: BLE001 - each kind of catalog has errors of its own
            raise self._refused(error, "give uri, or configure the catalog in ~/.pyiceberg.yaml") from None

    def _newest(self, table: Any) -> int:
        if self.as_of is None:
            found = table.current_snapshot()
        else:
            found = table.snapshot_as_of_timestamp(int(self.as_of.timestamp() * 1000))
        if found is None:
            raise DataError(f"{self.described()} has no snapshot", hint="check as_of, or write rows to it")
        return int(found.snapshot_id)

    def _scan(self, table: Any) -> Any:
        snapshot = self._newest(table) if self.snapshot is None else self.snapshot
        if table.snapshot_by_id(snapshot) is None:
            raise DataError(
                f"{self.described()} is not there: it has expired, or never was",
                hint=f"the newest is {self.model_copy(update={'as_of': None})._newest(table)}",
            )
        return table.scan(snapshot_id=snapshot)

    def _names(self, scan: Any) -> list[str]:
        return selected(self.select, scan.projection().as_arrow().names, self.described())

    def _refused(self, error: Exception, hint: str) -> DataError:
        said = str(getattr(error, "orig", None) or error)
        for secret in (self.uri, self.token):
            said = said if secret is None else secret.redact(said)
        return DataError(f"{self.described()} cannot be read: {one_line(said)}", hint=hint)
