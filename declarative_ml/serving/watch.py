"""What is watched of a model in service: its requests and answers, counted for drift and written down.

The event loop only keeps what it has at hand anyway: arrays and a time. They are counted many rows at once,
which costs less a row than one row alone. Where counting is all, the loop counts a few rows itself, in the
time of some requests: beside a thread it would wait for the interpreter, and every request with it. All
else is for the model's thread. Whatever goes wrong here, requests go on: rows beyond a limit are dropped, and
counted.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import numpy as np

from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.learning.drift_windows import Window, Windows, judge_windows
from declarative_ml.scoring.answer_cells import answer_cells
from declarative_ml.scoring.scorer import Predictions, Scorer
from declarative_ml.serving.alarm import Alarm
from declarative_ml.serving.batching import Asked, Columns
from declarative_ml.serving.board import Board
from declarative_ml.serving.exchange import Answer, Call
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.prediction_log import LoggedRows, LogWriter
from declarative_ml.spec.monitor import LEAST_ROWS, Monitor

log = logging.getLogger("declarative_ml.serving")

BATCH_ROWS = 512
"""Rows that the model's thread counts at once."""
FEW_ROWS = 64
"""Rows that the event loop counts at once: more, and requests would notice."""
DELAY_SECONDS = 1.0
"""Fewer rows are counted after so long."""
MOST_WAITING = 100_000
"""Rows that wait to be counted; further ones are dropped."""
REQUEST_ID = b"x-request-id"
_LONGEST_ID = 128

Seen = tuple[str, float, Asked, Predictions]
"""Id of the request, time, what it asked and its answers."""


class Watch:
    """One model's windows and log. `observe` and `flush` are for the event loop."""

    def __init__(self, model: ServedModel, monitor: Monitor) -> None:
        self.model = model
        self.alert = monitor.drift.alert
        drift = monitor.drift
        self.windows: Windows | None = None
        if drift.enabled:
            seconds = None if drift.time is None else float(seconds_of(drift.time))
            self.windows = Windows(
                model.bundle.reference(),
                rows=drift.rows,
                least=LEAST_ROWS,
                seconds=seconds,
                columns=drift.columns,
            )
        self.alarm: Alarm | None = None
        self._sounded: Window | None = None
        """The last full window that was judged for the alarm."""
        if self.windows is not None and drift.webhook is not None:
            self.alarm = Alarm(drift.webhook, model.about)
        self.log = None if monitor.log is None else LogWriter(monitor.log, model.manifest)
        self._state: dict[str, Any] | None = None
        """The windows after the last rows: what other workers, if there are any, see of them."""
        self._has_others = False
        self.others: Callable[[], list[dict[str, Any]]] = list
        """The windows of the other workers."""
        self.dropped = 0
        """Rows that were not watched: too many waited."""
        self._seen: list[Seen] = []
        self._rows = 0
        self._submitted = self._done = 0
        self._counting: Future[None] | None = None
        """What the model's thread was given last."""
        self._timer: asyncio.TimerHandle | None = None
        self._prefix, self._numbers = os.urandom(8).hex(), itertools.count()

    def share(self, board: Board) -> None:
        """Let other workers see the windows, and see theirs."""
        name = self._name
        self._has_others = board.folder is not None
        if self.alarm is not None:
            self.alarm.folder = board.folder
        board.show(name, lambda: self._state)
        self.others = lambda: [
            state for place, state in board.shown(name).items() if place != board.place and state is not None
        ]

    def leave(self, board: Board) -> None:
        """Let other workers see the windows no more."""
        board.hide(self._name)

    @property
    def _name(self) -> str:
        return f"drift.{self.model.name}.{self.model.version}"

    def observe(self, call: Call, asked: Asked, scored: Predictions, answer: Answer) -> None:
        """A request was answered. With a log, the answer gets the id of the request as a header."""
        request = ""
        if self.log is not None:
            request = _given_id(call) or f"{self._prefix}-{next(self._numbers):x}"
            answer.headers = (*answer.headers, (REQUEST_ID, request.encode()))
        if not self._seen:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DELAY_SECONDS, self.flush)
        self._seen.append((request, time.time(), asked, scored))
        self._rows += len(scored)
        if self._rows >= (FEW_ROWS if self._only_counts else BATCH_ROWS):
            self.flush()

    @property
    def _only_counts(self) -> bool:
        """Whether rows are only counted: nothing is written, sent, or left for other workers."""
        return self.log is None and self.alarm is None and not self._has_others

    def flush(self) -> None:
        """Count what was seen, or hand it to the model's thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seen, rows = self._seen, self._rows
        self._seen, self._rows = [], 0
        if not seen:
            return
        if self._submitted - self._done + rows > MOST_WAITING:
            self.dropped += rows
            return
        self._submitted += rows
        is_free = self._counting is None or self._counting.done()
        if self._only_counts and rows < 2 * FEW_ROWS and is_free:
            try:
                self._digest(seen, rows)
            except Exception as error:  # noqa: BLE001  (the request that came last has its answer)
                _tell(error)
            return
        self._counting = self.model.later(lambda: self._digest(seen, rows))
        self._counting.add_done_callback(lambda done: _tell(done.exception()))

    def _digest(self, seen: Sequence[Seen], rows: int) -> None:
        """Count the rows, and hand them to the log's thread."""
        self._done += rows
        names = self.model.scorer.columns
        parts = list(_parts(self.model.scorer, seen))
        columns = {name: _joined([part[name] for part, _ in parts], rows) for name in names}
        scored = _together([part for _, part in parts], rows)
        cells = answer_cells(self.model.scorer, scored)
        if self.windows is not None:
            self.windows.update(columns, cells, seen[-1][1])
            if self._has_others:
                self._state = self.windows.state()
            if self.alarm is not None and self.windows.last is not self._sounded:
                self._sound(self.alarm, self.windows)
        if self.log is not None:
            origins = [(request, when, len(part)) for request, when, _, part in seen]
            self.log.put(LoggedRows(origins, columns, scored, cells["prediction"]))

    def _sound(self, alarm: Alarm, windows: Windows) -> None:
        """Judge the window that has just become full, with those of the other workers, as /drift shows it."""
        self._sounded = windows.last
        states = [windows.state(), *self.others()]
        judged = judge_windows(windows.reference, states, least=LEAST_ROWS, alert=self.alert)
        alarm.ring(*judged["last"], self.alert)

    def close(self) -> None:
        """Count what is left, and finish the log. Call it before the model is closed."""
        self.flush()
        if self.log is not None:
            self.model.later(self.log.close).result()


def _given_id(call: Call) -> str:
    """The id that the client gave its request; empty where it gave none that can stand in a header."""
    given = call.headers.get(REQUEST_ID, b"")
    text = given[: _LONGEST_ID + 1].decode("latin-1")
    return text if len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() else ""


def _parts(scorer: Scorer, seen: Sequence[Seen]) -> Iterator[tuple[Columns, Predictions]]:
    """Columns and answers of what was seen, in its order: neighbours of one batch are not taken apart."""
    place = 0
    while place < len(seen):
        _, _, asked, scored = seen[place]
        place += 1
        if asked.batch is None:
            yield asked.columns(scorer), scored
            continue
        columns, together, start = asked.batch
        end = start + asked.rows
        while place < len(seen) and _follows(near := seen[place][2], together, end):
            end, place = end + near.rows, place + 1
        if end - start == len(together):
            yield columns, together
        else:
            yield {name: values[start:end] for name, values in columns.items()}, together.part(start, end)


def _follows(asked: Asked, together: Predictions, place: int) -> bool:
    return asked.batch is not None and asked.batch[1] is together and asked.batch[2] == place


def _joined(parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """The parts one after the other, of together `rows` rows. numpy takes half a microsecond for each part,
    which for parts of one row is more than all the rest."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if len(parts) == rows and first.dtype == object:
        return np.array([part.item() for part in parts], dtype=object)
    if first.dtype == np.float32:
        with suppress(TypeError):  # parts that do not lie in one piece
            buffers: Sequence[Any] = parts
            return np.frombuffer(b"".join(buffers), dtype=np.float32).reshape(rows, *first.shape[1:])
    return np.concatenate(parts)


def _together(parts: Sequence[Predictions], rows: int) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    found: dict[str, Any] = {}
    for name in ("prediction", "probabilities", "lower", "upper"):
        values = [getattr(part, name) for part in parts]
        found[name] = None if values[0] is None else _joined(values, rows)
    return Predictions(**found)


def _tell(error: BaseException | None) -> None:
    """A fault of the watch is in the service's log, and nowhere else."""
    if error is not None:
        log.error("rows of requests could not be watched", exc_info=error)


def watch_models(models: Collection[ServedModel], monitor: Monitor) -> None:
    """Give each model that has none its watch, where something is to be watched.

    Raises UsageError for a column that no model takes: a value that was to be redacted would be written down.
    """
    known = {name for model in models for name in model.scorer.columns}
    redacted = () if monitor.log is None else monitor.log.redact
    if absent := sorted({*monitor.drift.columns, *redacted} - known):
        raise UsageError(
            f"monitor names {', '.join(map(repr, absent))}, which the model does not take",
            hint=f"it takes {', '.join(sorted(known)[:12])}",
        )
    if not monitor.drift.enabled and monitor.log is None:
        return
    for model in models:
        if model.watch is None:
            model.watch = Watch(model, monitor)
