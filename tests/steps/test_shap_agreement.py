"""The shap library against our own sampler: two implementations of one definition."""

from __future__ import annotations

import numpy as np
import pytest
from shap_reference import explain_with_shap, make_pool, one_output, three_outputs

from declarative_ml.core.optional import installed
from declarative_ml.scoring.shap_sampler import explain_rows

# Not importorskip: imported by `import_shap`, shap compiles nothing, and these tests take seconds.
pytestmark = pytest.mark.skipif(not installed("shap"), reason="needs the extra shap")


@pytest.mark.parametrize("predict", [one_output, three_outputs])
@pytest.mark.parametrize("columns", [1, 3, 5])
def test_exact_values_are_the_same(predict, columns):
    arguments = (predict, make_pool(40, columns), np.arange(5), np.arange(20, 40))
    ours, theirs = explain_rows(*arguments), explain_with_shap(*arguments)
    assert (ours.method, theirs.method) == ("exact", "exact")
    assert theirs.values == pytest.approx(ours.values, abs=1e-6)
    assert theirs.base == pytest.approx(ours.base, abs=1e-12)
    assert theirs.predictions == pytest.approx(ours.predictions, abs=1e-12)


@pytest.mark.parametrize("predict", [one_output, three_outputs])
def test_sampled_values_agree_within_a_tenth_of_their_spread(predict):
    arguments = (predict, make_pool(80, 13), np.arange(12), np.arange(30, 80))
    ours = explain_rows(*arguments, budget=100_000, seed=1)
    theirs = explain_with_shap(*arguments, budget=100_000, seed=1)
    assert (ours.method, theirs.method) == ("permutation", "permutation")
    assert theirs.base + theirs.values.sum(axis=1) == pytest.approx(theirs.predictions, abs=1e-6)
    assert np.sqrt(np.mean((theirs.values - ours.values) ** 2)) < 0.1 * ours.values.std()


@pytest.mark.parametrize("budget", [1, 3_000, 20_000])
def test_values_add_up_and_the_budget_is_about_kept(budget):
    found = explain_with_shap(one_output, make_pool(80, 13), np.arange(12), np.arange(30, 80), budget=budget)
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.predictions, abs=1e-6)
    assert found.evaluations <= max(budget * 1.2, 1_000)


def test_equal_seeds_give_equal_values_and_leave_the_global_generator_alone():
    arguments = (one_output, make_pool(80, 13), np.arange(6), np.arange(30, 80))
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    first = explain_with_shap(*arguments, budget=9_000, seed=2).values
    assert np.array_equal(np.random.random(3), expected)
    assert np.array_equal(explain_with_shap(*arguments, budget=9_000, seed=2).values, first)
    assert not np.array_equal(explain_with_shap(*arguments, budget=9_000, seed=3).values, first)
