"""The agent's transport, two faults mended: a log line for each attempt, and an end that comes too early."""

from __future__ import annotations

import os
import queue
import time
from typing import Any

from elasticapm.transport.http import Transport as HttpTransport  # noqa: TID253  (loaded by the agent alone)

from declarative_ml.serving.apm.troubles import Troubles, log

PATIENCE_SECONDS = 10.0
"""For the last events, when the service ends."""


class Transport(HttpTransport):  # type: ignore[misc,unused-ignore]
    """Sends events from a thread of its own; what the server does not take is dropped, never waited for."""

    _closed: bool

    def __init__(self, url: str, client: Any, **options: Any) -> None:
        super().__init__(url, client=client, **options)
        config = client.config
        self._troubles = Troubles(config.server_url, (config.secret_token, config.api_key))

    def queue(self, event_type: Any, data: Any, flush: bool = False) -> None:
        """See the agent: the queue holds 10,000 events."""
        if self._event_queue.full():
            self._troubles.begin("its queue is full")
            return
        super().queue(event_type, data, flush)

    def handle_transport_success(self, **options: Any) -> None:
        """See the agent."""
        super().handle_transport_success(**options)
        self._troubles.end()

    def handle_transport_fail(self, exception: Exception | None = None, **options: Any) -> None:
        """See the agent."""
        super().handle_transport_fail(exception, **options)
        self._troubles.begin(_reason(exception))

    def close(self) -> None:
        """Send what is queued, and end. The agent waits for the first flush that ends, which may be one that
        was under way, with events behind it; here the thread is waited for."""
        thread = self._thread
        if self._closed or thread is None or thread.pid != os.getpid():
            return
        self._closed = True
        end = time.monotonic() + PATIENCE_SECONDS
        awake = {"chill": False} if self._is_chilled_queue else {}
        try:
            self._event_queue.put(("close", None, False), timeout=PATIENCE_SECONDS, **awake)
        except queue.Full:
            log.warning("APM: the last events are left out: the queue is full")
            return
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            log.warning("APM: the last events are left out: they could not be sent in %g s", PATIENCE_SECONDS)


def _reason(exception: Exception | None) -> str:
    """The agent says of refused connections too that they timed out; what is behind that knows better."""
    cause = getattr(exception.__context__, "reason", None) if exception is not None else None
    return str(exception) if cause is None else f"no connection: {cause}"
