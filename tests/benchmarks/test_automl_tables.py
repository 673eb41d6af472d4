"""Tables are divided as promised: sizes, shares, leaks left out, the same rows every time."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.automl.tables import TABLES, Table, chosen, divide, held_out, read_rows
from declarative_ml.core.errors import DataError, UsageError

PETS = Table("pets", "kind", "multiclass", leaks=("sound",))


def write(folder: Path, train: str, test: str) -> Path:
    (folder / "pets").mkdir()
    (folder / "pets" / "train.csv").write_text(train, encoding="utf-8")
    (folder / "pets" / "test.csv").write_text(test, encoding="utf-8")
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    rows = [f'{n},"x, {n}",{"meow" if n % 4 else "woof"},{"cat" if n % 4 else "dog"}' for n in range(40)]
    head = "weight,name,sound,kind"
    return write(tmp_path, "\n".join([head, *rows[:30]]), "\n".join([head, *rows[30:]]))


def test_division_0_is_the_files_without_the_leaks(pets: Path) -> None:
    division = divide(PETS, pets, 0)
    assert division.header == ("weight", "name", "kind")
    assert division.train[1] == ("1", "x, 1", "cat")
    assert [row[0] for row in division.test] == [str(n) for n in range(30, 40)]


@pytest.mark.parametrize("split", [1, 2])
def test_other_divisions_redraw_all_rows_and_keep_the_shares(pets: Path, split: int) -> None:
    division = divide(PETS, pets, split)
    assert sorted(int(row[0]) for row in (*division.train, *division.test)) == list(range(40))
    shares = Counter(row[2] for row in division.test)
    assert len(division.test) == 10
    assert set(shares.values()) in ({8, 2}, {7, 3})  # of 7.5 and 2.5
    assert division == divide(PETS, pets, split)
    assert division.test != divide(PETS, pets, 3 - split).test


def test_the_task_and_the_truth_have_one_order(pets: Path) -> None:
    division = divide(PETS, pets, 0)
    assert division.task().classes == ("cat", "dog")
    assert division.truth().tolist() == [0 if n % 4 else 1 for n in range(30, 40)]


def test_the_positive_class_comes_last(pets: Path) -> None:
    table = Table("pets", "kind", "binary", "cat")
    assert divide(table, pets, 0).task().classes == ("dog", "cat")


def test_a_positive_class_that_is_not_there_is_an_error(pets: Path) -> None:
    with pytest.raises(DataError, match="'kind' holds cat, dog, not 'cow' and one other"):
        divide(Table("pets", "kind", "binary", "cow"), pets, 0).task()


def test_written_files_hold_the_same_cells(pets: Path, tmp_path: Path) -> None:
    division = divide(PETS, pets, 1)
    digest = division.write(tmp_path / "out")
    assert read_rows(tmp_path / "out" / "train.csv") == (division.header, division.train)
    assert read_rows(tmp_path / "out" / "test.csv") == (division.header, division.test)
    assert divide(PETS, pets, 1).write(tmp_path / "again") == digest
    assert divide(PETS, pets, 2).write(tmp_path / "other") != digest


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("kind,sound\ncat,meow\n", "sound,kind\nmeow,cat\n", "train.csv and test.csv have different columns"),
        ("kind\ncat\n", "kind\ncat\n", "train.csv has no column 'sound'"),
        ("kind,sound\n", "kind,sound\ncat,meow\n", "train.csv has no rows"),
        ("kind,sound\ncat,meow\ndog\n", "kind,sound\n", "train.csv, row 2: 1 cells, the header has 2"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, train: str, test: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        divide(PETS, write(tmp_path, train, test), 0)


def test_an_absent_table_says_what_the_folder_must_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.csv cannot be read") as caught:
        divide(PETS, tmp_path, 0)
    assert caught.value.hint is not None
    assert "folder of folders" in caught.value.hint


@pytest.mark.parametrize(
    ("classes", "size", "expected"),
    [
        (["a"] * 90 + ["b"] * 10, 20, {"a": 18, "b": 2}),
        (["a"] * 5 + ["b"] * 5 + ["c"] * 5, 5, {"a": 2, "b": 2, "c": 1}),
        (["a"] * 99 + ["b"], 10, {"a": 10}),
    ],
)
def test_shares_are_rounded_to_the_size(classes: list[str], size: int, expected: dict[str, int]) -> None:
    places = held_out(len(classes), size, classes, split=1)
    assert len(set(places.tolist())) == size
    assert Counter(classes[place] for place in places) == expected


def test_numbers_are_drawn_without_classes() -> None:
    places = held_out(50, 7, None, split=2)
    assert len(np.unique(places)) == 7
    assert places.tolist() == held_out(50, 7, None, split=2).tolist()


def test_the_tables_that_are_chosen() -> None:
    assert chosen([]) == TABLES
    assert [table.name for table in chosen(["penguins", "titanic"])] == ["titanic", "penguins"]
    with pytest.raises(UsageError, match="no table is named titan"):
        chosen(["titan"])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_is_what_we_say(table: Table, shared_data: Path) -> None:
    """On the real files: columns, classes and numbers are there, and no test row is of a class of its own."""
    division = divide(table, shared_data, 0)
    task, truth = division.task(), division.truth()
    assert len(truth) == len(division.test)
    assert np.isfinite(truth).all()
    assert not set(table.leaks) & set(division.header)
    if task.is_classification:
        place = division.header.index(table.target)
        assert {row[place] for row in division.test} <= {row[place] for row in division.train}
