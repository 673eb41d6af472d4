"""Who learns, who stops the learning, who judges: each row's part, decided by what is in the rows.

Rows are ordered by a 64-bit hash of their content (or key) and the seed, never by arrival. Equal rows
lie side by side in that order and parts are stretches of it, so that copies of a row rarely face each
other across a split. Two stages: the test rows first, then validation among the rows that are left: a
holdout (part 1, fold 0) or folds over all of them (part 0, fold 0 .. k-1).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.dividers import BLOCK_ROWS, ByHash, Divider, divider_of

TRAIN, VALIDATION, TEST = 0, 1, 2

AUTO_FOLDS = ((10_000, 5), (50_000, 3))
"""With fewer rows to learn from than the first number, validation is by so many folds unless the spec says
otherwise. Each is as many as pays: more folds are more rows to learn from in each, and time."""
AUTO_VALIDATION = 0.1


@dataclass(frozen=True)
class Assignment:
    """Each row's `part` (uint8 [N]: 0 train, 1 validation, 2 test) and `fold` (int8 [N]: the fit that it
    validates, or -1)."""

    part: np.ndarray
    fold: np.ndarray

    @property
    def fits(self) -> int:
        """How many fits there are: the folds, 1 for a holdout, 0 without validation rows."""
        return int(self.fold.max(initial=-1)) + 1

    def fit_rows(self, fold: int) -> np.ndarray:
        """Mask [N] of the rows that the fit `fold` learns from."""
        mask: np.ndarray = (self.part != TEST) & (self.fold != fold)
        return mask

    def validation_rows(self, fold: int) -> np.ndarray:
        """Mask [N] of the rows that validate the fit `fold`."""
        mask: np.ndarray = self.fold == fold
        return mask


def assign(
    hashes: np.ndarray | DiskRows,
    *,
    test: float,
    validation: float | None = None,
    folds: int | None = None,
    stratify: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
    given: np.ndarray | None = None,
    stable: bool = False,
) -> Assignment:
    """Divide rows with `hashes` (uint64 [N]) into parts and folds.

    `test` and `validation` are shares of all rows; with `given`, `validation` is a share of its training
    rows. `folds` wins over `validation`; with neither, there are 5 folds for fewer than 10,000 rows to
    learn from, 3 for fewer than 50,000 (fewer where there are fewer groups), else 10 % of those
    rows are held out (by time: always 10 % of all rows). `validation=0` means no validation at all.

    At random by default; at most one of the following chooses another way:
    `groups` (any values [N]) keeps equal values together; `times` (numbers or datetime64 [N]) takes the
    newest rows for test and those before them for validation, and never cuts through one moment;
    `stable` compares the hash itself with the shares, so that a row keeps its part when rows are added;
    `given` (uint8 [N]: 0, 1 or 2) is the parts, to which validation is added when no row has a 1.

    `stratify` (labels [N]) keeps the shares of each label, exactly up to one row; it acts at random and
    with `given`. Raises DataError where a part or fold would be empty.

    At random, by `stable` and with `given`, memory holds a few bytes a row where the hashes ascend.
    """
    rows = len(hashes)
    if rows == 0:
        raise DataError("there are no rows to divide", hint="look at the source, `missing` and `sql`")
    if test + (validation or 0.0) >= 1.0:
        raise DataError(
            f"test {test:g} and validation {validation or 0.0:g} leave no rows to learn from",
            hint="lower data.split.test or data.split.validation",
        )
    if times is not None:
        return _by_time(np.asarray(times), test, AUTO_VALIDATION if validation is None else validation)
    if not isinstance(hashes, DiskRows):
        hashes = np.asarray(hashes, dtype=np.uint64)
    divider = divider_of(hashes, stratify, groups, stable)
    if given is not None:
        part = np.asarray(given, dtype=np.uint8).copy()
        share = validation
    else:
        part = np.zeros(rows, dtype=np.uint8)
        part[divider.take(np.ones(rows, dtype=bool), test)] = TEST
        share = None if validation is None else validation / (1.0 - test)
    _need_rows(part, test if given is None else 0.0)
    if stable:  # other bits of the hash decide here: all that is left lies above the test share
        divider = ByHash(hashes, mixed=True)
    return _with_validation(part, divider, share, folds)


def parts_from_column(values: np.ndarray, *, train: str, validation: str, test: str) -> np.ndarray:
    """The `given` parts from a column of text [N]. Raises DataError for any other value."""
    parts = np.full(len(values), 255, dtype=np.uint8)
    for part, name in ((TRAIN, train), (VALIDATION, validation), (TEST, test)):
        parts[values == name] = part
    if (unknown := np.flatnonzero(parts == 255)).size:
        raise DataError(
            f"{unknown.size} row(s) of the split column hold none of {train!r}, {validation!r}, {test!r}; "
            f"the first is row {unknown[0]}: {str(values[unknown[0]])!r}",
            hint="name the column's values in data.split: {train: …, validation: …, test: …}",
        )
    return parts


def target_bins(values: np.ndarray | DiskRows, bins: int = 10) -> np.ndarray:
    """Bins uint8 [N] of about equally many rows, to stratify a number by; equal values share a bin.

    There are fewer bins where there are fewer than 20 rows for each.
    """
    rows = len(values)
    number = max(1, min(bins, rows // 20))
    edges = _bin_edges(np.sort(np.asarray(values)), number)
    binned = np.empty(rows, dtype=np.uint8)
    for start in range(0, rows, BLOCK_ROWS):
        stretch = slice(start, start + BLOCK_ROWS)
        binned[stretch] = np.searchsorted(edges, values[stretch], side="right")
    return binned


def _bin_edges(ascending: np.ndarray, number: int) -> np.ndarray:
    """The least value of each bin but the first: a value belongs where the middle of its equals lies."""
    rows = len(ascending)

    def bin_at(place: int) -> int:
        low, high = (int(np.searchsorted(ascending, ascending[place], side)) for side in ("left", "right"))
        return int((high - 0.5 * (high - low)) * number / rows)

    edges = []
    for wanted in range(1, number):
        place = bisect_left(range(rows), wanted, key=bin_at)
        if place < rows:
            edges.append(ascending[place])
    return np.array(edges)


def check_classes(assignment: Assignment, target: np.ndarray | DiskRows, classes: tuple[str, ...]) -> None:
    """Raise DataError when the fit of some fold, or that on all learning rows, would see one class only."""
    learning = assignment.part != TEST
    counts = _class_counts(target, learning, len(classes))
    fits = [counts]
    fits += [
        _class_counts(target, assignment.fit_rows(fold), len(classes)) for fold in range(assignment.fits)
    ]
    if all((found > 0).sum() > 1 for found in fits):
        return
    rare = np.argsort(counts, kind="stable")[:-1]  # all but the most frequent
    named = ", ".join(f"{classes[number]!r} {counts[number]}" for number in rare[:5])
    raise DataError(
        f"beside {classes[int(counts.argmax())]!r} there are too few rows to learn from: {named}",
        hint="add rows of these classes, or use data.split {method: random, stratify: true} with fewer folds",
    )


def _class_counts(target: np.ndarray | DiskRows, chosen: np.ndarray, classes: int) -> np.ndarray:
    """How many of the rows of the mask `chosen` [N] have each class."""
    counts = np.zeros(classes, dtype=np.int64)
    for start in range(0, len(chosen), BLOCK_ROWS):
        stretch = slice(start, start + BLOCK_ROWS)
        counts += np.bincount(target[stretch][chosen[stretch]], minlength=classes)
    return counts


def _need_rows(part: np.ndarray, test: float) -> None:
    if not (part != TEST).any():
        raise DataError(f"all {len(part)} row(s) are test rows", hint="lower data.split.test or add rows")
    if test > 0 and not (part == TEST).any():
        raise DataError(
            f"{len(part)} row(s) are too few for a test share of {test:g}",
            hint="add rows, raise data.split.test, or set it to 0",
        )


def _with_validation(
    part: np.ndarray, divider: Divider, validation: float | None, folds: int | None
) -> Assignment:
    fold = np.full(len(part), -1, dtype=np.int8)
    if (part == VALIDATION).any():
        if not (part == TRAIN).any():
            raise DataError("no row is a training row", hint="look at data.split")
        fold[part == VALIDATION] = 0
        return Assignment(part, fold)
    learning = part != TEST
    rows = int(learning.sum())
    if folds is None and validation is None:
        folds, validation = _automatic_folds(divider, learning, rows), AUTO_VALIDATION
    if folds is not None:
        fold = divider.deal(learning, folds)
        _need_folds(fold, folds, rows)
    elif validation:
        held = divider.take(learning, validation)
        if not 0 < int(held.sum()) < rows:
            raise DataError(
                f"{rows} row(s) are too few for a validation share of {validation:g}",
                hint="add rows, set data.split.folds, or set data.split.validation to 0",
            )
        part[held], fold[held] = VALIDATION, 0
    return Assignment(part, fold)


def _automatic_folds(divider: Divider, learning: np.ndarray, rows: int) -> int | None:
    """As many folds as pay for so many rows, fewer where there are fewer groups; None: a holdout."""
    wanted = next((folds for below, folds in AUTO_FOLDS if rows < below), None)
    if wanted is None or rows < wanted:
        return wanted
    fewer = range(wanted, 1, -1)
    return next((folds for folds in fewer if _are_full(divider.deal(learning, folds), folds)), wanted)


def _are_full(fold: np.ndarray, folds: int) -> bool:
    return all((fold == number).any() for number in range(folds))


def _need_folds(fold: np.ndarray, folds: int, rows: int) -> None:
    if not _are_full(fold, folds):
        raise DataError(
            f"{rows} row(s) to learn from do not fill {folds} folds",
            hint="add rows or groups, lower data.split.folds, or set data.split.validation to 0",
        )


def _by_time(times: np.ndarray, test: float, validation: float) -> Assignment:
    missing = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times.astype(np.float64))
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} row(s) have no time to split by, the first is row {int(missing.argmax())}",
            hint="drop these rows with `sql`, or choose another split",
        )
    moments, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # rows older than each moment
    cut_test = _nearest(before, len(times) * (1.0 - test))
    cut_validation = _nearest(before, len(times) * (1.0 - test - validation))
    part = np.where(place >= cut_test, TEST, np.where(place >= cut_validation, VALIDATION, TRAIN))
    for number, share in ((TRAIN, 1.0), (VALIDATION, validation), (TEST, test)):
        if share > 0 and not (part == number).any():
            raise DataError(
                f"{len(moments)} different time(s) in {len(times)} row(s) cannot be cut into "
                f"validation {validation:g} and test {test:g}",
                hint="use a finer time column, other shares, or another split",
            )
    return Assignment(part.astype(np.uint8), np.where(part == VALIDATION, 0, -1).astype(np.int8))


def _nearest(before: np.ndarray, rows: float) -> int:
    return int(np.abs(before - rows).argmin())
