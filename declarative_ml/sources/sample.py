"""Sample tables without a network: real ones from installed packages, one made messy, and one of messages."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources import messy, tickets
from declarative_ml.sources.base import Source

if TYPE_CHECKING:
    import pyarrow as pa

SampleName = Literal["iris", "wine", "breast_cancer", "diabetes", "digits", "penguins", "messy", "tickets"]

_CELLS = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points",
    "symmetry", "fractal_dimension",
)  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """Where a package keeps a table. A table without `columns` has its own header line.

    `classes`: the names that stand for the numbers 0, 1, … of the last column.
    """

    package: str
    extra: str
    files: tuple[str, ...]
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    skip: int = 0
    delimiter: str = ","


_TABLES: dict[str, _Table] = {
    "iris": _Table(
        "sklearn", "samples", ("iris.csv",),
        ("sepal_length", "sepal_width", "petal_length", "petal_width", "species"),
        ("setosa", "versicolor", "virginica"), skip=1,
    ),
    "wine": _Table(
        "sklearn", "samples", ("wine_data.csv",),
        ("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
         "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280_od315", "proline",
         "cultivar"),
        ("class_0", "class_1", "class_2"), skip=1,
    ),
    "breast_cancer": _Table(
        "sklearn", "samples", ("breast_cancer.csv",),
        (*(pattern.format(cell) for pattern in ("mean_{}", "{}_error", "worst_{}") for cell in _CELLS),
         "diagnosis"),
        ("malignant", "benign"), skip=1,
    ),
    "diabetes": _Table(
        "sklearn", "samples", ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
        ("age", "sex", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glucose", "progression"),
        delimiter=" ",
    ),
    "digits": _Table(
        "sklearn", "samples", ("digits.csv.gz",),
        (*(f"pixel_{row}_{column}" for row in range(8) for column in range(8)), "digit"),
    ),
    "penguins": _Table("palmerpenguins", "samples", ("penguins.csv",)),
}  # fmt: skip
_MADE = {"messy": messy, "tickets": tickets}
_FOLDERS = {"sklearn": "datasets/data", "palmerpenguins": "data"}


class SampleSource(Source):
    """A small table for trying things out.

    iris, wine, breast_cancer, diabetes and digits come with scikit-learn; penguins needs the extra
    `samples`. Two are synthetic: messy, orders of a shop that never was, with every quirk of real tables;
    and tickets, messages to its help desk.
    """

    type: Literal["sample"] = "sample"
    name: SampleName = Field(description="Which table")

    def files(self) -> list[Path]:
        """The files the rows come from; for the made table the module that makes it.

        Raises MissingDependency when the package that holds the table is not installed.
        """
        if self.name in _MADE:
            return [Path(str(_MADE[self.name].__file__))]
        table = _TABLES[self.name]
        folder = _package_folder(table) / _FOLDERS[table.package]
        found = [folder / name for name in table.files]
        absent = [path for path in found if not path.is_file()]
        if absent:
            raise DataError(
                f"the installed {table.package} does not hold {absent[0].name}",
                hint=f"install another version of {table.package}",
            )
        return found

    def options_for_key(self) -> dict[str, object]:
        """The table's name: it decides column names and class names."""
        return {"name": self.name}

    def columns(self) -> list[str]:
        """The column names; the last one is the target."""
        return self._rows()[0]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The table as one batch of strings; an empty cell is ""."""
        import pyarrow as pa

        header, rows = self._rows()
        columns = list(zip(*rows, strict=True))
        arrays = [pa.array(column, pa.string()) for column in columns]
        yield pa.RecordBatch.from_arrays(arrays, names=header)

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        if self.name in _MADE:
            made = _MADE[self.name]
            return list(made.COLUMNS), made.make_rows()
        table = _TABLES[self.name]
        parts = [_read(path, table.delimiter)[table.skip :] for path in self.files()]
        rows = [[cell for part in row for cell in part] for row in zip(*parts, strict=True)]
        if not table.columns:
            return _target_last(rows[0], rows[1:])
        for row in rows:
            row[-1] = table.classes[int(row[-1])] if table.classes else _plain(row[-1])
        return list(table.columns), rows


def _package_folder(table: _Table) -> Path:
    """The package's folder, found without importing it."""
    found = find_spec(table.package)
    if found is None or not found.submodule_search_locations:
        raise MissingDependency(table.package, table.extra)
    return Path(next(iter(found.submodule_search_locations)))


def _read(path: Path, delimiter: str) -> list[list[str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]


def _target_last(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The same table with its first column, the species, moved to the end as in the other tables."""
    return [*header[1:], header[0]], [[*row[1:], row[0]] for row in rows]


def _plain(text: str) -> str:
    """scikit-learn keeps one target as 1.510000000000000000e+02; the same number, written plainly."""
    return f"{float(text):g}" if "e" in text else text
