from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from declarative_ml.learning import disk_rows
from declarative_ml.learning.disk_rows import DiskRows, RowWriter, rows_at

ROWS = 100


def values(width: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)


@pytest.fixture(params=[16 << 20, 40], ids=["one read", "many reads"])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskRows:
    monkeypatch.setattr(disk_rows, "_READ_BYTES", request.param)
    np.save(tmp_path / "a.npy", values())
    return DiskRows(tmp_path / "a.npy")


CHOSEN = {
    "slice": slice(10, 40),
    "to the end": slice(90, 400),
    "nothing": slice(5, 5),
    "every seventh": slice(None, None, 7),
    "positions": np.array([3, 4, 90]),
    "repeated, over as many places": np.array([3, 3, 5]),
    "unordered": np.array([90, 3, 4, 3]),
    "mask": np.arange(ROWS) % 3 == 1,
    "no positions": np.zeros(0, dtype=np.int64),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_rows_are_those_of_the_array(name: str, on_disk: DiskRows) -> None:
    np.testing.assert_array_equal(on_disk[CHOSEN[name]], values()[CHOSEN[name]])


@pytest.mark.parametrize("name", CHOSEN)
def test_rows_of_a_view_are_those_of_the_chosen(name: str, on_disk: DiskRows) -> None:
    mask = np.random.default_rng(1).random(ROWS) < 0.97
    seen, held = rows_at(on_disk, mask), values()[mask]
    assert (len(seen), seen.shape, seen.size) == (len(held), held.shape, held.size)
    wanted = CHOSEN[name]
    if name == "mask":
        wanted = wanted[: len(held)]  # type: ignore[index]
    np.testing.assert_array_equal(seen[wanted], held[wanted])
    np.testing.assert_array_equal(np.asarray(seen.view(np.arange(5, 9))), held[5:9])


def test_columns_may_be_absent_or_one(tmp_path: Path) -> None:
    for name, array in (("none", np.zeros((4, 0), np.float32)), ("flat", np.arange(4))):
        np.save(tmp_path / f"{name}.npy", array)
        found = DiskRows(tmp_path / f"{name}.npy")
        assert found.shape == array.shape
        np.testing.assert_array_equal(found[1:3], array[1:3])


@pytest.mark.parametrize("sizes", [[ROWS], [1] * ROWS, [33, 0, 67]], ids=["one block", "rows", "blocks"])
def test_rows_written_one_block_after_another_make_the_file_of_the_array(
    sizes: list[int], tmp_path: Path
) -> None:
    start = 0
    with RowWriter(tmp_path / "a.npy", (ROWS, 3), np.float32) as writer:
        for size in sizes:
            writer.add(values()[start : start + size].astype(np.float64))
            start += size
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values())


def test_a_writer_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RowWriter(tmp_path / "a.npy", (ROWS, 3), np.float32) as writer:
        writer.add(values()[:2])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_writer_that_lacks_rows_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=f"a.npy: 2 rows are written of {ROWS}"),
        RowWriter(tmp_path / "a.npy", (ROWS, 3), np.float32) as writer,
    ):
        writer.add(values()[:2])
    assert not list(tmp_path.iterdir())
