"""What the columns that a model sees have to do with the target, and with each other, in a sample of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.task import Task
from declarative_ml.learning.association import (
    LEAST_ROWS,
    Measure,
    Readout,
    association,
    auc,
    of_levels,
    of_numbers,
    pearson,
    rank_correlations,
)
from declarative_ml.learning.iso_dates import date_parts, iso_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.learning.row_sample import RowSample

MOST_COLUMNS = 40
"""Columns held against each other: those that go with the target most. All are held against the target."""
MOST_NUMBERS = 400
"""Number columns among which pairs are looked for that say the same."""
SAME = 0.98
MOST_PAIRS = 20
DRAWN = 12
"""Columns along which the target is followed."""
GROUPS = 10
MOST_LEVELS = 6
RARE = 5
"""Levels with fewer sampled rows count as one: a level of one row goes with everything."""


class Stretch(Section):
    """Rows that lie side by side in a column, or have one level of it, and the target there."""

    low: float | None = Field(default=None, description="Numbers; dates: days since 1970-01-01")
    high: float | None = None
    level: str | None = None
    rows: int
    mean: float = Field(description="Of the target; two classes: share of the positive one")


class TargetRelation(Section):
    """How one column goes with the target. Measures: see learning.association."""

    column: str
    is_length: bool = Field(
        default=False, description="Of texts it is their length in characters that counts"
    )
    measure: Measure
    value: float | None = Field(description="None where it is not defined")
    auc: float | None = Field(
        default=None, description="Numbers, two classes: the ROC AUC of the column alone"
    )
    pearson: float | None = Field(default=None, description="Two numbers: the linear correlation")
    missing: float | None = Field(default=None, description="How being missing goes with the target")
    along: tuple[Stretch, ...] = ()


class Pair(Section):
    """Two columns that go together so closely that they say the same."""

    columns: tuple[str, str]
    value: float


class Relations(Section):
    """The object of relations.json."""

    rows: int = Field(description="Sampled")
    of: int = Field(description="All training rows")
    target: tuple[TargetRelation, ...] = Field(default=(), description="The strongest first")
    columns: tuple[str, ...] = Field(default=(), description="Of the matrix: the target first")
    values: tuple[tuple[float | None, ...], ...] = Field(
        default=(), description="Row i: the association of column i with each of the columns before it"
    )
    pairs: tuple[Pair, ...] = Field(default=(), description="Columns that say the same, the closest first")


def find_relations(sample: RowSample, features: Mapping[str, str], task: Task) -> Relations:
    """The relations of the columns in `features` (name -> feature type)."""
    table = sample.table()
    target = _read_target(table.column(task.target), task)
    columns = {name: _read(sample, table.column(name), name, kind) for name, kind in features.items()}
    lengths = {name for name, kind in features.items() if _is_prose(table.column(name).type, kind)}
    found = [_with_target(column, target, task, name in lengths) for name, column in columns.items()]
    ranked = sorted(found, key=lambda item: -abs(item.value or 0.0))
    drawn = {item.column for item in ranked[:DRAWN] if item.value is not None}
    relations = tuple(
        item.model_copy(update={"along": _along(columns[item.column], target.values)})
        if item.column in drawn and target.values is not None
        else item
        for item in ranked
    )
    by_strength = [columns[item.column] for item in ranked if item.value is not None]
    held = [target, *by_strength[:MOST_COLUMNS]]
    values = _matrix(held)
    return Relations(
        rows=len(table),
        of=sample.seen,
        target=relations,
        columns=tuple(column.name for column in held),
        values=values,
        pairs=_pairs(by_strength, held, values),
    )


def _is_prose(kind: pa.DataType, feature: str) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind)) and feature == "text"


def _read(sample: RowSample, column: pa.ChunkedArray, name: str, feature: str) -> Readout:
    """The column as what its feature type takes it for; of a text its length."""
    import pyarrow as pa

    if _is_prose(column.type, feature):
        return of_numbers(name, sample.lengths(name))
    values = column.combine_chunks()
    if feature == "date":
        parts, valid = date_parts(iso_texts(values))
        return of_numbers(name, np.where(valid, parts[:, 0], np.nan))
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if pa.types.is_boolean(column.type) or (is_number and feature != "category"):
        return of_numbers(name, _floats(values))
    if feature == "number":
        return of_numbers(name, _numbers_in(values))
    return of_levels(name, *_joined(*_codes(values)))


def _read_target(column: pa.ChunkedArray, task: Task) -> Readout:
    from declarative_ml.core.columns import raw_column

    values = column.combine_chunks()
    if not task.is_classification:
        return of_numbers(task.target, _floats(values))
    codes, levels = _codes(values)
    names = raw_column(levels, "string").to_pylist()
    place = np.array([task.classes.index(name) for name in names] or [0], dtype=np.int64)
    codes = place[codes]
    if task.type == "binary":
        return of_numbers(task.target, codes.astype(np.float64), codes)
    return of_levels(task.target, codes, task.classes)


def _floats(values: pa.Array) -> np.ndarray:
    import pyarrow as pa

    numbers = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
    found: np.ndarray = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _numbers_in(texts: pa.Array) -> np.ndarray:
    """Texts that the spec calls numbers; what is none is told where the rows are encoded."""
    from declarative_ml.core.columns import apply_rule
    from declarative_ml.core.schema import ColumnRule

    return _floats(apply_rule(texts, ColumnRule(type="number"), strict=False))


def _codes(values: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Level numbers [N], -1 for null and "", and the levels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
    encoded = values.dictionary_encode()
    codes: np.ndarray = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary


def _joined(codes: np.ndarray, levels: pa.Array) -> tuple[np.ndarray, list[str]]:
    """The levels as texts, rare ones as one level, the last."""
    from declarative_ml.core.columns import raw_column

    labels = raw_column(levels, "string").to_pylist()
    kept = np.bincount(codes[codes >= 0], minlength=len(labels)) >= RARE
    if kept.all():
        return codes, labels
    place = np.where(kept, np.cumsum(kept) - 1, np.count_nonzero(kept))
    named = [label for label, is_kept in zip(labels, kept.tolist(), strict=True) if is_kept]
    return np.where(codes >= 0, place[codes], -1), [*named, f"{len(labels) - len(named):,} rare ones"]


def _with_target(column: Readout, target: Readout, task: Task, is_length: bool) -> TargetRelation:
    measure, value = association(column, target)
    linear = alone = None
    if column.values is not None and task.type == "number" and target.values is not None:
        linear = pearson(column.values, target.values)
    elif column.ranks is not None and task.type == "binary" and target.codes is not None:
        alone = auc(column, target.codes == 1)
    return TargetRelation(
        column=column.name,
        is_length=is_length,
        measure=measure,
        value=rounded(value),
        auc=rounded(alone),
        pearson=rounded(linear),
        missing=_missing_with_target(column, target),
    )


def _missing_with_target(column: Readout, target: Readout) -> float | None:
    absent = column.is_missing
    rows = int(np.count_nonzero(absent))
    if min(rows, len(absent) - rows) < LEAST_ROWS:
        return None
    return rounded(association(of_numbers("", absent.astype(np.float64), absent.astype(np.int64)), target)[1])


def rounded(value: float | None) -> float | None:
    """To four decimals: what is beyond them may differ between machines."""
    return None if value is None else round(value, 4) + 0.0


def _matrix(columns: Sequence[Readout]) -> tuple[tuple[float | None, ...], ...]:
    """The lower triangle, without the diagonal."""
    numbers = [place for place, column in enumerate(columns) if column.ranks is not None]
    found: dict[tuple[int, int], float | None] = {}
    if numbers:
        ranked = [columns[place] for place in numbers]
        for row, values in zip(numbers, rank_correlations(ranked, ranked).tolist(), strict=True):
            found |= {
                (row, place): None if value != value else value
                for place, value in zip(numbers, values, strict=True)
            }
    return tuple(
        tuple(
            rounded(
                found[row, place] if (row, place) in found else association(columns[row], columns[place])[1]
            )
            for place in range(row)
        )
        for row in range(len(columns))
    )


def _pairs(
    columns: Sequence[Readout], held: Sequence[Readout], values: tuple[tuple[float | None, ...], ...]
) -> tuple[Pair, ...]:
    """The pairs of columns that say the same, of all numbers and of what is in the matrix."""
    found: dict[tuple[str, str], float] = {}
    numbers = [column for column in columns if column.ranks is not None][:MOST_NUMBERS]
    if numbers:
        matrix = np.abs(np.nan_to_num(np.tril(rank_correlations(numbers, numbers), -1)))
        for row, place in np.argwhere(matrix >= SAME).tolist():
            found[numbers[place].name, numbers[row].name] = float(matrix[row, place])
    for row, column in enumerate(held):
        for place, value in enumerate(values[row]):
            if place and value is not None and abs(value) >= SAME:
                found[held[place].name, column.name] = abs(value)
    closest = sorted(found.items(), key=lambda item: (-round(item[1], 4), item[0]))[:MOST_PAIRS]
    return tuple(Pair(columns=names, value=round(value, 4)) for names, value in closest)


def _along(column: Readout, outcome: np.ndarray) -> tuple[Stretch, ...]:
    """The mean outcome in groups of about equally many rows from low to high, or in the commonest levels."""
    if column.values is not None:
        group, stretches = _groups(column.values)
    else:
        assert column.codes is not None
        group, stretches = column.codes, [{"level": label} for label in column.labels]
    kept = group >= 0
    rows = np.bincount(group[kept], minlength=len(stretches))
    sums = np.bincount(group[kept], weights=outcome[kept], minlength=len(stretches))
    shown = list(range(len(stretches)))
    if column.values is None:
        shown = sorted(shown, key=lambda place: (-rows[place], column.labels[place]))[:MOST_LEVELS]
    return tuple(
        Stretch(**stretches[place], rows=int(rows[place]), mean=float(f"{sums[place] / rows[place]:.6g}"))
        for place in shown
    )


def _groups(values: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The group of each value [N], -1 where missing, and the least and greatest value of each group."""
    known = np.isfinite(values)
    distinct, place = np.unique(values[known], return_inverse=True)
    if len(distinct) > GROUPS:
        shares = np.linspace(0, 1, GROUPS + 1)[1:-1]
        cuts = np.unique(np.quantile(values[known], shares, method="closest_observation"))
        place = np.searchsorted(cuts, values[known], side="left")
        place = np.unique(place, return_inverse=True)[1]
    group = np.full(len(values), -1, dtype=np.int64)
    group[known] = place
    count = int(place.max()) + 1 if len(place) else 0
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, place, values[known])
    np.maximum.at(high, place, values[known])
    return group, [{"low": float(a), "high": float(b)} for a, b in zip(low, high, strict=True)]
