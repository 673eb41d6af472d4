"""The tables of the benchmark: what is predicted, what gives it away, and how the rows are divided.

The folder of tables is the user's; it holds one folder a table with train.csv and test.csv. Division 0 is
these files as they are. The others are drawn from the rows of both, as many test rows as before; classes keep
their shares. Cells stay the text that they are: no contender sees what another one's reader made of them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from declarative_ml.core.atomic import write_bytes
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.task import Task, TaskType

SEED = 20_240
"""Of the divisions; with the number of the division it decides every draw."""

csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Table:
    """What the benchmark knows of a table."""

    name: str
    target: str
    type: TaskType
    positive: str | None = None
    leaks: tuple[str, ...] = ()
    """Columns that follow from the target, or that it follows from: no contender gets them."""


TABLES: tuple[Table, ...] = (
    Table("titanic", "Survived", "binary", "1"),
    Table("telco_churn", "Churn", "binary", "Yes"),
    Table("adult", "income", "binary", ">50K"),
    Table("german_credit", "default", "binary", "2"),
    Table("penguins", "species", "multiclass"),
    Table("wine_quality", "quality", "number"),
    Table("digits", "digit", "multiclass"),
    Table("california_housing", "median_house_value", "number"),
    Table("diamonds", "price", "number"),
    Table("bike_sharing", "cnt", "number", leaks=("casual", "registered", "instant")),
    Table("melbourne_housing", "Price", "number"),
    Table("laptop_prices", "Price_euros", "number"),
    Table("sms_spam", "label", "binary", "spam"),
    Table("ag_news", "label", "multiclass"),
    Table("netflix_genres", "type", "binary", "TV Show", leaks=("duration", "genre")),
)


@dataclass(frozen=True)
class Division:
    """The rows of a table in two parts, leaks left out."""

    table: Table
    header: tuple[str, ...]
    train: tuple[tuple[str, ...], ...]
    test: tuple[tuple[str, ...], ...]

    def task(self) -> Task:
        """What is predicted; classes sorted, the positive one of two last."""
        if self.table.type == "number":
            return Task(target=self.table.target, type="number")
        names = sorted(set(self._targets(self.train)) | set(self._targets(self.test)))
        if self.table.positive is not None:
            if self.table.positive not in names or len(names) != 2:
                raise DataError(
                    f"{self.table.name}: column {self.table.target!r} holds {', '.join(names[:5])}, "
                    f"not {self.table.positive!r} and one other"
                )
            names.sort(key=lambda name: name == self.table.positive)
        return Task(target=self.table.target, type=self.table.type, classes=tuple(names))

    def truth(self) -> np.ndarray:
        """Of the test rows: class numbers in the order of the task, int64 [N], or values, float64 [N]."""
        task, values = self.task(), self._targets(self.test)
        if task.type == "number":
            return np.asarray([float(value) for value in values], dtype=np.float64)
        number = {name: place for place, name in enumerate(task.classes)}
        return np.asarray([number[value] for value in values], dtype=np.int64)

    def write(self, folder: Path) -> str:
        """Write train.csv and test.csv; the digest of both."""
        digest = hashlib.sha256()
        for name, rows in (("train", self.train), ("test", self.test)):
            content = _csv(self.header, rows)
            digest.update(content)
            write_bytes(folder / f"{name}.csv", content)
        return digest.hexdigest()

    def _targets(self, rows: Sequence[Sequence[str]]) -> list[str]:
        place = self.header.index(self.table.target)
        return [row[place] for row in rows]


def chosen(names: Sequence[str]) -> tuple[Table, ...]:
    """The tables of these names, in the order of TABLES; all when there is no name."""
    known = {table.name for table in TABLES}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"no table is named {', '.join(unknown)}", hint=f"The tables are {', '.join(sorted(known))}."
        )
    return tuple(table for table in TABLES if not names or table.name in names)


def divide(table: Table, folder: Path, split: int) -> Division:
    """Division `split` of the table in `folder`/NAME. Raises DataError for files that do not fit it."""
    header, train = read_rows(folder / table.name / "train.csv")
    other, test = read_rows(folder / table.name / "test.csv")
    if header != other:
        raise DataError(f"{table.name}: train.csv and test.csv have different columns")
    if absent := [name for name in (table.target, *table.leaks) if name not in header]:
        raise DataError(f"{table.name}: train.csv has no column {', '.join(map(repr, absent))}")
    if split:
        place = header.index(table.target)
        classes = None if table.type == "number" else [row[place] for row in (*train, *test)]
        train, test = _redrawn((*train, *test), len(test), classes, split)
    kept = [place for place, name in enumerate(header) if name not in table.leaks]

    def narrow(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[place] for place in kept)

    return Division(table, narrow(header), tuple(map(narrow, train)), tuple(map(narrow, test)))


def read_rows(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and rows of a CSV file, as text. Raises DataError when it is absent or ragged."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}",
            hint="TABLES is a folder of folders with train.csv and test.csv.",
        ) from error
    lines = [tuple(row) for row in csv.reader(io.StringIO(text, newline="")) if row]
    if len(lines) < 2:
        raise DataError(f"{path} has no rows")
    header, *rows = lines
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(f"{path}, row {number}: {len(row)} cells, the header has {len(header)}")
    return header, tuple(rows)


def held_out(count: int, size: int, classes: Sequence[str] | None, split: int) -> np.ndarray:
    """Which `size` of `count` rows are test rows in division `split`, sorted; int64 [size].

    With `classes`, each class gives its share, rounded so that the sum is `size` (largest remainders).
    """
    random = np.random.default_rng([SEED, split])
    order = random.permutation(count)
    if classes is None:
        return np.sort(order[:size])
    label = np.asarray(classes)[order]
    names = np.unique(label)
    quotas = _shares(np.asarray([np.count_nonzero(label == name) for name in names]), size)
    parts = [order[label == name][:quota] for name, quota in zip(names, quotas, strict=True)]
    return np.asarray(np.sort(np.concatenate(parts)))


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """`size` divided in proportion to `counts`, in whole numbers; int64, as long as `counts`."""
    exact = counts * size / counts.sum()
    whole = np.floor(exact).astype(np.int64)
    remainders = np.argsort(-(exact - whole), kind="stable")
    whole[remainders[: size - int(whole.sum())]] += 1
    return np.asarray(whole)


Rows = tuple[tuple[str, ...], ...]


def _redrawn(rows: Rows, size: int, classes: Sequence[str] | None, split: int) -> tuple[Rows, Rows]:
    test = held_out(len(rows), size, classes, split)
    train = np.setdiff1d(np.arange(len(rows)), test)
    # The files came in some order; a reader that learns from it must not find one here.
    train = np.random.default_rng([SEED, split, 1]).permutation(train)
    return tuple(rows[place] for place in train), tuple(rows[place] for place in test)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()
