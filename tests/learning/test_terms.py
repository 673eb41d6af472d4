from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from declarative_ml.learning.dataset import Dataset, Layout, TermColumn, open_dataset
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.terms import (
    Terms,
    TermWriter,
    has_terms,
    open_terms,
    term_digests,
    terms_of,
)

ROWS, SIZE = 40, 9
DIGESTS = term_digests([f"term {number}" for number in range(SIZE)])


def dense(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Weights of terms, of which some rows have none."""
    random = np.random.default_rng(seed)
    values = random.random((rows, SIZE)) * (random.random((rows, SIZE)) < 0.3)
    values[::7] = 0.0
    return values.astype(np.float32)


def write(folder: Path, values: np.ndarray, *sizes: int) -> Terms:
    """Write rows in blocks of the given sizes, or in one; then open what was written."""
    start = 0
    with TermWriter(folder, len(values), DIGESTS) as writer:
        for size in sizes or [len(values)]:
            writer.add(csr_matrix(values[start : start + size]))
            start += size
    return open_terms(folder)


def test_the_files_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    values, contents = dense(), []
    for name, sizes in (("a", [ROWS]), ("b", [1] * ROWS), ("c", [13, 0, 20, 7])):
        (tmp_path / name).mkdir()
        found = write(tmp_path / name, values, *sizes)
        assert len(found) == ROWS
        np.testing.assert_array_equal(found.matrix().toarray(), values)
        np.testing.assert_array_equal(found.digests, DIGESTS)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1] == contents[2]
    assert sorted(contents[0]) == [f"terms.{part}.npy" for part in ("bounds", "digests", "places", "values")]


def test_terms_in_any_order_are_written_in_theirs(tmp_path: Path) -> None:
    turned = csr_matrix((np.array([2, 1], np.float32), np.array([7, 3]), np.array([0, 2])), (1, SIZE))
    with TermWriter(tmp_path, 1, DIGESTS) as writer:
        writer.add(turned)
    found = open_terms(tmp_path)
    assert (found.places[:].tolist(), found.values[:].tolist()) == ([3, 7], [1.0, 2.0])


@pytest.mark.parametrize(
    "rows",
    [np.array([5, 0, 5, 39]), np.arange(ROWS) % 3 == 1, np.zeros(0, dtype=np.int64)],
    ids=["positions", "mask", "none"],
)
def test_take(rows: np.ndarray, tmp_path: Path) -> None:
    values = dense()
    found = write(tmp_path, values).take(rows)
    assert found.matrix().shape == (len(values[rows]), SIZE)
    np.testing.assert_array_equal(found.matrix().toarray(), values[rows])
    np.testing.assert_array_equal(
        found.take(np.arange(len(found))[::-1]).matrix().toarray(), values[rows][::-1]
    )


def test_entries_stay_on_disk(tmp_path: Path) -> None:
    found = write(tmp_path, dense()).take(np.arange(10))
    assert isinstance(found.places, DiskRows) and isinstance(found.values, DiskRows)


def test_nothing_at_all(tmp_path: Path) -> None:
    assert not has_terms(tmp_path)
    found = write(tmp_path, np.zeros((3, SIZE), np.float32))
    assert has_terms(tmp_path)
    assert found.matrix().shape == (3, SIZE)
    assert found.matrix().nnz == 0


def test_terms_of_a_matrix() -> None:
    values = dense()
    found = terms_of(csr_matrix(values), DIGESTS)
    np.testing.assert_array_equal(found.matrix().toarray(), values)
    assert (found.places.dtype, found.values.dtype) == (np.int32, np.float32)


def test_digests_stand_for_terms() -> None:
    first, again = term_digests(["a", "b c", "é"]), term_digests(["é", "b  c", "a"])
    assert first.dtype == np.uint64
    assert first[0] == again[2] and first[2] == again[0] and first[1] != again[1]
    assert term_digests([]).tolist() == []


def test_a_dataset_carries_its_terms(tmp_path: Path) -> None:
    values = dense()
    write(tmp_path, values)
    for name in ("raw", "scaled", "codes"):
        np.save(tmp_path / f"{name}.npy", np.zeros((ROWS, 0), dtype=np.float32))
    np.save(tmp_path / "target.npy", np.arange(ROWS))
    layout = Layout(terms=(TermColumn(name="x", size=SIZE),))
    data = open_dataset(tmp_path, layout)
    assert data.terms is not None
    chosen = replace(data, weight=np.ones(ROWS)).take(np.array([8, 3]))
    assert chosen.terms is not None
    np.testing.assert_array_equal(chosen.terms.matrix().toarray(), values[[8, 3]])


def test_a_dataset_without_terms(tmp_path: Path) -> None:
    empty = np.zeros((4, 0), dtype=np.float32)
    data = Dataset(Layout(), empty, empty, empty.astype(np.int32), np.arange(4))
    assert data.terms is None and data.take(np.array([1])).terms is None


def test_layouts_add_up() -> None:
    columns = [TermColumn(name=name, size=3, summary=(f"{name}.1",)) for name in "ab"]
    both = Layout(scaled=("a.1",), terms=(columns[0],)) + Layout(scaled=("b.1",), terms=(columns[1],))
    assert both == Layout(scaled=("a.1", "b.1"), terms=tuple(columns))
    assert Layout.model_validate(both.model_dump(mode="json")) == both
