from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from declarative_ml.learning import sums
from declarative_ml.learning.disk_rows import DiskRows


@pytest.mark.parametrize("rows", [1, 7, 129, 1_000, 54_321])
def test_means_are_those_of_numpy_to_the_last_bit(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_PART", 256)
    random = np.random.default_rng(rows)
    values = random.normal(size=rows) * 10.0 ** random.uniform(-8, 8, rows)
    weight = random.random(rows)
    np.save(tmp_path / "values.npy", values)
    on_disk = DiskRows(tmp_path / "values.npy")
    assert sums.mean_of(on_disk) == np.mean(values)
    assert sums.mean_of(on_disk, weight) == np.average(values, weights=weight)
    assert sums.place_and_scale(on_disk, None) == (np.mean(values), np.std(values))
    place = np.average(values, weights=weight)
    spread = np.sqrt(np.average((values - place) ** 2, weights=weight))
    assert sums.place_and_scale(on_disk, weight) == (place, spread)
