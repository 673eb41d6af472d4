"""How long a graph takes for one row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_CALLS = 50
_SECONDS = 0.2
"""A row is scored so often, or for so long, to time it."""


def microseconds(session: Any, row: Mapping[str, np.ndarray]) -> float:
    """The median time to score one row [1, 1] alone, with the session's threads."""
    session.run(None, row)
    taken: list[float] = []
    while len(taken) < _CALLS and sum(taken) < _SECONDS:
        started = time.perf_counter()
        session.run(None, row)
        taken.append(time.perf_counter() - started)
    return 1e6 * sorted(taken)[len(taken) // 2]
