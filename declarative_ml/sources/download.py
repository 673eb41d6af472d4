"""Fetching over HTTP with limits, and copies that are kept and asked about instead of fetched again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from declarative_ml.core.atomic import write_text
from declarative_ml.core.digest import digest_bytes
from declarative_ml.core.errors import DataError
from declarative_ml.core.size import shown
from declarative_ml.core.user_cache import folder as user_folder

_BLOCK = 1 << 20
_PATIENCE = 30.0
"""Seconds without a byte."""
_TEMPORARY_FAULTS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Limits:
    """What may be fetched."""

    size: int
    """Bytes."""
    hosts: tuple[str, ...] = ()
    """Hosts to which a server may redirect, besides itself."""


@dataclass(frozen=True)
class Copy:
    """A local copy of a remote file."""

    name: str
    """Its path below what was asked for."""
    path: Path
    sha256: str

    @property
    def root(self) -> Path:
        """The folder below which `path` is `name`."""
        return self.path.parents[self.name.count("/")]


Marks = dict[str, str]
"""What a server says of the version of a file: its ETag, its time of change."""
Fetch = Callable[[Mapping[str, str], IO[bytes]], Marks | None]
"""Writes the content and gives its marks; None when it still is the version with the known marks."""


def kept_copy(address: str, name: str, fetch: Fetch) -> Copy:
    """The file at `address`: the copy that is there when `fetch` says so, else a new one.

    A copy lies under its SHA-256, so that nothing changes under a reader; the one before it is kept as well.
    """
    home = user_folder() / "remote" / digest_bytes(address.encode())[:32]
    known = _known(home, name)
    home.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=home, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as stream:
            marks = fetch(known.get("marks", {}), stream)
        if marks is None:
            return Copy(name, home / known["sha256"] / name, known["sha256"])
        return _keep(Path(part), home, name, marks, known)
    finally:
        Path(part).unlink(missing_ok=True)


def _known(home: Path, name: str) -> dict[str, Any]:
    """What is remembered of the copy; nothing when it is not there, or is not what it was."""
    try:
        known: dict[str, Any] = json.loads((home / "known.json").read_text())
        size = (home / known["sha256"] / name).stat().st_size
        return known if size == known["size"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(part: Path, home: Path, name: str, marks: Marks, known: Mapping[str, Any]) -> Copy:
    with part.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    target = home / sha256 / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    before = known.get("sha256")
    facts = {"sha256": sha256, "size": target.stat().st_size, "marks": marks, "before": before}
    write_text(home / "known.json", json.dumps(facts))
    if known.get("before") not in (None, sha256, before):
        shutil.rmtree(home / str(known["before"]), ignore_errors=True)
    return Copy(name, target, sha256)


def copy_stream(stream: Any, to: IO[bytes], limit: int, address: str) -> int:
    """Copy the bytes and count them. Raises DataError for more than `limit`."""
    done = 0
    while block := stream.read(_BLOCK):
        done += len(block)
        if done > limit:
            raise too_large(address, limit)
        to.write(block)
    return done


def too_large(address: str, limit: int) -> DataError:
    """The error for a file of more than `limit` bytes."""
    return DataError(
        f"{address} is larger than {shown(limit)}", hint="set max_size if that is meant, such as 20GB"
    )


def fetch_page(
    address: str, known: Mapping[str, str], to: IO[bytes], limits: Limits, token: str | None = None
) -> Marks | None:
    """GET the address into `to`, unless it is as `known`.

    Raises DataError for what the server refuses, a redirect to another host, and content beyond the limits.
    """
    request = urllib.request.Request(address, headers={"User-Agent": "declarative-ml"})
    for mark, header in (("etag", "If-None-Match"), ("changed", "If-Modified-Since")):
        if mark in known:
            request.add_header(header, known[mark])
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        return _marks(send(request, to, limits))
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return None
        raise refused(address, error) from None


def send(request: urllib.request.Request, to: IO[bytes], limits: Limits) -> Message:
    """Write the answer to a request into `to`, and return its headers.

    Raises urllib.error.HTTPError for an answer that is no success, DataError for a redirect to another
    host, an answer beyond the limits, and a server that is not there.
    """
    address = request.full_url
    opener = urllib.request.build_opener(_Redirects(limits.hosts))
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            announced = answer.headers.get("Content-Length")
            if announced is not None and int(announced) > limits.size:
                raise too_large(address, limits.size)
            done = copy_stream(answer, to, limits.size, address)
            if announced is not None and done != int(announced):
                raise DataError(
                    f"{address} broke off after {done:,} of {int(announced):,} bytes", hint="run again"
                )
            headers: Message = answer.headers
            return headers
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{address} cannot be fetched: {reason}", hint="check the address and the network"
        ) from None


def _marks(headers: Message) -> Marks:
    named = {"etag": headers.get("ETag"), "changed": headers.get("Last-Modified")}
    return {mark: value for mark, value in named.items() if value}


def refused(address: str, error: urllib.error.HTTPError) -> DataError:
    """The error for what a server does not give."""
    hints = {
        401: "give a token: ${env:NAME}",
        403: "the token, or the lack of one, is refused",
        404: "check the path",
    }
    hint = hints.get(
        error.code, "try again later" if error.code in _TEMPORARY_FAULTS else "check the address"
    )
    return DataError(f"{address} cannot be fetched: {error.code} {error.reason}", hint=hint)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same host and to those that the spec names; never from https to http."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = hosts

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if old.scheme == "https" and new.scheme != "https":
            raise DataError(f"{req.full_url} redirects to {new.scheme}, which anybody can change on the way")
        if _host(new) != _host(old) and new.netloc not in self._hosts and new.hostname not in self._hosts:
            raise DataError(
                f"{req.full_url} redirects to another host, {new.netloc}",
                hint=f"if that is right, allow it: hosts: [{new.netloc}]",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _host(parts: Any) -> tuple[str | None, int | None]:
    """The host and its port, where that is not the usual one of http or https."""
    return parts.hostname, None if parts.port in (80, 443) else parts.port
