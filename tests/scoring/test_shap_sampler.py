import itertools
import math

import numpy as np
import pytest

from declarative_ml.scoring.shap_sampler import (
    _spread,
    code_pool,
    exact_evaluations,
    explain_rows,
    fit_budget,
)

LEVELS = np.array(["", "a", "b", "ü"], dtype=object)


def make_pool(rows: int, columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Alternately floats (some NaN, few distinct) and strings."""
    draw = np.random.default_rng(seed)
    pool = {}
    for number in range(columns):
        if number % 2:
            pool[f"c{number}"] = LEVELS[draw.integers(0, 4, rows)].reshape(-1, 1)
        else:
            values = draw.integers(0, 6, rows).astype(np.float32)
            pool[f"c{number}"] = np.where(values == 5, np.nan, values).reshape(-1, 1)
    return pool


def numeric(columns) -> np.ndarray:
    found = []
    for values in columns.values():
        flat = values[:, 0]
        if flat.dtype == object:
            found.append(np.array([{"": 0.0, "a": 1.0, "b": -1.0, "ü": 2.5}[item] for item in flat]))
        else:
            found.append(np.where(np.isnan(flat), -2.0, flat).astype(float))
    return np.stack(found, axis=1)


def interacting(columns) -> np.ndarray:
    wide = numeric(columns)
    return (wide[:, 0] * wide[:, 1] + np.maximum(wide[:, -1], wide[:, 0]) - wide[:, 1] ** 2)[:, None]


def two_outputs(columns) -> np.ndarray:
    wide = numeric(columns)
    return np.stack([np.tanh(wide.sum(axis=1)), wide.prod(axis=1)], axis=1)


def third_order(columns) -> np.ndarray:
    wide = numeric(columns)
    return np.tanh(0.1 * wide.sum(axis=1) + 0.1 * wide[:, 0] * wide[:, 1] * wide[:, 2])


def by_definition(predict, pool, row: int, background: np.ndarray) -> np.ndarray:
    """Shapley's formula written out, [M, K]."""
    names = list(pool)

    def worth(members) -> np.ndarray:
        mixed = {
            name: pool[name][np.full(len(background), row) if name in members else background]
            for name in names
        }
        return predict(mixed).mean(axis=0)

    values = []
    for name in names:
        others = [other for other in names if other != name]
        total = 0.0
        for size in range(len(names)):
            weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(names))
            for members in itertools.combinations(others, size):
                total = total + weight * (worth({*members, name}) - worth(set(members)))
        values.append(total)
    return np.array(values)


@pytest.mark.parametrize("predict", [interacting, two_outputs])
@pytest.mark.parametrize("columns", [2, 3, 5])
def test_exact_values_are_those_of_the_definition(predict, columns):
    pool = make_pool(30, columns)
    rows, background = np.arange(4), np.arange(10, 22)
    found = explain_rows(predict, pool, rows, background)
    assert found.method == "exact"
    for number, row in enumerate(rows):
        assert found.values[number] == pytest.approx(by_definition(predict, pool, row, background), abs=1e-9)


@pytest.mark.parametrize("budget", [1, 50, 300, 5_000, 100_000])
@pytest.mark.parametrize("columns", [1, 2, 4, 9, 15])
def test_values_add_up_to_the_prediction(budget, columns):
    pool = make_pool(40, columns)
    rows, background = np.arange(6), np.arange(20, 40)
    found = explain_rows(two_outputs, pool, rows, background, budget=budget, seed=3)
    taken = {name: values[rows] for name, values in pool.items()}
    assert found.predictions == pytest.approx(two_outputs(taken))
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.predictions, abs=1e-9)


@pytest.mark.parametrize("budget", [2_000, 10_000, 60_000])
def test_the_budget_is_kept_and_counted(budget):
    pool = make_pool(60, 14)
    calls = []

    def predict(columns):
        calls.append(len(columns["c0"]))
        return two_outputs(columns)

    found = explain_rows(predict, pool, np.arange(20), np.arange(20, 50), budget=budget)
    assert found.method == "permutation"
    assert found.evaluations == sum(calls) <= budget * 1.05
    assert found.evaluations > budget * 0.4


def test_sampled_values_approach_the_exact_ones_and_more_budget_comes_closer():
    pool = make_pool(60, 9)
    rows, background = np.arange(10), np.arange(20, 50)
    exact = explain_rows(third_order, pool, rows, background, budget=10**8)
    errors = []
    for budget in (2_000, 8_000, 24_000):
        found = explain_rows(third_order, pool, rows, background, budget=budget, seed=1)
        assert found.method == "permutation"
        errors.append(float(np.sqrt(np.mean((found.values - exact.values) ** 2))))
    assert errors[2] < errors[1] < errors[0]
    assert errors[1] < 0.1 * exact.values.std()


def test_one_order_a_background_row_is_exact_for_a_sum_of_columns():
    pool = make_pool(60, 13)

    def additive(columns):
        return (numeric(columns) * np.arange(1, 14)).sum(axis=1)[:, None]

    rows, background = np.arange(5), np.arange(20, 50)
    found = explain_rows(additive, pool, rows, background, budget=3_000)
    wide = numeric(pool) * np.arange(1, 14)
    assert found.backgrounds == 30
    assert found.values[:, :, 0] == pytest.approx(wide[rows] - wide[background].mean(axis=0), abs=1e-9)


def test_a_column_that_the_model_ignores_has_no_value():
    pool = make_pool(60, 14)
    found = explain_rows(
        lambda columns: columns["c0"].astype(float) > 2, pool, np.arange(5), np.arange(10, 40), budget=5_000
    )
    assert np.array_equal(found.values[:, 1:], np.zeros((5, 13, 1)))


def test_equal_arguments_give_equal_values_and_seeds_differ():
    pool = make_pool(60, 14)
    first, again, other = (
        explain_rows(two_outputs, pool, np.arange(5), np.arange(10, 40), budget=5_000, seed=seed).values
        for seed in (7, 7, 8)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_values_do_not_depend_on_how_rows_are_grouped(monkeypatch):
    pool = make_pool(60, 14)
    arguments = (two_outputs, pool, np.arange(12), np.arange(20, 50))
    whole = explain_rows(*arguments, budget=20_000)
    monkeypatch.setattr("declarative_ml.scoring.shap_sampler._EVALUATIONS_AT_ONCE", 1)
    assert np.array_equal(explain_rows(*arguments, budget=20_000).values, whole.values)


def test_equal_cells_cost_no_evaluation():
    pool = {name: np.repeat(values[:1], 40, axis=0) for name, values in make_pool(1, 15).items()}
    found = explain_rows(two_outputs, pool, np.arange(5), np.arange(10, 40), budget=100)
    assert found.evaluations == 35
    assert not found.values.any()


def test_no_rows_to_explain_give_an_empty_explanation():
    found = explain_rows(two_outputs, make_pool(10, 4), np.arange(0), np.arange(10))
    assert found.values.shape == (0, 4, 2)
    assert np.array_equal(found.mean_absolute(), np.zeros(4))


@pytest.mark.parametrize(("columns", "background"), [(0, 3), (2, 0)])
def test_nothing_to_compare_with_is_refused(columns, background):
    with pytest.raises(ValueError, match="at least one column and one background row"):
        explain_rows(two_outputs, make_pool(10, columns), np.arange(2), np.arange(background))


def test_progress_ends_at_one():
    seen = []
    explain_rows(
        two_outputs,
        make_pool(60, 14),
        np.arange(20),
        np.arange(20, 50),
        budget=50_000,
        progress=lambda fraction, message: seen.append((fraction, message)),
    )
    fractions = [fraction for fraction, _ in seen]
    assert len(seen) > 1 and fractions == sorted(fractions)
    assert seen[-1] == (1.0, "row 20/20")


def test_importance_is_the_mean_absolute_value_summed_over_outputs():
    found = explain_rows(two_outputs, make_pool(30, 3), np.arange(5), np.arange(10, 30))
    assert found.mean_absolute() == pytest.approx(np.abs(found.values).mean(axis=0).sum(axis=1))


def test_codes_lead_back_to_the_same_cells():
    pool = make_pool(50, 4)
    seen = []
    coded = code_pool(lambda columns: (seen.append(columns), numeric(columns))[1], pool)
    coded.score(coded.codes)
    for name, values in pool.items():
        assert np.array_equal(seen[0][name].astype(str), values.astype(str))
    assert len(coded.levels[0]) == 6  # NaN is one level


def test_exact_cost_counts_the_columns_that_differ():
    rows = np.array([[0, 0, 0], [1, 1, 1]])
    assert exact_evaluations(rows, np.array([[0, 0, 0], [1, 0, 0]])) == (0 + 0) + (6 + 2)
    assert exact_evaluations(np.zeros((1, 13)), np.zeros((1, 13))) == math.inf


@pytest.mark.parametrize(
    ("budget", "kept", "orders"), [(0, 1, 1), (2_000, 9, 1), (5_000, 25, 1), (20_000, 50, 2), (60_000, 50, 6)]
)
def test_a_small_budget_thins_the_background_and_a_large_one_adds_orders(budget, kept, orders):
    rows, background = np.ones((15, 14)), np.zeros((50, 14))
    assert fit_budget(rows, background, budget) == (kept, orders)


def test_samples_of_the_background_stand_for_all_of_it():
    outputs = np.random.default_rng(0).gamma(0.5, size=(100, 1))
    samples = _spread(outputs, 20, 300)
    assert samples.shape == (300, 20)
    assert all(len(set(sample)) == 20 for sample in samples.tolist())
    used = np.bincount(samples.ravel(), minlength=100)
    assert used.min() >= 55
    assert used.max() <= 65
    drawn = np.random.default_rng(1).choice(outputs[:, 0], (300, 20)).mean(axis=1).std()
    assert outputs[samples, 0].mean(axis=1).std() < 0.5 * drawn


def test_a_sample_of_all_rows_is_all_rows():
    assert _spread(np.array([[3.0], [1.0], [2.0]]), 3, 2).tolist() == [[0, 1, 2], [0, 1, 2]]
