"""Zero-wait batching: requests that came while the last batch ran are read and scored together.

No timer: a request never waits for others. What the event loop read in one turn is one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.scorer import Predictions, Scorer
from declarative_ml.serving.exchange import Answer

Columns = Mapping[str, np.ndarray]
"""What the graph takes: column -> [n, 1]."""

MOST_ROWS = 256
"""Of one batch: larger ones cost as much a row, and let the others wait."""


@dataclass(slots=True)
class Asked:
    """What a request asks to be scored, as rows or as raw columns, and how its answer is written."""

    rows: int
    reply: Callable[[Predictions], Answer]
    table: Sequence[Mapping[str, Any]] | None = None
    """Rows that are not read yet: those of several requests are read faster together."""
    raw: Columns | None = None
    batch: tuple[Columns, Predictions, int] | None = None
    """Once it is scored together with others: columns and answers of all, and where its own rows begin."""

    def columns(self, scorer: Scorer) -> Columns:
        """The graph's raw columns. Raises DataError for rows that do not fit."""
        if self.raw is None and self.batch is not None:
            columns, _, start = self.batch
            return {name: values[start : start + self.rows] for name, values in columns.items()}
        return scorer.raw_rows(self.table or [])[0] if self.raw is None else self.raw


@dataclass(slots=True)
class _Waiting:
    asked: Asked
    answer: asyncio.Future[Predictions]


class Batcher:
    """Scores small requests of one event loop, several at once where several are there."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._names = scorer.columns
        self._waiting: list[_Waiting] = []
        self.sizes = [0] * (MOST_ROWS.bit_length() + 1)
        """How many batches had 1, 2 or 3, 4 to 7, … rows, by `int.bit_length` of their number."""

    def submit(self, asked: Asked) -> asyncio.Future[Predictions]:
        """The predictions, when the loop has read what else is there; DataError for what does not fit."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Predictions] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._drain)
        self._waiting.append(_Waiting(asked, answer))
        return answer

    def alone(self, asked: Asked) -> Predictions:
        """The predictions for one request by itself. Raises DataError for what does not fit."""
        asked.raw = asked.columns(self._scorer)
        self.sizes[asked.rows.bit_length()] += 1
        return self._scorer.answers([self._scorer.run(asked.raw)])

    def _drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[_Waiting] = []
        rows = 0
        for item in waiting:
            if batch and rows + item.asked.rows > MOST_ROWS:
                self._run(batch)
                batch, rows = [], 0
            batch.append(item)
            rows += item.asked.rows
        self._run(batch)

    def _run(self, batch: Sequence[_Waiting]) -> None:
        try:
            read, parts = self._read(batch)
            rows = sum(item.asked.rows for item in read)
            columns = self._together(parts) if read else {}
            scored = self._scorer.answers([self._scorer.run(columns)] if read else [])
        except Exception as error:  # noqa: BLE001  (each request gets it, none is left waiting)
            for item in batch:
                _fail(item, error)
            return
        self.sizes[rows.bit_length()] += 1
        start = 0
        for item in read:
            end = start + item.asked.rows
            item.asked.batch = columns, scored, start
            if not item.answer.done():
                item.answer.set_result(scored if len(read) == 1 else scored.part(start, end))
            start = end

    def _read(self, batch: Sequence[_Waiting]) -> tuple[list[_Waiting], list[Columns]]:
        """The requests that could be read, in the order of their rows, and those rows' columns."""
        read = [item for item in batch if item.asked.raw is None]
        parts: list[Columns] = []
        if read:
            rows = [row for item in read for row in item.asked.table or ()]
            try:
                parts = [self._scorer.raw_rows(rows)[0]]
            except (DataError, RecursionError):
                read, parts = self._read_each(read)
        for item in batch:
            if item.asked.raw is not None:
                read.append(item)
                parts.append(item.asked.raw)
        return read, parts

    def _read_each(self, items: Sequence[_Waiting]) -> tuple[list[_Waiting], list[Columns]]:
        """As `_read`, one by one: a request that does not fit is told so, the others go on."""
        read: list[_Waiting] = []
        parts: list[Columns] = []
        for item in items:
            try:
                parts.append(item.asked.columns(self._scorer))
                read.append(item)
            except (DataError, RecursionError) as error:
                _fail(item, error)
        return read, parts

    def _together(self, parts: Sequence[Columns]) -> Columns:
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}


def _fail(item: _Waiting, error: Exception) -> None:
    if not item.answer.done():
        item.answer.set_exception(error)
