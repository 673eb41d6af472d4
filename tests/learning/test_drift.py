from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.columns import raw_column
from declarative_ml.features import FEATURES
from declarative_ml.learning.drift import (
    ColumnDrift,
    chi_squared,
    column_drift,
    compare,
    drift_from_json,
    measure,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]
LEVELS = np.array(list("abcdefgh"), dtype=object)
SHARES = [0.4, 0.2, 0.2, 0.1, 0.05, 0.03, 0.015, 0.005]
DRAWS: dict[str, tuple[str, Draw]] = {
    "normal": ("number", lambda random, rows: random.normal(size=rows)),
    "heavy tail": ("number", lambda random, rows: random.lognormal(0, 2, rows)),
    "whole numbers": ("number", lambda random, rows: random.integers(0, 72, rows).astype(float)),
    "mostly zero": (
        "number",
        lambda random, rows: np.where(random.random(rows) < 0.7, 0, random.exponential(5, rows)),
    ),
    "with missing": (
        "number",
        lambda random, rows: np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
    ),
    "levels": ("category", lambda random, rows: LEVELS[random.choice(8, rows, p=SHARES)]),
    "many levels": (
        "category",
        lambda random, rows: np.array(
            [f"l{min(value, 3000)}" for value in random.zipf(1.5, rows)], dtype=object
        ),
    ),
}


def reference(kind: str, values: np.ndarray) -> dict[str, Any]:
    """The entry of reference.json, made by the feature itself."""
    feature = FEATURES.parse({"type": kind})
    statistics = feature.accumulator()
    hashes = np.random.default_rng(0).integers(0, 2**63, len(values)).astype(np.uint64)
    statistics.update(raw_column(pa.array(values), feature.raw_dtype), hashes)
    return feature.reference(statistics, feature.fit(statistics))


def drift_of(name: str, before: int, now: int, seed: int = 0, shift: float = 0.0) -> ColumnDrift:
    kind, draw = DRAWS[name]
    random = np.random.default_rng(seed)
    first, second = draw(random, before), draw(random, now)
    return column_drift("x", reference(kind, first), reference(kind, second + shift if shift else second), 20)


@pytest.mark.parametrize(("before", "now"), [(3000, 30), (3000, 300), (3000, 3000), (150, 150)])
@pytest.mark.parametrize("name", DRAWS)
def test_samples_of_one_distribution_raise_no_alarm(name: str, before: int, now: int) -> None:
    found = [drift_of(name, before, now, seed) for seed in range(5)]
    assert not any(item.moved for item in found)
    assert sum(item.distance.is_clear for item in found) <= 1


def test_the_index_of_equal_distributions_is_as_large_as_the_theory_says() -> None:
    """(cells - 1)(1/n + 1/m), and above `noise` about once in a hundred times."""
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    draws = [
        measure(*(random.multinomial(rows, shares).astype(float) for rows in (4000, 1000)))
        for _ in range(2000)
    ]
    expected = 9 * (1 / 4000 + 1 / 1000)
    assert np.mean([item.psi for item in draws]) == pytest.approx(expected, rel=0.05)
    assert 0.003 < np.mean([item.is_clear for item in draws]) < 0.02


@pytest.mark.parametrize(
    ("shift", "rows", "moved"), [(0.25, 1000, False), (0.5, 1000, True), (1.0, 100, True)]
)
def test_a_shift_is_seen_once_it_is_large_enough(shift: float, rows: int, moved: bool) -> None:
    found = drift_of("normal", 5000, rows, shift=shift)
    assert found.moved is moved
    assert found.distance.is_clear is (rows >= 1000 or moved)


def test_few_rows_do_not_tell() -> None:
    found = drift_of("normal", 5000, 20, shift=0.5)
    assert not found.moved and found.distance.noise > 0.5


@pytest.mark.parametrize(
    ("degrees", "share", "value"), [(1, 0.95, 3.841), (9, 0.99, 21.666), (19, 0.999, 43.82)]
)
def test_quantiles_of_chi_squared(degrees: int, share: float, value: float) -> None:
    assert chi_squared(degrees, share) == pytest.approx(value, rel=0.025)
    assert chi_squared(0, share) == 0.0


def test_the_measures_by_hand() -> None:
    found = measure(np.array([800.0, 200.0]), np.array([500.0, 500.0]))
    assert found.psi == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), rel=0.01)
    assert found.js == pytest.approx(0.0731, rel=0.02)
    apart = measure(np.array([1000.0, 0.0]), np.array([0.0, 1000.0]))
    assert apart.js > 0.98 and np.isfinite(apart.psi)
    assert measure(np.zeros(2), np.array([1.0, 2.0])).psi == 0.0


def test_new_levels_and_missing_values_are_named() -> None:
    before = np.array(["a"] * 600 + ["b"] * 400, dtype=object)
    now = np.array(["a"] * 500 + ["new"] * 300 + ["newer"] * 100 + [None] * 100, dtype=object)
    found = column_drift("kind", reference("category", before), reference("category", now))
    assert found.moved
    assert found.unseen_levels == ("new", "newer") and found.unseen == pytest.approx(0.4)
    assert found.missing == (0.0, 0.1)
    assert found.cells == ("a", "b", "new", "newer", "(other)", "(missing)")
    assert found.shares[0] == (0.6, 0.4, 0.0, 0.0, 0.0, 0.0)


def test_a_level_in_place_of_another_is_seen_and_a_rare_one_that_one_side_leaves_out_is_not() -> None:
    base = {"kind": "category", "missing": 0, "rows": 1000}
    before = {**base, "levels": ["a", "b"], "counts": [600, 400], "other": 0}
    renamed = {**base, "levels": ["a", "c"], "counts": [600, 400], "other": 0}
    assert column_drift("kind", before, renamed).moved
    rare = {**base, "levels": ["a", "b"], "counts": [600, 390], "other": 10}
    named = {**base, "levels": ["a", "b", "c"], "counts": [600, 390, 10], "other": 0}
    assert column_drift("kind", rare, named).distance.psi == 0.0
    assert column_drift("kind", named, rare).distance.psi == 0.0


def test_a_number_beyond_its_old_range() -> None:
    random = np.random.default_rng(0)
    before, now = random.uniform(0, 1, 2000), random.uniform(5, 6, 2000)
    found = column_drift("x", reference("number", before), reference("number", now))
    assert found.distance.js > 0.8
    assert found.shares[1][-2] == pytest.approx(1.0), "all in the last bin, which is open"


def test_a_column_that_became_empty_or_was() -> None:
    values = np.random.default_rng(0).normal(size=500)
    empty = {"kind": "number", "edges": [], "counts": [], "missing": 500, "rows": 500}
    gone = column_drift("x", reference("number", values), empty)
    came = column_drift("x", empty, reference("number", values))
    assert gone.moved and came.moved
    assert gone.missing == (0.0, 1.0) and came.missing == (1.0, 0.0)
    assert not column_drift("x", empty, empty).moved


def test_whole_references() -> None:
    random = np.random.default_rng(0)
    same, moved = random.normal(size=1000), random.normal(size=1000)
    before = {"columns": {name: reference("number", same) for name in ("a", "b", "old")}}
    before["columns"]["c"] = reference("category", np.array(["x", "y"] * 500, dtype=object))
    now = {"columns": {"a": reference("number", same), "b": reference("number", moved + 1)}}
    now["columns"] |= {"c": reference("number", same), "new": reference("number", same)}
    found = compare(before, now)
    assert [item.column for item in found.columns] == ["b", "a"]
    assert [item.column for item in found.moved] == ["b"]
    assert found.added == ("c", "new") and found.gone == ("old", "c")
    assert found.columns[1].distance.psi == 0.0
    assert drift_from_json(json.loads(json.dumps(asdict(found)))) == found
