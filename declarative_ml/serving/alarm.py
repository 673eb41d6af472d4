"""Tells somebody of drift: one POST for a window that moved, and then none for the time of `cooldown`.

The caller only starts a thread: requests, and the thread that counts rows, wait for nothing. Workers of one
service share the time of the last call by a file, so that they call once together; each pod calls for itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import DmlError
from declarative_ml.learning.drift_windows import Verdict
from declarative_ml.spec.webhook import Webhook

log = logging.getLogger("declarative_ml.serving")

SIGNATURE = "X-Dml-Signature-256"
"""`sha256=` and the HMAC of the body (RFC 2104), in hexadecimal digits."""
_MOST_COLUMNS = 20
_LONGEST_PAUSE = 60.0
_AGAIN = frozenset({408, 425, 429})
"""Refusals that may be none the next time; so may every 5xx."""


class _NoDetours(urllib.request.HTTPRedirectHandler):
    """What is told to one address is not told to another."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class Alarm:
    """The calls of one model in one process."""

    webhook: Webhook
    model: Mapping[str, str]
    """What the body says of it."""
    folder: Path | None = None
    """Where workers leave the time of the last call; None: there is one worker."""
    pause: float = 1.0
    """Seconds before the first repetition; each further pause is twice as long."""
    clock: Callable[[], float] = time.time
    called: int = 0
    failed: int = 0
    """Calls that arrived, and those that were given up."""
    _last: float = 0.0
    _thread: threading.Thread | None = None
    _chance: random.Random = field(default_factory=random.Random)

    def ring(self, window: Mapping[str, Any], verdict: Verdict, alert: float) -> bool:
        """Call, in a thread of its own, if the window moved and no call was made for the time of `cooldown`.
        Whether it does."""
        if not verdict.moved or (self._thread is not None and self._thread.is_alive()):
            return False
        if not self._take_turn():
            return False
        body = json.dumps(self._content(window, verdict, alert), sort_keys=True).encode()
        self._thread = threading.Thread(target=self._call, args=(body,), name="dml-webhook", daemon=True)
        self._thread.start()
        return True

    def _content(self, window: Mapping[str, Any], verdict: Verdict, alert: float) -> dict[str, Any]:
        """Names and numbers; no value of a request."""
        moved = [
            {"column": item.column, "psi": round(item.drift.distance.psi, 6), "answer": item.is_answer}
            for item in verdict.moved[:_MOST_COLUMNS]
        ]
        return {
            "event": "drift",
            "time": _moment(self.clock()),
            "model": dict(self.model),
            "alert": alert,
            "window": {
                "began": _moment(window["began"]),
                "ended": _moment(window["ended"]),
                "rows": verdict.rows,
            },
            "moved": moved,
        }

    def _call(self, body: bytes) -> None:
        try:
            fault = self._delivered(body)
        except DmlError as error:  # a secret that is not there
            fault = error.message
        except Exception as error:  # noqa: BLE001
            # The message may hold the address, which is a secret: only its kind is told.
            fault = type(error).__name__
        if fault is None:
            self.called += 1
            log.warning("drift: the webhook was called")
            return
        self.failed += 1
        self._give_back()
        log.warning("drift: the webhook could not be called: %s", fault)

    def _delivered(self, body: bytes) -> str | None:
        """None when somebody took it, else why nobody did."""
        request = self._request(body)
        opener = urllib.request.build_opener(_NoDetours)
        fault = ""
        for attempt in range(self.webhook.retries + 1):
            if attempt:
                time.sleep(
                    min(self.pause * 2 ** (attempt - 1), _LONGEST_PAUSE) * self._chance.uniform(0.8, 1.2)
                )
            try:
                opener.open(request, timeout=float(seconds_of(self.webhook.timeout))).close()
                return None
            except urllib.error.HTTPError as error:
                error.close()
                fault = f"it answers {error.code}"
                if error.code < 500 and error.code not in _AGAIN:
                    return fault
            except OSError as error:
                reason = getattr(error, "reason", error)
                fault = getattr(reason, "strerror", None) or type(reason).__name__
        return fault

    def _request(self, body: bytes) -> urllib.request.Request:
        address = self.webhook.url.reveal().strip()
        if not address.startswith(("https://", "http://")):
            raise DmlError(f"{self.webhook.url.reference} is not the address of a server")
        headers = {"Content-Type": "application/json", "User-Agent": "declarative-ml"}
        if self.webhook.secret is not None:
            key = self.webhook.secret.reveal().encode()
            headers[SIGNATURE] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
        return urllib.request.Request(address, body, headers, method="POST")

    def _take_turn(self) -> bool:
        """Whether it is time for a call; then no other worker makes one."""
        now, wait = self.clock(), float(seconds_of(self.webhook.cooldown))
        if self.folder is None:
            if now - self._last < wait:
                return False
            self._last = now
            return True
        return self._at_file(lambda last: now if now - last >= wait else None)

    def _give_back(self) -> None:
        """Nobody heard: the next window that moved calls again."""
        self._last = 0.0
        if self.folder is not None:
            self._at_file(lambda last: 0.0)

    def _at_file(self, change: Callable[[float], float | None]) -> bool:
        """Put another time of the last call in the place of the one there, alone among the workers. Whether
        it did; not where the file cannot be used."""
        assert self.folder is not None
        name = hashlib.sha256(f"{self.model['name']}".encode()).hexdigest()[:16]
        try:
            handle = os.open(self.folder / f"webhook-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        with os.fdopen(handle, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            new = change(float(stream.read() or b"0"))
            if new is not None:
                stream.seek(0)
                stream.truncate()
                stream.write(repr(new).encode())
        return new is not None


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
