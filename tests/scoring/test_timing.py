"""How long a row takes: of several rows in turn."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from declarative_ml.scoring import timing
from declarative_ml.scoring.timing import TIMED_ROWS, microseconds


@pytest.mark.parametrize(("given", "timed"), [(1, 1), (7, 7), (TIMED_ROWS + 9, TIMED_ROWS)])
def test_rows_take_turns(given: int, timed: int) -> None:
    seen: list[tuple[float, str]] = []

    def run(row: Any) -> None:
        assert row["number"].shape == row["word"].shape == (1, 1)
        seen.append((row["number"].item(), row["word"].item()))

    words = np.array([[f"w{place}"] for place in range(given)], dtype=object)
    assert microseconds(run, {"number": np.arange(given, dtype=np.float32)[:, None], "word": words}) >= 0
    assert len(set(seen)) == timed and len(seen) > 2 * TIMED_ROWS
    assert seen[: timed + 1] == [*((place, f"w{place}") for place in range(timed)), seen[0]]


def test_the_median_of_slow_calls_without_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_SECONDS", 0.0)  # one call to grow warm, and one that counts
    taken = iter([0.2, 0.02])
    found = microseconds(lambda row: time.sleep(next(taken)), {"number": np.zeros((5, 1), np.float32)})
    assert 2e4 <= found < 2e5
    assert next(taken, None) is None
