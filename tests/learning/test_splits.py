from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.learning.dividers import order_by_hash
from declarative_ml.learning.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Assignment,
    assign,
    check_classes,
    parts_from_column,
    target_bins,
)


def hashes_of(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, rows, dtype=np.uint64)


def counts(assignment: Assignment) -> list[int]:
    return np.bincount(assignment.part, minlength=3).tolist()


@pytest.mark.parametrize(
    ("rows", "options", "parts", "fits"),
    [
        (1000, {"test": 0.2}, [800, 0, 200], 5),
        (12_499, {"test": 0.2}, [9_999, 0, 2_500], 5),
        (12_500, {"test": 0.2}, [10_000, 0, 2_500], 3),
        (62_499, {"test": 0.2}, [49_999, 0, 12_500], 3),
        (62_500, {"test": 0.2}, [45_000, 5_000, 12_500], 1),
        (1000, {"test": 0.2, "validation": 0.1}, [700, 100, 200], 1),
        (1000, {"test": 0.2, "validation": 0.0}, [800, 0, 200], 0),
        (1000, {"test": 0.0, "folds": 3}, [1000, 0, 0], 3),
        (20_000, {"test": 0.1, "folds": 4, "validation": 0.5}, [18_000, 0, 2_000], 4),
        (7, {"test": 0.2}, [6, 0, 1], 5),
    ],
)
def test_sizes(rows: int, options: dict[str, Any], parts: list[int], fits: int) -> None:
    found = assign(hashes_of(rows), **options)
    assert counts(found) == parts
    assert found.fits == fits
    assert found.part.dtype == np.uint8 and found.fold.dtype == np.int8
    assert (found.fold[found.part == TEST] == -1).all()
    if fits > 1:
        sizes = np.bincount(found.fold[found.part == TRAIN])
        assert sizes.max() - sizes.min() <= 1
    for fold in range(fits):
        learning, judging = found.fit_rows(fold), found.validation_rows(fold)
        assert not (learning & judging).any()
        assert ((learning | judging) == (found.part != TEST)).all()


def test_strata_are_exact_to_one_row() -> None:
    random = np.random.default_rng(3)
    labels = random.choice(["rare", "some", "most"], 997, p=[0.02, 0.28, 0.7])
    found = assign(hashes_of(997), test=0.2, folds=5, stratify=labels)
    assert counts(found)[TEST] == 199
    for label in np.unique(labels):
        mask = labels == label
        assert abs((found.part[mask] == TEST).sum() - 0.2 * mask.sum()) < 1
        folds = np.bincount(found.fold[mask & (found.part == TRAIN)], minlength=5)
        assert folds.max() - folds.min() <= 1
    sizes = np.bincount(found.fold[found.part == TRAIN])
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("rare", "in_test"), [(1, 0), (2, 0), (3, 1), (4, 1), (10, 2)])
def test_a_rare_class_learns_first_and_is_judged_from_three_rows_on(rare: int, in_test: int) -> None:
    labels = np.array([1] * rare + [0] * 500)
    found = assign(hashes_of(len(labels)), test=0.2, stratify=labels)
    assert (found.part[:rare] == TEST).sum() == in_test
    assert (found.part[:rare] == TRAIN).sum() == rare - in_test


@pytest.mark.parametrize(
    "options",
    [
        {"test": 0.2},
        {"test": 0.2, "validation": 0.1},
        {"test": 0.25, "folds": 4},
        {"test": 0.2, "stable": True},
        {"test": 0.2, "stratify": True},
        {"test": 0.2, "groups": True},
        {"test": 0.2, "times": True},
    ],
)
def test_order_of_arrival_does_not_matter(options: dict[str, Any]) -> None:
    rows = 600
    hashes = hashes_of(rows)
    columns = {
        "stratify": np.arange(rows) % 3,
        "groups": np.array([f"g{row % 41}" for row in range(rows)]),
        "times": np.arange(rows) // 7,
    }
    options = {name: columns.get(name, value) for name, value in options.items()}
    shuffle = np.random.default_rng(9).permutation(rows)
    shuffled = {
        name: value[shuffle] if isinstance(value, np.ndarray) else value for name, value in options.items()
    }
    first, second = assign(hashes, **options), assign(hashes[shuffle], **shuffled)
    np.testing.assert_array_equal(first.part[shuffle], second.part)
    np.testing.assert_array_equal(first.fold[shuffle], second.fold)


def test_equal_rows_stay_together_but_for_the_boundaries() -> None:
    hashes = np.repeat(hashes_of(300), 4)
    found = assign(hashes, test=0.2, folds=5)
    parts, folds = found.part.reshape(300, 4), found.fold.reshape(300, 4)
    torn = (parts != parts[:, :1]).any(axis=1) | (folds != folds[:, :1]).any(axis=1)
    assert torn.sum() <= 5


def test_another_seed_gives_another_split() -> None:
    first, second = assign(hashes_of(500, 1), test=0.2), assign(hashes_of(500, 2), test=0.2)
    assert (first.part != second.part).any()


def test_stable_rows_keep_their_part_when_the_data_grows() -> None:
    hashes = hashes_of(9_000)
    small = assign(hashes[:4_000], test=0.2, folds=5, stable=True)
    large = assign(hashes, test=0.2, folds=5, stable=True)
    np.testing.assert_array_equal(small.part, large.part[:4_000])
    np.testing.assert_array_equal(small.fold, large.fold[:4_000])
    assert counts(large)[TEST] == pytest.approx(1_800, abs=150)
    assert np.bincount(large.fold[large.part == TRAIN]).tolist() == pytest.approx([1_440] * 5, abs=150)
    held = assign(hashes, test=0.2, validation=0.2, stable=True)
    assert counts(held) == pytest.approx([5_400, 1_800, 1_800], abs=150)


def test_groups_stay_together_and_sizes_are_close() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 200, 3_000)
    for options in ({"folds": 5}, {"validation": 0.1}):
        found = assign(hashes_of(3_000), test=0.2, groups=groups, **options)  # type: ignore[arg-type]
        for group in range(200):
            mask = groups == group
            assert len(np.unique(found.part[mask])) == 1 and len(np.unique(found.fold[mask])) == 1
        assert counts(found)[TEST] == pytest.approx(600, abs=20)
        sizes = np.bincount(found.fold[found.fold >= 0])
        assert sizes.max() - sizes.min() <= 3


def test_large_groups_have_no_fixed_part() -> None:
    groups = np.array([0] * 10 + list(range(1, 91)))
    parts = {int(assign(hashes_of(100, seed), test=0.2, groups=groups).part[0]) for seed in range(40)}
    assert parts == {TRAIN, TEST}


def test_time_takes_the_newest_rows_and_never_cuts_through_a_moment() -> None:
    times = np.random.default_rng(0).integers(0, 50, 1_000)
    found = assign(hashes_of(1_000), test=0.2, validation=0.1, times=times)
    newest = [times[found.part == part] for part in (TRAIN, VALIDATION, TEST)]
    assert newest[0].max() < newest[1].min() and newest[1].max() < newest[2].min()
    assert counts(found) == pytest.approx([700, 100, 200], abs=20)
    dates = np.datetime64("2024-01-01") + times.astype("timedelta64[D]")
    np.testing.assert_array_equal(assign(hashes_of(1_000), test=0.2, times=dates).part, found.part)
    assert counts(assign(hashes_of(1_000), test=0.0, validation=0.0, times=times)) == [1_000, 0, 0]


def test_given_parts_are_kept_and_validation_is_added() -> None:
    given = np.array([TEST] * 100 + [TRAIN] * 900, dtype=np.uint8)
    found = assign(hashes_of(1_000), test=0.2, given=given)
    np.testing.assert_array_equal(found.part, given)
    assert found.fits == 5
    held = assign(hashes_of(1_000), test=0.2, validation=0.2, given=given)
    assert counts(held) == [720, 180, 100]
    given[500:600] = VALIDATION
    kept = assign(hashes_of(1_000), test=0.2, folds=3, given=given)
    np.testing.assert_array_equal(kept.part, given)
    assert kept.fits == 1 and kept.validation_rows(0).sum() == 100


def test_parts_from_a_column() -> None:
    values = np.array(["tr", "te", "va", "tr"], dtype=object)
    assert parts_from_column(values, train="tr", validation="va", test="te").tolist() == [0, 2, 1, 0]
    with pytest.raises(DataError, match=re.escape("2 row(s) of the split column hold none of 'train'")):
        parts_from_column(np.array(["train", "x", None]), train="train", validation="v", test="t")


def test_there_are_fewer_folds_where_there_are_fewer_groups() -> None:
    groups = {number: np.arange(1_000) % number for number in (2, 4, 7)}
    assert [assign(hashes_of(1_000), test=0.0, groups=each).fits for each in groups.values()] == [2, 4, 5]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (0, {"test": 0.2}, "there are no rows to divide"),
        (1, {"test": 0.2}, "1 row(s) are too few for a test share of 0.2"),
        (4, {"test": 0.0}, "4 row(s) to learn from do not fill 5 folds"),
        (20_000, {"test": 0.2, "groups": np.arange(20_000) % 2}, "10000 row(s) to learn from do not fill 3"),
        (4, {"test": 0.0, "folds": 10}, "4 row(s) to learn from do not fill 10 folds"),
        (3, {"test": 0.0, "validation": 0.1}, "3 row(s) are too few for a validation share of 0.1"),
        (10, {"test": 0.6, "validation": 0.5}, "leave no rows to learn from"),
        (9, {"test": 0.2, "groups": np.array([1, 2, 3] * 3), "folds": 5}, "do not fill 5 folds"),
        (9, {"test": 0.2, "groups": np.zeros(9)}, "too few for a test share of 0.2"),
        (9, {"test": 0.2, "times": np.zeros(9)}, "1 different time(s) in 9 row(s) cannot be cut"),
        (2, {"test": 0.2, "times": np.array([1.0, np.nan])}, "1 row(s) have no time to split by"),
        (2, {"test": 0.2, "times": np.array(["2024-01-01", "NaT"], "M8[D]")}, "the first is row 1"),
        (2, {"test": 0.2, "given": np.array([2, 2])}, "all 2 row(s) are test rows"),
        (2, {"test": 0.2, "given": np.array([1, 2])}, "no row is a training row"),
    ],
)
def test_too_little_data_is_named_with_a_way_out(rows: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        assign(hashes_of(rows), **options)
    assert caught.value.hint or "training row" in message


def test_order_by_hash_is_stable() -> None:
    assert order_by_hash(np.array([5, 1, 5, 0], dtype=np.uint64)).tolist() == [3, 1, 0, 2]


def test_target_bins() -> None:
    values = np.random.default_rng(0).lognormal(size=1_000)
    assert np.bincount(target_bins(values)).tolist() == [100] * 10
    assert target_bins(values[:30]).tolist() == [0] * 30
    assert len(np.unique(target_bins(values[:50]))) == 2
    tied = target_bins(np.repeat([1.0, 2.0], 100))
    assert len(np.unique(tied)) == 2 and len(np.unique(tied[:100])) == 1
    assert target_bins(np.zeros(0)).tolist() == []


def test_check_classes() -> None:
    target = np.array([1] + [0] * 99)
    found = assign(hashes_of(100), test=0.2, stratify=target)
    with pytest.raises(DataError, match="beside 'no' there are too few rows to learn from: 'yes' 1"):
        check_classes(found, target, ("no", "yes"))
    given = np.array([TEST] + [TRAIN] * 99)
    held = assign(hashes_of(100), test=0.0, validation=0.1, given=given)
    with pytest.raises(DataError, match="'yes' 0"):
        check_classes(held, target, ("no", "yes"))
    check_classes(found, np.arange(100) % 2, ("no", "yes"))
    check_classes(assign(hashes_of(102), test=0.0, folds=2), np.arange(102) % 3, ("a", "b", "c"))
