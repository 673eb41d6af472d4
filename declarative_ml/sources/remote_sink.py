"""A file in an object store to write to: it appears whole, in the place of the last one, or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.sources.object_store import CREDENTIALS, store_of
from declarative_ml.sources.remote import STORE_PATH, without_password
from declarative_ml.sources.sink import Sink
from declarative_ml.sources.table_writer import ENDINGS, kind_of, write_rows

if TYPE_CHECKING:
    import pyarrow as pa


class RemoteSink(Sink):
    """An object that predictions are written to, as `remote` reads them."""

    type: Literal["remote"] = "remote"
    path: str = Field(
        pattern=STORE_PATH.pattern,
        description="s3://bucket/key, gs://… or az://…; csv, tsv, parquet, jsonl or arrow by extension",
    )
    endpoint: str | None = Field(
        default=None, description="s3: address of a server other than Amazon's, such as https://minio:9000"
    )
    region: str | None = Field(default=None, description="s3: where the bucket is; found out when absent")

    @field_validator("path")
    @classmethod
    def _is_file(cls, path: str) -> str:
        if PurePosixPath(path).suffix.lower() not in ENDINGS:
            raise ValueError(f"{path!r} has no extension of {', '.join(ENDINGS)}")
        return path

    @field_validator("endpoint")
    @classmethod
    def _no_password(cls, address: str | None) -> str | None:
        return without_password(address)

    def send(self, rows: pa.RecordBatchReader) -> None:
        """Write all rows to a file on this machine, and that to the store in one piece.

        A store shows an object when its upload is complete. Rows that end in an error are therefore not sent.
        """
        from pyarrow import fs

        store, place = store_of(self.path, self.endpoint, self.region)
        with tempfile.TemporaryDirectory(prefix="dml-") as folder:
            file = Path(folder) / PurePosixPath(place).name
            with file.open("wb") as stream:
                write_rows(rows, stream, kind_of(PurePosixPath(place)))
            fs.copy_files(str(file), place, fs.LocalFileSystem(), store, use_threads=False)

    def refused(self, error: Exception) -> DataError:
        """What the store said."""
        return DataError(f"{self.path} cannot be written: {one_line(error)}", hint=CREDENTIALS)
