"""How long a model takes for one row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Rows = Mapping[str, np.ndarray]

TIMED_ROWS = 32
"""So many different rows take turns: more would tell no more."""
_CALLS = 128
_SECONDS = 0.2
"""They are scored so often, or for so long, to time them."""


def microseconds(run: Callable[[Rows], Any], rows: Rows) -> float:
    """The median time of `run` for one row [1, 1] alone, of the first TIMED_ROWS rows [N, 1] in turn.

    In turn, since a processor learns the way that one row takes through a model's trees: the same row again
    and again takes as little as a third of what rows take in service.
    """
    count = min(TIMED_ROWS, len(next(iter(rows.values()))))
    single = [{name: values[row : row + 1] for name, values in rows.items()} for row in range(count)]
    _seconds(run, single, TIMED_ROWS)  # code and data that lie in no cache yet do not count
    taken = sorted(_seconds(run, single, _CALLS))
    return 1e6 * taken[len(taken) // 2]


def _seconds(run: Callable[[Rows], Any], single: Sequence[Rows], calls: int) -> list[float]:
    """What each of some calls took; one at least."""
    taken: list[float] = []
    for row in islice(cycle(single), calls):
        started = time.perf_counter()
        run(row)
        taken.append(time.perf_counter() - started)
        if sum(taken) > _SECONDS:
            break
    return taken
