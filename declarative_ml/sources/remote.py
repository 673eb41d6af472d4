"""Files on the web and in object stores: fetched once, kept beside the user's cache, read as local files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.errors import DataError
from declarative_ml.core.secret import Secret
from declarative_ml.core.size import Size, bytes_of
from declarative_ml.sources.base import Source
from declarative_ml.sources.download import Limits, fetch_page, kept_copy
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.table_files import TableFiles

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.sources.download import Copy

_WEB = ("http", "https")
_STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss")
REMOTE_PATH = re.compile(rf"^({'|'.join((*_WEB, *_STORES))})://")
"""How the path of a remote file begins."""
STORE_PATH = re.compile(rf"^({'|'.join(_STORES)})://[^/]+/.")
"""How the path of an object in a store begins."""


def without_password(address: str | None) -> str | None:
    """The address. Raises ValueError for one with a user or password in it."""
    if address is not None and "@" in urlsplit(address).netloc and address.startswith("http"):
        raise ValueError("an address with a password in it would be seen; use token: ${env:NAME}")
    return address


class RemoteSource(TableFiles):
    """A file on the web or in an object store. In each run it is asked whether it is still the same.

    What was fetched is kept in the user's cache, and fetched again only when the server says that it changed.
    """

    remote: ClassVar[bool] = True

    type: Literal["remote"] = "remote"
    path: str = Field(
        pattern=REMOTE_PATH.pattern,
        description="https://…, http://…, s3://bucket/key, gs://… or az://container/key; in a store also a "
        "folder, which ends with /, or a pattern such as s3://lake/2024-*.parquet",
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Of the content; anything else is refused",
    )
    max_size: Size = Field(default="2GB", description="More than this, of all files together, is not fetched")
    hosts: tuple[str, ...] = Field(
        default=(), description="http: other hosts to which the server may redirect; none when absent"
    )
    token: Secret | None = Field(
        default=None, description="http: reference to a bearer token; only the path's own host sees it"
    )
    endpoint: str | None = Field(
        default=None, description="s3: address of a server other than Amazon's, such as https://minio:9000"
    )
    region: str | None = Field(default=None, description="s3: where the bucket is; found out when absent")

    @field_validator("path", "endpoint")
    @classmethod
    def _no_password(cls, address: str | None) -> str | None:
        return without_password(address)

    @model_validator(mode="after")
    def _fitting(self) -> RemoteSource:
        idle = ("endpoint", "region") if self.is_web else ("token", "hosts")
        for name in idle:
            if getattr(self, name):
                raise ValueError(f"'{name}' has no effect on {self.scheme}:// paths")
        if self.sha256 and (self.path.endswith("/") or "*" in self.path) and not self.is_web:
            raise ValueError("sha256 is of one file, and the path is of several")
        return self

    @property
    def scheme(self) -> str:
        """What stands before ://."""
        return self.path.partition("://")[0]

    @property
    def is_web(self) -> bool:
        """Whether it is read by http."""
        return self.scheme in _WEB

    def described(self) -> str:
        """The name of the file."""
        name = PurePosixPath(urlsplit(self.path).path).name
        return "data" if name in ("", "..") else name

    def resolved(self, base: Path) -> RemoteSource:
        """The same source with the path of a secret's file made absolute against `base`."""
        return self if self.token is None else self.model_copy(update={"token": self.token.resolved(base)})

    def options_for_key(self) -> dict[str, object]:
        """Where it is, and how it is read; which content it has, its digest says."""
        kept = ("path", "format", "delimiter", "encoding", "sheet", "select", "sha256", "endpoint")
        return {name: getattr(self, name) for name in kept if getattr(self, name)}

    def bound(self, recorded: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
        """The fetched files as a local source, and the SHA-256 of each.

        Raises DataError when the server cannot be reached or gives other content than is wanted.
        """
        copies = self._copies()
        found = {copy.name: copy.sha256 for copy in copies}
        wanted = recorded.get("sha256", {copies[0].name: self.sha256} if self.sha256 else found)
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise DataError(
                    f"{self.path}: {name} has other content than was expected: "
                    f"SHA-256 {found.get(name)}, not {wanted.get(name)}",
                    hint="somebody has changed it; look at it before you write the new SHA-256 down",
                )
        return self._local(copies), {"sha256": found}

    def columns(self) -> list[str]:
        """The column names; fetches the file."""
        return self.bound({})[0].columns()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, as the file's format gives them."""
        return self.bound({})[0].batches()

    def _copies(self) -> list[Copy]:
        limits = Limits(bytes_of(self.max_size), self.hosts)
        if self.is_web:
            token = None if self.token is None else self.token.reveal()
            fetch = partial(fetch_page, self.path, limits=limits, token=token)
            return [kept_copy(self.path, self.described(), fetch)]
        from declarative_ml.sources.object_store import copies

        return copies(self.path, self.endpoint, self.region, limits)

    def _local(self, copies: list[Copy]) -> FileSource:
        # A folder, so that the partitions in the names of folders become columns.
        several = self.path.endswith("/") or any(copy.path.parent != copy.root for copy in copies)
        paths = tuple(str(copy.root if several else copy.path) for copy in copies)
        return FileSource(
            path=paths[0] if len(paths) == 1 else paths,
            **self.reading(),
        )
