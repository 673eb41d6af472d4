"""Who learns, who stops the learning, who judges: each row's part, decided by what is in the rows.

Rows are ordered by a 64-bit hash of their content (or key) and the seed, never by arrival. Equal rows
lie side by side in that order and parts are stretches of it, so that copies of a row rarely face each
other across a split. Two stages: the test rows first, then validation among the rows that are left: a
holdout (part 1, fold 0) or folds over all of them (part 0, fold 0 .. k-1).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from declarative_ml.core.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2

AUTO_FOLDS_BELOW = 10_000
"""With fewer rows to learn from than this, validation is by folds unless the spec says otherwise."""
AUTO_FOLDS = 5
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
    hashes: np.ndarray,
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
    learn from, else 10 % of those rows are held out (by time: always 10 % of all rows). `validation=0`
    means no validation at all.

    At random by default; at most one of the following chooses another way:
    `groups` (any values [N]) keeps equal values together; `times` (numbers or datetime64 [N]) takes the
    newest rows for test and those before them for validation, and never cuts through one moment;
    `stable` compares the hash itself with the shares, so that a row keeps its part when rows are added;
    `given` (uint8 [N]: 0, 1 or 2) is the parts, to which validation is added when no row has a 1.

    `stratify` (labels [N]) keeps the shares of each label, exactly up to one row; it acts at random and
    with `given`. Raises DataError where a part or fold would be empty.
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
    hashes = np.asarray(hashes, dtype=np.uint64)
    everyone = np.arange(rows)
    if given is not None:
        part = np.asarray(given, dtype=np.uint8).copy()
        share = validation
    else:
        part = np.zeros(rows, dtype=np.uint8)
        part[_divider(hashes, stratify, groups, stable).take(everyone, test)] = TEST
        share = None if validation is None else validation / (1.0 - test)
    _need_rows(part, test if given is None else 0.0)
    # Other bits of the hash decide here: all that is left lies above the test share.
    divider = _divider(_mix(hashes) if stable else hashes, stratify, groups, stable)
    return _with_validation(part, divider, share, folds)


def order_by_hash(hashes: np.ndarray) -> np.ndarray:
    """The permutation [N] that sorts rows by hash; equal hashes keep their order of occurrence."""
    return np.argsort(hashes, kind="stable")


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


def target_bins(values: np.ndarray, bins: int = 10) -> np.ndarray:
    """Bins int64 [N] of about equally many rows, to stratify a number by; equal values share a bin.

    There are fewer bins where there are fewer than 20 rows for each.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - 0.5 * counts
    number = max(1, min(bins, len(values) // 20))
    binned: np.ndarray = (middle * number / max(1, len(values))).astype(np.int64)[place]
    return binned


def check_classes(assignment: Assignment, target: np.ndarray, classes: tuple[str, ...]) -> None:
    """Raise DataError when the fit of some fold, or that on all learning rows, would see one class only."""
    learning = assignment.part != TEST
    fits = [learning, *(assignment.fit_rows(fold) for fold in range(assignment.fits))]
    if all(len(np.unique(target[rows])) > 1 for rows in fits):
        return
    counts = np.bincount(target[learning], minlength=len(classes))
    rare = np.argsort(counts, kind="stable")[:-1]  # all but the most frequent
    named = ", ".join(f"{classes[number]!r} {counts[number]}" for number in rare[:5])
    raise DataError(
        f"beside {classes[int(counts.argmax())]!r} there are too few rows to learn from: {named}",
        hint="add rows of these classes, or use data.split {method: random, stratify: true} with fewer folds",
    )


def _need_rows(part: np.ndarray, test: float) -> None:
    if not (part != TEST).any():
        raise DataError(f"all {len(part)} row(s) are test rows", hint="lower data.split.test or add rows")
    if test > 0 and not (part == TEST).any():
        raise DataError(
            f"{len(part)} row(s) are too few for a test share of {test:g}",
            hint="add rows, raise data.split.test, or set it to 0",
        )


def _with_validation(
    part: np.ndarray, divider: _Divider, validation: float | None, folds: int | None
) -> Assignment:
    fold = np.full(len(part), -1, dtype=np.int8)
    learning = np.flatnonzero(part != TEST)
    if (part == VALIDATION).any():
        if (part == TRAIN).sum() == 0:
            raise DataError("no row is a training row", hint="look at data.split")
        fold[part == VALIDATION] = 0
        return Assignment(part, fold)
    if folds is None and validation is None:
        if len(learning) < AUTO_FOLDS_BELOW:
            folds = AUTO_FOLDS
        else:
            validation = AUTO_VALIDATION
    if folds is not None:
        fold[learning] = divider.deal(learning, folds)
        _need_folds(fold, folds, len(learning))
    elif validation:
        held = divider.take(learning, validation)
        if not 0 < len(held) < len(learning):
            raise DataError(
                f"{len(learning)} row(s) are too few for a validation share of {validation:g}",
                hint="add rows, set data.split.folds, or set data.split.validation to 0",
            )
        part[held], fold[held] = VALIDATION, 0
    return Assignment(part, fold)


def _need_folds(fold: np.ndarray, folds: int, rows: int) -> None:
    if len(np.unique(fold[fold >= 0])) < folds:
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


def _mix(values: np.ndarray) -> np.ndarray:
    """Another 64 random bits of each value (the finaliser of SplitMix64; Steele et al., OOPSLA 2014)."""
    mixed: np.ndarray = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


class _Divider(Protocol):
    """A way to divide some rows, given by their positions."""

    def take(self, rows: np.ndarray, share: float) -> np.ndarray:
        """About `share` of the rows."""

    def deal(self, rows: np.ndarray, folds: int) -> np.ndarray:
        """The fold of each of the rows."""


def _divider(
    hashes: np.ndarray, stratify: np.ndarray | None, groups: np.ndarray | None, stable: bool
) -> _Divider:
    if stable:
        return _ByHash(hashes)
    if groups is not None:
        return _ByGroup(hashes, np.unique(groups, return_inverse=True)[1])
    if stratify is None:
        return _AtRandom(hashes, np.zeros(len(hashes), dtype=np.int64))
    return _AtRandom(hashes, np.unique(stratify, return_inverse=True)[1])


@dataclass(frozen=True)
class _AtRandom:
    """Stretches of the hash order, stratum by stratum."""

    hashes: np.ndarray
    strata: np.ndarray

    def take(self, rows: np.ndarray, share: float) -> np.ndarray:
        stretches = self._stretches(rows)
        counts = _exact_counts(np.array([len(stretch) for stretch in stretches]), share)
        return np.concatenate([stretch[:count] for stretch, count in zip(stretches, counts)])

    def deal(self, rows: np.ndarray, folds: int) -> np.ndarray:
        fold = np.full(len(self.hashes), -1, dtype=np.int8)
        turn = 0
        for stretch in self._stretches(rows):
            # The odd rows of each stratum go to the next folds in turn, so that folds stay even.
            extra = len(stretch) % folds
            sizes = np.full(folds, len(stretch) // folds)
            sizes[(turn + np.arange(extra)) % folds] += 1
            turn = (turn + extra) % folds
            fold[stretch] = np.repeat(np.arange(folds), sizes)
        dealt: np.ndarray = fold[rows]
        return dealt

    def _stretches(self, rows: np.ndarray) -> list[np.ndarray]:
        strata = self.strata[rows]
        order = np.lexsort((self.hashes[rows], strata))
        return np.split(rows[order], np.flatnonzero(np.diff(strata[order])) + 1)


def _exact_counts(sizes: np.ndarray, share: float) -> np.ndarray:
    """How many rows to take of each stratum: the largest remainders get the odd rows.

    The last row of a stratum is never taken. Where strata are large as classes are (20 rows in the mean),
    one of three rows or more gives at least one, so that every class can be judged.
    """
    exact = sizes * share
    counts = np.floor(exact).astype(np.int64)
    odd = round(float(sizes.sum()) * share) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[: max(0, odd)]] += 1
    if share > 0 and sizes.mean() >= 20:
        counts = np.where(sizes >= 3, np.maximum(counts, 1), counts)
    result: np.ndarray = np.minimum(counts, np.maximum(sizes - 1, 0))
    return result


@dataclass(frozen=True)
class _ByGroup:
    """Whole groups, in an order that comes from the hashes of their rows."""

    hashes: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray, share: float) -> np.ndarray:
        place, sizes, order = self._ordered(rows)
        ends = np.cumsum(sizes[order])
        count = int(np.abs(np.concatenate([[0], ends]) - share * len(rows)).argmin())
        if share > 0 and len(order) > 1:
            count = min(max(count, 1), len(order) - 1)
        chosen = np.zeros(len(sizes), dtype=bool)
        chosen[order[:count]] = True
        taken: np.ndarray = rows[chosen[place]]
        return taken

    def deal(self, rows: np.ndarray, folds: int) -> np.ndarray:
        place, sizes, order = self._ordered(rows)
        order = order[np.argsort(-sizes[order], kind="stable")]
        # Longest first, each to the emptiest fold (Graham's rule) keeps folds even.
        load = [(0, number) for number in range(folds)]
        fold = np.empty(len(sizes), dtype=np.int8)
        for group in order.tolist():
            filled, number = load[0]
            fold[group] = number
            heapq.heapreplace(load, (filled + int(sizes[group]), number))
        dealt: np.ndarray = fold[place]
        return dealt

    def _ordered(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each row's group, the groups' sizes, and the order of the groups."""
        _, place, sizes = np.unique(self.groups[rows], return_inverse=True, return_counts=True)
        by_group = np.argsort(place, kind="stable")
        starts = np.cumsum(sizes) - sizes
        # A sum that wraps around does not depend on the order of rows, nor lean to large groups.
        totals = np.add.reduceat(self.hashes[rows][by_group], starts)
        return place, sizes, np.argsort(_mix(totals), kind="stable")


@dataclass(frozen=True)
class _ByHash:
    """The hash of each row alone decides: parts are as large as chance makes them."""

    hashes: np.ndarray

    def take(self, rows: np.ndarray, share: float) -> np.ndarray:
        taken: np.ndarray = rows[self._uniform(rows) < share]
        return taken

    def deal(self, rows: np.ndarray, folds: int) -> np.ndarray:
        dealt: np.ndarray = (self._uniform(rows) * folds).astype(np.int8)
        return dealt

    def _uniform(self, rows: np.ndarray) -> np.ndarray:
        places: np.ndarray = (self.hashes[rows] >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return places
