"""What hinders events on their way to the APM server: said when it begins and when it ends, not each time."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

log = logging.getLogger("declarative_ml.serving.apm")

QUIET_SECONDS = 600
"""A server that comes and goes is told of so often at most."""
_LONGEST = 200
_NOISE = re.compile(r" ?\(url: [^)]*\)|<[^<>]*>:? ?|[^\x20-\x7e]+")
"""Addresses, which may hold a password, objects as Python writes them, and what could fool a terminal."""


class Troubles:
    """The state of the way to one server, as its sender sees it."""

    def __init__(
        self, url: str, secrets: Iterable[str | None] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = urlsplit(url).netloc.rpartition("@")[2]
        self._secrets, self._clock = [secret for secret in secrets if secret], clock
        self._kind: str | None = None
        self._said: dict[str, float] = {}
        self._told = False

    def begin(self, reason: str) -> None:
        """Events do not get there. Another reason of the same kind is no news."""
        kind = reason.partition(":")[0]
        if kind == self._kind:
            return
        self._kind = kind
        now = self._clock()
        if now - self._said.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._said[kind] = now
        self._told = True
        log.warning(
            "APM: %s gets no events (%s); they are left out until it does, requests are answered as ever",
            self._server,
            self._clean(reason),
        )

    def end(self) -> None:
        """Events get there."""
        if self._kind is not None and self._told:
            log.warning("APM: %s gets events again", self._server)
        self._kind, self._told = None, False

    def _clean(self, reason: str) -> str:
        """On one line, short, and without what nobody may read: the text is the server's."""
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return _NOISE.sub(" ", reason).strip()[:_LONGEST]
