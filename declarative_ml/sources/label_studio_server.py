"""The tasks of a project on a server of Label Studio, a page after another."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from declarative_ml.core.errors import DataError
from declarative_ml.core.secret import Secret
from declarative_ml.sources.download import Limits, refused, send
from declarative_ml.sources.label_studio_tasks import Task

_ASKED = {"page_size": 100, "fields": "all", "resolve_uri": "false"}
"""Annotations as well, and the data as it was imported."""
_LIMITS = Limits(256 << 20)
"""Of one page."""
_UNAUTHORIZED = 401


def tasks_of(url: str, project: int, token: Secret) -> Iterator[Task]:
    """All tasks of a project with their annotations, each once.

    Raises DataError for what the server refuses or does not give; the token is in no message.
    """
    server = _Server(url.rstrip("/"), token.reveal())
    seen: set[Any] = set()
    page, total = 1, 1
    while len(seen) < total:
        asked = urlencode({"project": project, "page": page, **_ASKED})
        answer = server.ask(f"/api/tasks/?{asked}")
        tasks, total = _page(answer, url)
        new = [task for task in tasks if task.get("id") not in seen]
        if not new and len(seen) < total:
            raise DataError(
                f"{url} gave {len(seen):,} of the {total:,} tasks of project {project}",
                hint="tasks were added or deleted meanwhile: run again",
            )
        seen.update(task.get("id") for task in new)
        yield from new
        page += 1


def _page(answer: Any, url: str) -> tuple[list[Task], int]:
    try:
        tasks, total = answer["tasks"], int(answer["total"])
        if all(isinstance(task["data"], dict) for task in tasks):
            return tasks, total
    except (KeyError, TypeError, ValueError):
        pass
    raise DataError(f"{url} answers, but not as Label Studio does", hint="is it the address of the server?")


class _Server:
    """A server and the way to show who asks. A personal token buys others, which last for minutes."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._is_personal = token.count(".") == 2
        self._bought = ""

    def ask(self, path: str) -> Any:
        """The answer to a GET, from JSON."""
        if self._is_personal and self._bought:
            try:
                return self._send(path, f"Bearer {self._bought}")
            except urllib.error.HTTPError as error:
                if error.code != _UNAUTHORIZED:
                    raise refused(self._url + path, error) from None
        try:
            return self._send(path, self._credentials())
        except urllib.error.HTTPError as error:
            raise refused(self._url + path, error) from None

    def _credentials(self) -> str:
        if not self._is_personal:
            return f"Token {self._token}"
        answer = self._send("/api/token/refresh/", None, json.dumps({"refresh": self._token}).encode())
        self._bought = str(answer["access"])
        return f"Bearer {self._bought}"

    def _send(self, path: str, authorization: str | None, body: bytes | None = None) -> Any:
        headers = {"User-Agent": "declarative-ml", "Accept": "application/json"}
        request = urllib.request.Request(self._url + path, body, headers)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if authorization is not None:
            request.add_unredirected_header("Authorization", authorization)
        answer = io.BytesIO()
        send(request, answer, _LIMITS)
        try:
            return json.loads(answer.getvalue())
        except ValueError:
            raise DataError(
                f"{self._url} answers, but not in JSON", hint="is it the address of the server?"
            ) from None
