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


class Batcher:
    """Scores small requests of one event loop, several at once where several are there."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._names = scorer.columns
        self._waiting: list[tuple[Asked, asyncio.Future[Predictions]]] = []
        self.sizes = [0] * (MOST_ROWS.bit_length() + 1)
        """How many batches had 1, 2 or 3, 4 to 7, … rows, by `int.bit_length` of their number."""

    def submit(self, asked: Asked) -> asyncio.Future[Predictions]:
        """The predictions, when the loop has read what else is there; DataError for what does not fit."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Predictions] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._drain)
        self._waiting.append((asked, answer))
        return answer

    def _drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        found = self.scored([asked for asked, _ in waiting])
        for (_, answer), scored in zip(waiting, found, strict=True):
            if answer.done():
                continue
            if isinstance(scored, Exception):
                answer.set_exception(scored)
            else:
                answer.set_result(scored)

    def scored(self, asked: Sequence[Asked]) -> list[Predictions | Exception]:
        """The predictions for each of some small requests, or why it gets none."""
        found: list[Predictions | Exception] = []
        batch: list[Asked] = []
        rows = 0
        for item in asked:
            if batch and rows + item.rows > MOST_ROWS:
                found += self._run(batch)
                batch, rows = [], 0
            batch.append(item)
            rows += item.rows
        return [*found, *self._run(batch)] if batch else found

    def _run(self, batch: Sequence[Asked]) -> Sequence[Predictions | Exception]:
        try:
            read, parts, unread = self._read(batch)
            columns = self._together(parts) if read else {}
            scored = self._scorer.answers([self._scorer.run(columns)] if read else [])
        except Exception as error:  # noqa: BLE001  (each request gets it, none is left waiting)
            return [error] * len(batch)
        if read:
            self.sizes[len(scored).bit_length()] += 1
        found: dict[int, Predictions | Exception] = dict(unread)
        start = 0
        for place in read:
            asked = batch[place]
            end = start + asked.rows
            asked.batch = columns, scored, start
            found[place] = scored if len(read) == 1 else scored.part(start, end)
            start = end
        return [found[place] for place in range(len(batch))]

    def _read(self, batch: Sequence[Asked]) -> tuple[list[int], list[Columns], dict[int, Exception]]:
        """Places of the requests that could be read, in the order of their rows; those rows' columns; and why
        the others could not."""
        read = [place for place, asked in enumerate(batch) if asked.raw is None]
        parts: list[Columns] = []
        unread: dict[int, Exception] = {}
        if read:
            rows = [row for place in read for row in batch[place].table or ()]
            try:
                parts = [self._scorer.raw_rows(rows)[0]]
            except (DataError, RecursionError):
                read, parts, unread = self._read_each(batch, read)
        for place, asked in enumerate(batch):
            if asked.raw is not None:
                read.append(place)
                parts.append(asked.raw)
        return read, parts, unread

    def _read_each(
        self, batch: Sequence[Asked], places: Sequence[int]
    ) -> tuple[list[int], list[Columns], dict[int, Exception]]:
        """As `_read`, one by one: a request that does not fit is told so, the others go on."""
        read: list[int] = []
        parts: list[Columns] = []
        unread: dict[int, Exception] = {}
        for place in places:
            try:
                parts.append(batch[place].columns(self._scorer))
                read.append(place)
            except (DataError, RecursionError) as error:
                unread[place] = error
        return read, parts, unread

    def _together(self, parts: Sequence[Columns]) -> Columns:
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}
