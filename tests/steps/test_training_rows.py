"""Which rows a model learns from, and that samples of them are of rows, however often their values repeat."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa

from declarative_ml.learning.sketches import Sample
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.split import TEST, TRAIN, VALIDATION
from declarative_ml.steps.training_rows import training_blocks

ROWS = 12_000


def artifacts(folder: Path, order: np.ndarray, part: np.ndarray, rows: int) -> StepContext:
    folder.mkdir()
    place = np.full(rows, -1)
    place[order] = np.arange(len(order))
    np.save(folder / "place.npy", place)
    np.save(folder / "part.npy", part.astype(np.uint8))
    return cast(StepContext, SimpleNamespace(inputs={"split": folder}))


def blocks(values: np.ndarray, size: int) -> list[tuple[int, pa.RecordBatch]]:
    return [
        (start, pa.RecordBatch.from_pydict({"x": values[start : start + size]}))
        for start in range(0, len(values), size)
    ]


def test_only_training_rows_at_their_places_in_the_split(tmp_path: Path) -> None:
    order, part = np.array([4, 0, 2, 5, 1]), np.array([TRAIN, TEST, TRAIN, VALIDATION, TRAIN])
    context = artifacts(tmp_path / "a", order, part, rows=7)
    found = list(training_blocks(context, blocks(np.arange(7), 3)))
    assert [batch.column("x").to_pylist() for batch, _, _ in found] == [[1, 2], [4], []]
    assert [done for _, _, done in found] == [3 / 7, 6 / 7, 1.0]
    assert len({number for _, hashes, _ in found for number in hashes.tolist()}) == 3


def test_a_sample_of_few_different_rows_has_them_in_their_shares(tmp_path: Path) -> None:
    values = np.arange(ROWS) % 10
    order = np.random.default_rng(0).permutation(ROWS)
    samples = []
    # The same rows, arrived in another order: the split puts equal rows at equal places.
    arrived = np.random.default_rng(1).permutation(ROWS)
    place = np.empty(ROWS, dtype=np.int64)
    place[arrived] = np.arange(ROWS)
    for name, table, rows in (("a", values, order), ("b", values[arrived], place[order])):
        context = artifacts(tmp_path / name, rows, np.zeros(ROWS), ROWS)
        for size in (1_000, ROWS):
            sample = Sample(2_000)
            for batch, hashes, _ in training_blocks(context, blocks(table, size)):
                sample.update(batch.column("x").to_numpy().astype(np.float64), hashes)
            samples.append(sample.sorted_values.tolist())
    assert samples[0] == samples[1] == samples[2] == samples[3]
    counts = np.bincount(np.array(samples[0], dtype=np.int64), minlength=10)
    assert counts.min() > 150 and counts.max() < 250
