"""An MLflow server, asked over plain HTTP: what a service needs of it, and no more."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlencode, urlsplit

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.core.secret import Secret
from declarative_ml.trackers.mlflow_store import Store

ANSWER_SECONDS = 10.0
"""Without a byte from the server."""
DOWNLOAD_SECONDS = 600.0
"""For one file."""
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""The second is what the server says of an alias that points nowhere."""
_MOST_JSON = 16 << 20
_CHUNK = 1 << 20


class NotThere(DmlError):
    """The server knows no such thing."""


class _NoDetours(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the token to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Server:
    """A server, and what it wants to see."""

    store: Store
    token: Secret | None = None

    def ask(self, path: str, query: Mapping[str, str | None]) -> dict[str, Any]:
        """What a GET of the REST API answers. Raises NotThere, or DmlError for whatever else goes wrong."""
        with self._open(f"api/2.0/mlflow/{path}", query) as stream:
            content = stream.read(_MOST_JSON)
        try:
            found = json.loads(content)
        except ValueError as error:
            raise self._error("answers what is no JSON") from error
        if not isinstance(found, dict):
            raise self._error("answers what is no object")
        return found

    def download(self, path: str, query: Mapping[str, str], target: Path, most: int) -> None:
        """Write a file of the server's. Raises DataError for one of more than `most` bytes."""
        until, size = time.monotonic() + DOWNLOAD_SECONDS, 0
        with self._open(path, query) as stream, target.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise DataError(f"{target.name} is larger than {most:,} bytes")
                if time.monotonic() > until:
                    raise self._error(f"needs more than {DOWNLOAD_SECONDS:.0f} seconds for {target.name}")
                out.write(chunk)

    @contextmanager
    def _open(self, path: str, query: Mapping[str, str | None]) -> Iterator[IO[bytes]]:
        parts = urlsplit(self.store.uri)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        asked = f"?{urlencode({name: value or '' for name, value in query.items()})}" if query else ""
        request = urllib.request.Request(f"{bare.rstrip('/')}/{path}{asked}", headers=self._headers())
        opener = urllib.request.build_opener(_NoDetours)
        try:
            with opener.open(request, timeout=ANSWER_SECONDS) as stream:
                yield stream
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._error(f"does not answer: {getattr(error, 'reason', error)}") from None

    def _headers(self) -> dict[str, str]:
        """As MLflow's clients sign in: a token, or a name and a password."""
        token = os.environ.get("MLFLOW_TRACKING_TOKEN") if self.token is None else self.token.reveal()
        if token:
            return {"Authorization": f"Bearer {token}"}
        parts = urlsplit(self.store.uri)
        name = unquote(parts.username) if parts.username else os.environ.get("MLFLOW_TRACKING_USERNAME")
        word = unquote(parts.password) if parts.password else os.environ.get("MLFLOW_TRACKING_PASSWORD")
        if not name or not word:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(f'{name}:{word}'.encode()).decode()}"}

    def _refused(self, error: urllib.error.HTTPError) -> DmlError:
        try:
            code = json.loads(error.read(_MOST_JSON)).get("error_code")
        except (OSError, ValueError, AttributeError, HTTPException):
            code = None
        if error.code == 404 or code in _ABSENT:
            return NotThere(f"the MLflow server {self.store.shown} has no such thing")
        if error.code in (401, 403):
            return self._error(f"refuses the credentials ({error.code})")
        return self._error(f"answers {error.code}{f' {code}' if code else ''}")

    def _error(self, what: str) -> DmlError:
        return DmlError(
            f"the MLflow server {self.store.shown} {what}",
            hint="check track.uri, serve.registry_token or MLFLOW_TRACKING_TOKEN, and that the server runs",
        )
