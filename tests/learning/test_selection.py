from __future__ import annotations

import numpy as np
import pytest

from declarative_ml.learning.selection import BLOCK_ROWS, Selection


def selection_of(mask: np.ndarray) -> Selection:
    return Selection(mask[start : start + BLOCK_ROWS] for start in range(0, len(mask), BLOCK_ROWS))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows", [0, 1, 100, BLOCK_ROWS, 2 * BLOCK_ROWS + 77])
def test_it_is_sliced_and_indexed_as_the_positions_are(rows: int, share: float) -> None:
    random = np.random.default_rng(0)
    mask = random.random(rows) < share
    positions, found = np.flatnonzero(mask), selection_of(mask)
    assert len(found) == len(positions)
    assert np.array_equal(np.asarray(found), positions)
    edge = len(positions)
    for part in (
        slice(0, 5),
        slice(10, 10),
        slice(30_000, 90_000),
        slice(edge - 3, edge + 9),
        slice(None, None, 7),
    ):
        assert np.array_equal(found[part], positions[part]), part
    if edge:
        wanted = random.integers(0, edge, 50)
        assert np.array_equal(found[wanted], positions[wanted])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows", [1, 100, BLOCK_ROWS, 2 * BLOCK_ROWS + 77])
def test_each_position_has_its_number_among_the_chosen(rows: int, share: float) -> None:
    random = np.random.default_rng(0)
    mask = random.random(rows) < share
    asked = random.permutation(rows)
    expected = np.where(mask, np.cumsum(mask) - 1, -1)[asked]
    assert np.array_equal(selection_of(mask).numbers(asked), expected)
