import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.text.statistics import TextStatistics

WORDS = ["one", "two", "drei", "四", "cinq", "", "x" * 50]


def column(rows, seed=5):
    source = random.Random(seed)
    texts = [" ".join(source.choices(WORDS, k=source.randrange(8))) for _ in range(rows)]
    values = pa.array([None if not number % 17 else text for number, text in enumerate(texts)], pa.string())
    return values, np.random.default_rng(seed).integers(0, 2**63, rows).astype(np.uint64)


def gather(values, hashes, bounds, limits):
    """Every second block by way of a merge."""
    total = TextStatistics(*limits)
    for number, (start, stop) in enumerate(pairwise(bounds)):
        part = total if number % 2 else TextStatistics(*limits)
        part.update(values.slice(start, stop - start), hashes[start:stop])
        if part is not total:
            total.merge(part)
    return total


def seen(statistics):
    lengths = statistics.lengths
    return statistics.sample.to_pylist(), statistics.rows, statistics.missing, lengths.mean, lengths.max


@pytest.mark.parametrize("limits", [(10_000, 1 << 20), (40, 1 << 20), (10_000, 700), (3, 10), (1, 1)])
def test_the_sample_does_not_depend_on_the_blocks(limits):
    values, hashes = column(500)
    whole = seen(gather(values, hashes, [0, 500], limits))
    source = np.random.default_rng(0)
    for blocks in (2, 3, 10, 100, 500):
        bounds = [0, *np.sort(source.integers(0, 500, blocks - 1)).tolist(), 500]
        assert seen(gather(values, hashes, bounds, limits)) == whole


@pytest.mark.parametrize("limits", [(10_000, 1 << 20), (40, 1 << 20), (10_000, 700)])
def test_the_sample_does_not_depend_on_the_order_of_rows(limits):
    values, hashes = column(500)
    order = np.random.default_rng(1).permutation(500)
    mixed = gather(values.take(pa.array(order)), hashes[order], [0, 100, 230, 500], limits)
    assert seen(mixed) == seen(gather(values, hashes, [0, 500], limits))


def test_the_sample_is_the_longest_run_within_the_limits():
    values, hashes = column(500)
    texts = [values[row].as_py() for row in np.argsort(hashes) if values[row].as_py()]
    assert gather(values, hashes, [0, 500], (10_000, 1 << 20)).sample.to_pylist() == texts
    assert gather(values, hashes, [0, 500], (40, 1 << 20)).sample.to_pylist() == texts[:40]
    sizes = np.cumsum([len(text.encode()) for text in texts])
    fitting = int(np.count_nonzero(sizes <= 700))
    assert gather(values, hashes, [0, 500], (10_000, 700)).sample.to_pylist() == texts[:fitting]
    assert gather(values, hashes, [0, 500], (1, 1)).sample.to_pylist() == texts[:1]


def test_memory_stays_within_twice_the_limits():
    statistics = TextStatistics(50, 2_000)
    for block in range(30):
        values, hashes = column(40, block)
        statistics.update(values, hashes)
        assert sum(len(texts) for _, texts in statistics._parts) <= 2 * 50 + 40


def test_equal_rows_are_kept_by_text():
    values, hashes = pa.array(["b", "a", "c"]), np.zeros(3, dtype=np.uint64)
    assert gather(values, hashes, [0, 3], (2, 100)).sample.to_pylist() == ["a", "b"]
    assert gather(values, hashes, [0, 1, 2, 3], (2, 100)).sample.to_pylist() == ["a", "b"]


def test_missing_and_empty_texts_are_counted_and_left_out():
    statistics = TextStatistics()
    statistics.update(pa.array([None, "", " ", "a"]), np.arange(4, dtype=np.uint64))
    assert (statistics.rows, statistics.missing, statistics.present) == (4, 2, 2)
    assert statistics.sample.to_pylist() == [" ", "a"]
    assert TextStatistics().sample.to_pylist() == []
