from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from declarative_ml.learning import level_counts
from declarative_ml.learning.level_counts import LevelCounts

STREAM = [random.Random(4).choice(["a", "bb", "ccc", "é", "dddd", "e", "ff"]) for _ in range(200)]


def counted(stream: list[str], most: int, most_characters: int) -> tuple[dict[str, int], bool]:
    """The same, one text after another."""
    counts: dict[str, int] = {}
    truncated = False
    for text in stream:
        if text in counts:
            counts[text] += 1
        elif len(counts) < most and sum(map(len, counts)) < most_characters:
            counts[text] = 1
        else:
            truncated = True
    return counts, truncated


@pytest.mark.parametrize("waiting", [0, 16 << 20], ids=["joined at once", "joined late"])
@pytest.mark.parametrize("limits", [(99, 99), (3, 99), (99, 4), (99, 5), (1, 1), (7, 99)])
@pytest.mark.parametrize("size", [1, 7, 200])
def test_counts_are_those_of_a_text_after_another(
    size: int, limits: tuple[int, int], waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_counts, "_WAITING_BYTES", waiting)
    halves = [LevelCounts(*limits), LevelCounts(*limits)]
    for start in range(0, len(STREAM), size):
        found = pc.value_counts(pa.array(STREAM[start : start + size]))
        halves[start >= 100].add(found.field("values"), found.field("counts").to_numpy())
    halves[0].merge(halves[1])
    expected, truncated = counted(STREAM, *limits)
    texts, counts = halves[0].arrays
    assert dict(zip(texts.to_pylist(), counts.tolist(), strict=True)) == expected
    assert texts.to_pylist() == list(expected)
    assert halves[0].truncated == truncated
    names, ranks = halves[0].ranked
    ranked = sorted(expected.items(), key=lambda level: (-level[1], level[0]))
    assert list(zip(names.to_pylist(), ranks.tolist(), strict=True)) == ranked


def test_nothing_counted() -> None:
    texts, counts = LevelCounts(5, 5).ranked
    assert (len(texts), len(counts)) == (0, 0)
