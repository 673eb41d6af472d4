from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from telco_columns import Telco, split

from declarative_ml.learning.conditions import RawColumn
from declarative_ml.learning.row_losses import row_losses
from declarative_ml.learning.segments import MAX_FINDINGS, Search, find_segments, least_rows


@pytest.fixture(scope="module")
def telco(shared_data: Path) -> Telco:
    return Telco(shared_data)


def fitted(model: str, inputs: np.ndarray, churn: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities [test rows, 2] of a model of the other rows."""
    if model == "linear":
        fit: Any = LogisticRegression(max_iter=500).fit(inputs[~test], churn[~test])
        return np.asarray(fit.predict_proba(inputs[test]))
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 15}
    data = lightgbm.Dataset(inputs[~test], churn[~test])
    positive = np.asarray(lightgbm.train(options, data, 60).predict(inputs[test]))
    return np.stack([1 - positive, positive], axis=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", ["lightgbm", "linear"])
def test_an_error_planted_in_few_labels_is_the_first_finding(telco: Telco, model: str, seed: int) -> None:
    test = split(seed, len(telco.churn))
    prediction = fitted(model, telco.matrix(), telco.churn, test)
    planted = telco.planted[test]
    truth = np.where(planted, 1 - telco.churn[test], telco.churn[test])
    assert planted.sum() < 25, "one row in seventy"
    first = find_segments(telco.columns(test), row_losses(truth, prediction)[0]).segments[0]
    assert str(first).startswith("Contract = One year and tenure < 1")
    assert (first.mask & planted).sum() >= 0.9 * (first.mask | planted).sum()
    assert first.low > 0.5 and first.p < 1e-5


def test_without_it_the_hard_rows_come_first(telco: Telco) -> None:
    test = split(0, len(telco.churn))
    loss = row_losses(telco.churn[test], fitted("linear", telco.matrix(), telco.churn, test))[0]
    first = find_segments(telco.columns(test), loss).segments[0]
    assert str(first) == "Contract = Month-to-month"
    assert first.inside > first.outside


def noise(rows: int, seed: int, columns: int = 8) -> tuple[list[RawColumn], np.ndarray]:
    """Columns of both kinds, and skewed losses that have nothing to do with them."""
    random = np.random.default_rng(seed)
    made = [RawColumn(f"n{place}", "number", random.normal(size=rows)) for place in range(columns // 2)]
    levels = np.array(list("abcdef"), dtype=object)
    made += [
        RawColumn(f"c{place}", "category", levels[random.integers(0, 6, rows)])
        for place in range(columns // 2)
    ]
    return made, np.minimum(random.exponential(0.4, rows) ** 1.5, 4.6)


def test_chance_alone_is_hardly_ever_a_finding() -> None:
    searches = [find_segments(*noise(rows=600, seed=seed)) for seed in range(40)]
    assert sum(bool(search.segments) for search in searches) <= 2
    assert searches[0].compared > 10_000


def planted(where: Any, rows: int = 2000, excess: float = 1.0) -> tuple[list[RawColumn], np.ndarray]:
    columns, loss = noise(rows, seed=1)
    by_name = {column.name: column.values for column in columns}
    return columns, loss + excess * where(by_name)


@pytest.mark.parametrize(
    ("where", "description"),
    [
        (lambda c: c["c1"] == "b", "c1 = b"),
        (lambda c: (c["c1"] == "b") & (c["c2"] == "d"), "c1 = b and c2 = d"),
        (lambda c: (c["n0"] >= 0.5) & (c["n0"] < 1.5), "0.5 ≤ n0 < 1.5"),
        (lambda c: (c["c0"] == "a") & (c["c1"] == "b") & (c["n2"] < 0), "c0 = a and c1 = b and n2 < 0"),
    ],
    ids=["a level", "a pair", "a range", "a triple"],
)
def test_what_is_found_is_told_as_it_is(where: Any, description: str) -> None:
    found = find_segments(*planted(where, excess=2.0)).segments
    words = str(found[0])
    if "n0" in description or "n2" in description:  # cuts lie between two rows
        assert sorted({word[:2] for word in words.split() if word[0] in "nc"}) == sorted(
            {word[:2] for word in description.split() if word[0] in "nc"}
        )
    else:
        assert words == description
    columns, _ = planted(where)
    truth = where({column.name: column.values for column in columns})
    assert (found[0].mask & truth).sum() >= 0.85 * (found[0].mask | truth).sum()


def test_two_faults_are_two_findings_and_neither_is_told_twice() -> None:
    columns, loss = planted(lambda c: 2.0 * (c["c0"] == "a") + 1.0 * (c["c3"] == "e"))
    found = find_segments(columns, loss).segments
    assert {str(item) for item in found[:2]} == {"c0 = a", "c3 = e"}
    assert len(found) <= 3


def test_missing_values_and_rare_levels_are_segments() -> None:
    columns, loss = noise(3000, seed=2)
    random = np.random.default_rng(0)
    hole = random.random(3000) < 0.1
    numbers = np.where(hole, np.nan, columns[0].values)
    many = np.array([f"city {value}" for value in np.minimum(random.zipf(1.3, 3000), 400)], dtype=object)
    found = find_segments([RawColumn("age", "number", numbers), *columns[1:]], loss + 1.5 * hole)
    assert str(found.segments[0]) == "age is missing"
    column = RawColumn("city", "category", many)
    rare = ~np.isin(many, column.codes[0][:12])
    found = find_segments([column, *columns], loss + 1.5 * rare)
    assert str(found.segments[0]) == "city is none of the 12 commonest"


def test_a_level_to_be_above_is_obeyed() -> None:
    columns, loss = planted(lambda c: 1.0 * (c["c0"] == "a"))
    better = loss - loss.mean() - 1.0  # worse than elsewhere, and still not bad
    assert find_segments(columns, better).segments
    assert not find_segments(columns, better, level=0.0).segments


def test_a_search_gives_the_same_again_and_few_findings() -> None:
    columns, loss = planted(lambda c: np.abs(c["n0"]) + (c["c0"] == "a") * 1.0, rows=4000)
    first, second = (find_segments(columns, loss).segments for _ in range(2))
    assert [str(item) for item in first] == [str(item) for item in second]
    assert 0 < len(first) <= MAX_FINDINGS


@pytest.mark.parametrize("rows", [0, 1, 9, 30])
def test_too_little_to_say_anything(rows: int) -> None:
    columns, loss = noise(rows, seed=3)
    assert find_segments(columns, loss).segments == ()
    assert find_segments(columns, np.zeros(rows)).segments == ()
    assert find_segments([], loss) == Search((), 0, least_rows(rows))


def test_ten_thousand_rows_take_about_a_second() -> None:
    columns, loss = noise(10_000, seed=4, columns=20)
    started = time.process_time()
    find_segments(columns, loss + 0.5 * (columns[-1].values == "b"))
    assert time.process_time() - started < 3.0, "one second on a quiet machine"


def test_many_columns_are_not_too_many() -> None:
    columns, loss = noise(2000, seed=5, columns=120)
    found = find_segments(columns, loss + 2.0 * (columns[-1].values == "b"))
    assert str(found.segments[0]) == "c59 = b"
