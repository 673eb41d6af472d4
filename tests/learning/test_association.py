"""Each measure against scipy's, and what it says of columns that tell nothing."""

import numpy as np
import pytest
from scipy import stats

from declarative_ml.learning.association import (
    association,
    auc,
    correlation_ratio,
    cramers_v,
    of_levels,
    of_numbers,
    pearson,
    rank_correlations,
)

ROWS = 400


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rank_correlation_is_that_of_spearman(random: np.random.Generator) -> None:
    x = random.normal(size=ROWS).round(1)
    y = (x + random.normal(size=ROWS)).round(1)
    measure, value = association(of_numbers("x", x), of_numbers("y", y))
    assert measure == "rank correlation"
    assert value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_missing_rows_do_not_count_and_change_no_other_pair(random: np.random.Generator) -> None:
    x, y, z = random.normal(size=(3, ROWS))
    y += x
    z[::3] = np.nan
    columns = [of_numbers(name, values) for name, values in zip("xyz", (x, y, z), strict=True)]
    found = rank_correlations(columns, columns)
    assert found[0, 1] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    ranks = stats.rankdata(x)[np.isfinite(z)], stats.rankdata(z[np.isfinite(z)])
    assert found[0, 2] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)
    assert rank_correlations(columns[:2], columns[:2])[0, 1] == pytest.approx(found[0, 1], abs=1e-12)


def test_correlation_ratio_is_kruskal_and_wallis_s_epsilon_squared(random: np.random.Generator) -> None:
    group = random.integers(0, 5, ROWS)
    y = (random.normal(size=ROWS) + 0.4 * group).round(1)
    h = stats.kruskal(*(y[group == level] for level in range(5))).statistic
    expected = ((h - 5 + 1) / (ROWS - 5)) ** 0.5
    assert association(of_numbers("y", y), of_levels("g", group)) == (
        "correlation ratio",
        pytest.approx(expected, abs=1e-12),
    )


@pytest.mark.parametrize("levels", [(3, 4), (2, 2), (60, 50)], ids=["few", "two", "more-cells-than-rows"])
def test_cramers_v_corrected_as_bergsma_does(random: np.random.Generator, levels: tuple[int, int]) -> None:
    a = random.integers(0, levels[0], ROWS)
    b = np.where(random.random(ROWS) < 0.5, a % levels[1], random.integers(0, levels[1], ROWS))
    table = stats.contingency.crosstab(a, b).count
    r, c = table.shape
    phi = stats.chi2_contingency(table, correction=False).statistic / ROWS
    phi = max(phi - (r - 1) * (c - 1) / (ROWS - 1), 0.0)
    least = min(size - (size - 1) ** 2 / (ROWS - 1) for size in (r, c)) - 1
    found = association(of_levels("a", a), of_levels("b", b))
    assert found == ("Cramér's V", pytest.approx((phi / least) ** 0.5, abs=1e-12))


def test_auc_of_a_column_is_that_of_mann_and_whitney(random: np.random.Generator) -> None:
    positive = random.random(ROWS) < 0.2
    x = (random.normal(size=ROWS) + positive).round(1)
    u = stats.mannwhitneyu(x[positive], x[~positive]).statistic
    expected = u / (positive.sum() * (~positive).sum())
    assert auc(of_numbers("x", x), positive) == pytest.approx(expected, abs=1e-12)


def test_linear_correlation_of_huge_and_missing_numbers(random: np.random.Generator) -> None:
    x, y = random.normal(size=(2, ROWS))
    x[0], y[1] = np.nan, np.inf
    assert pearson(x, y) == pytest.approx(np.corrcoef(x[2:], y[2:])[0, 1], abs=1e-12)
    assert pearson(x * 1e200, y) is None


@pytest.mark.parametrize("levels", [3, 100, ROWS // 2])
def test_what_does_not_go_together_stays_near_zero_with_any_number_of_levels(
    random: np.random.Generator, levels: int
) -> None:
    found = []
    for _ in range(40):
        group = of_levels("g", random.integers(0, levels, ROWS))
        found += [
            (correlation_ratio(group, of_numbers("x", random.normal(size=ROWS))) or 0.0) ** 2,
            (cramers_v(group, of_levels("h", random.integers(0, 2, ROWS))) or 0.0) ** 2,
        ]
    assert np.mean(found) < 0.06


@pytest.mark.parametrize(
    "values",
    [
        np.full(ROWS, np.nan),
        np.zeros(ROWS),
        np.where(np.arange(ROWS) < 9, 1.0, np.nan),
        np.full(ROWS, np.inf),
    ],
    ids=["missing", "constant", "few", "infinite"],
)
def test_nothing_is_said_of_columns_without_values(values: np.ndarray) -> None:
    column, other = of_numbers("x", values), of_numbers("y", np.arange(float(ROWS)))
    group = of_levels("g", np.arange(ROWS) % 3)
    assert association(column, other)[1] is None
    assert association(column, group)[1] is None
    assert pearson(values, other.values) is None if other.values is not None else False
    assert cramers_v(of_levels("x", np.zeros(ROWS, dtype=np.int64)), group) is None
    assert cramers_v(of_levels("x", np.full(ROWS, -1)), group) is None
    assert auc(column, np.arange(ROWS) < 5) is None


def test_tables_of_one_row_and_of_none_say_nothing() -> None:
    for rows in (0, 1):
        number, group = of_numbers("x", np.ones(rows)), of_levels("g", np.zeros(rows, dtype=np.int64))
        assert association(number, number)[1] is None
        assert association(number, group)[1] is None
        assert association(group, group)[1] is None
