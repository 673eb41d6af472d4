"""Zero-wait batching: requests that came while the last batch ran are scored together.

No timer: a request never waits for others. What the event loop read in one turn is one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from declarative_ml.scoring.scorer import Scorer

Columns = Mapping[str, np.ndarray]
"""What the graph takes: column -> [n, 1]."""

MOST_ROWS = 256
"""Of one batch: larger ones cost as much a row, and let the others wait."""


@dataclass(slots=True)
class _Waiting:
    columns: Columns
    rows: int
    answer: asyncio.Future[list[np.ndarray]]


class Batcher:
    """Scores small requests of one event loop, several at once where several are there."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._names = scorer.columns
        self._waiting: list[_Waiting] = []

    def submit(self, columns: Columns, rows: int) -> asyncio.Future[list[np.ndarray]]:
        """The graph's outputs, each [rows, …], as soon as the loop has read what else is there."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[np.ndarray]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._drain)
        self._waiting.append(_Waiting(columns, rows, answer))
        return answer

    def _drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[_Waiting] = []
        rows = 0
        for item in waiting:
            if batch and rows + item.rows > MOST_ROWS:
                self._run(batch)
                batch, rows = [], 0
            batch.append(item)
            rows += item.rows
        self._run(batch)

    def _run(self, batch: Sequence[_Waiting]) -> None:
        try:
            outputs = self._scorer.run(self._together(batch))
        except Exception as error:  # noqa: BLE001  (each request gets it, none is left waiting)
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
            return
        start = 0
        for item in batch:
            if not item.answer.done():
                end = start + item.rows
                item.answer.set_result([output[start:end] for output in outputs])
            start += item.rows

    def _together(self, batch: Sequence[_Waiting]) -> Columns:
        if len(batch) == 1:
            return batch[0].columns
        return {name: np.concatenate([item.columns[name] for item in batch]) for name in self._names}
