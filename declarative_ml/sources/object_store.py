"""Objects in S3, Google Cloud Storage and Azure, through the file systems that pyarrow brings."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.sources.download import Copy, Limits, Marks, copy_stream, kept_copy, too_large
from declarative_ml.sources.file import is_table

if TYPE_CHECKING:
    import pyarrow.fs

_MOST_OBJECTS = 10_000
_SEVERAL = frozenset("*?[")
CREDENTIALS = (
    "credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"
)
"""Where stores take them from, in words."""


def copies(address: str, endpoint: str | None, region: str | None, limits: Limits) -> list[Copy]:
    """Local copies of the objects, in the order of their names. Raises DataError for none or too many."""
    try:
        store, place = store_of(address, endpoint, region)
        found = _objects(store, place, address)
        if sum(info.size or 0 for info in found) > limits.size:
            raise too_large(address, limits.size)
        scheme = f"{endpoint or ''}{address.partition('://')[0]}://"
        start = len(_fixed(place)) if len(found) > 1 or _names_several(place) else None
        return [_copy(store, info, f"{scheme}{info.path}", limits, start) for info in found]
    except OSError as error:
        raise DataError(f"{address} cannot be fetched: {one_line(error)}", hint=CREDENTIALS) from None


def store_of(address: str, endpoint: str | None, region: str | None) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system, and the path in it."""
    import os

    from pyarrow import fs

    parts = urlsplit(address)
    place = unquote(address.partition("://")[2])
    if parts.scheme == "s3":
        options: dict[str, Any] = {"connect_timeout": 10, "request_timeout": 60}
        if endpoint is not None:
            scheme, _, host = endpoint.rpartition("://")
            options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
        if region is not None:
            options["region"] = region
        return fs.S3FileSystem(**options), place
    if parts.scheme in ("gs", "gcs"):
        return fs.GcsFileSystem(), place
    container, _, account = parts.netloc.partition("@")
    name = account.partition(".")[0] or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not name:
        raise DataError(f"{address} names no storage account", hint="set AZURE_STORAGE_ACCOUNT")
    key = os.environ.get("AZURE_STORAGE_KEY")
    return fs.AzureFileSystem(name, account_key=key), f"{container}{unquote(parts.path)}"


def _objects(store: pyarrow.fs.FileSystem, place: str, address: str) -> list[pyarrow.fs.FileInfo]:
    from pyarrow import fs

    if not _names_several(place):
        info = store.get_file_info(place)
        if info.type != fs.FileType.File:
            hint = (
                "a folder ends with /"
                if info.type == fs.FileType.Directory
                else "check the bucket and the key"
            )
            raise DataError(f"there is no object {address}", hint=hint)
        return [info]
    fixed = _fixed(place)
    listed = store.get_file_info(fs.FileSelector(fixed, recursive=True))
    found = [info for info in listed if info.type == fs.FileType.File and _is_wanted(info.path, place, fixed)]
    if not found or len(found) > _MOST_OBJECTS:
        count = f"{len(found):,} objects match" if found else "no object matches"
        raise DataError(f"{count} {address}", hint="check the bucket and the pattern")
    return sorted(found, key=lambda info: str(info.path))


def _names_several(place: str) -> bool:
    """Whether the path is a folder or a pattern."""
    return place.endswith("/") or not _SEVERAL.isdisjoint(place)


def _fixed(place: str) -> str:
    """The part of the path before any wildcard."""
    while not _SEVERAL.isdisjoint(place):
        place = place.rpartition("/")[0]
    return place.rstrip("/")


def _is_wanted(path: str, place: str, fixed: str) -> bool:
    """Whether the pattern means this object; in a folder, what begins with . or _ is other programs' own."""
    below = PurePosixPath(path).relative_to(fixed).parts
    if any(part.startswith((".", "_")) for part in below):
        return False
    return is_table(PurePosixPath(path)) if place.endswith("/") else fnmatchcase(path, place)


def _copy(
    store: pyarrow.fs.FileSystem, info: pyarrow.fs.FileInfo, address: str, limits: Limits, start: int | None
) -> Copy:
    """A copy of one object; its name begins at `start` of its path, else it is the last part."""

    def fetch(known: Mapping[str, str], to: IO[bytes]) -> Marks | None:
        with store.open_input_stream(info.path) as stream:
            marks = _marks(info, stream.metadata() or {})
            if marks == known:
                return None
            copy_stream(stream, to, limits.size, address)
            return marks

    name = PurePosixPath(info.path).name if start is None else str(info.path)[start:].lstrip("/")
    return kept_copy(address, name, fetch)


def _marks(info: pyarrow.fs.FileInfo, metadata: Mapping[Any, Any]) -> Marks:
    """The ETag where the store has one, and the size and the time of change."""
    named = {_text(key).lower(): _text(value) for key, value in metadata.items()}
    marks = {"size": str(info.size), "changed": str(info.mtime_ns)}
    return marks | ({"etag": named["etag"]} if "etag" in named else {})


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
