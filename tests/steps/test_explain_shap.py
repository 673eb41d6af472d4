"""The shap library against our own sampler: two implementations of one definition."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from declarative_ml.core.optional import installed
from declarative_ml.scoring.shap_sampler import Explanation, explain_rows
from declarative_ml.steps.explain_shap import explain_with_shap, import_shap, shap_plots

# Not importorskip: imported by `import_shap`, shap compiles nothing, and these tests take seconds.
pytestmark = pytest.mark.skipif(not installed("shap"), reason="needs the extra shap")


@pytest.fixture(autouse=True)
def _coarse_pictures(monkeypatch):
    monkeypatch.setattr("declarative_ml.steps.explain_shap._DPI", 20)


CITIES = np.array(["", "Bern", "Oslo", "Rome"], dtype=object)
WORTH = {"": 0.0, "Bern": -1.0, "Oslo": 0.5, "Rome": 2.0}


def make_pool(rows: int, columns: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(columns)
    pool = {}
    for number in range(columns):
        if number % 3 == 2:
            pool[f"c{number}"] = CITIES[draw.integers(0, 4, rows)].reshape(-1, 1)
        else:
            values = draw.integers(0, 8, rows).astype(np.float32)
            pool[f"c{number}"] = np.where(values == 7, np.nan, values).reshape(-1, 1)
    return pool


def numeric(columns) -> np.ndarray:
    return np.stack(
        [
            np.array([WORTH[item] for item in flat])
            if flat.dtype == object
            else np.nan_to_num(flat, nan=-2.0)
            for flat in (values[:, 0] for values in columns.values())
        ],
        axis=1,
    )


def one_output(columns) -> np.ndarray:
    wide = numeric(columns)
    return np.tanh(0.1 * (wide[:, 0] * wide[:, -1] + wide.sum(axis=1)))[:, None]


def three_outputs(columns) -> np.ndarray:
    wide = numeric(columns)
    logits = np.stack([wide[:, 0], wide[:, -1] * 0.5, np.zeros(len(wide))], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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


def test_no_rows_give_an_empty_explanation_and_no_plots():
    found = explain_with_shap(three_outputs, make_pool(10, 4), np.arange(0), np.arange(10))
    assert found.values.shape == (0, 4, 3)
    assert shap_plots(found, {f"c{number}": np.empty((0, 1)) for number in range(4)}, ["a", "b", "c"]) == {}


def test_compiling_is_switched_off_only_while_shap_is_imported():
    import_shap()
    assert sys.modules["numba"].config.DISABLE_JIT == 0


def explanation_of(names: list[str], values: np.ndarray, base: list[float]) -> Explanation:
    predictions = np.array(base) + values.sum(axis=1)
    return Explanation(tuple(names), np.array(base), values, predictions, "exact", 0, 1)


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and len(content) > 500


@pytest.mark.parametrize(("predict", "outputs"), [(one_output, ["yes"]), (three_outputs, ["a", "b", "$c_"])])
def test_plots_are_pictures_and_repeat_byte_by_byte(predict, outputs):
    pool = make_pool(60, 5)
    found = explain_rows(predict, pool, np.arange(30), np.arange(30, 60))
    values = {name: column[:30] for name, column in pool.items()}
    plots = shap_plots(found, values, outputs)
    assert list(plots) == ["bar", "beeswarm", "waterfall", "scatter_1", "scatter_2", "scatter_3"]
    assert all(is_png(content) for content in plots.values())
    if outputs == ["yes"]:
        assert shap_plots(found, values, outputs) == plots


def test_plots_leave_no_figure_and_no_setting_behind():
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.rcParams["font.size"] = 17
    own = plt.figure()
    before = (matplotlib.get_backend(), plt.isinteractive(), plt.get_fignums())
    pool = make_pool(20, 2)
    found = explain_rows(one_output, pool, np.arange(10), np.arange(10, 20))
    shap_plots(found, {name: column[:10] for name, column in pool.items()}, ["yes"])
    assert (matplotlib.get_backend(), plt.isinteractive(), plt.get_fignums()) == before
    assert matplotlib.rcParams["font.size"] == 17
    plt.close(own)
    matplotlib.rcdefaults()


ODD_COLUMNS = {
    "all missing": np.full((12, 1), np.nan, np.float32),
    "constant": np.full((12, 1), 3.0, np.float32),
    "some missing": np.where(np.arange(12) % 2, np.nan, 1.0).astype(np.float32),
    "infinite": np.where(np.arange(12) % 2, np.inf, 1.0).astype(np.float32),
    "long texts": np.array([f"{'word ' * 50}{number}" for number in range(12)], dtype=object),
    "no texts": np.array([""] * 12, dtype=object),
    "costs $a_": np.array(["$x_$", "$", "ü", "中文"] * 3, dtype=object),
    "numbers as text": np.array(["1", "2", "", "10"] * 3, dtype=object),
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_odd_columns_can_be_drawn(name):
    shap_values = np.random.default_rng(0).normal(size=(12, 1, 1))
    plots = shap_plots(explanation_of([name], shap_values, [0.2]), {name: ODD_COLUMNS[name]}, ["yes"])
    assert list(plots) == ["bar", "beeswarm", "waterfall", "scatter_1"]
    assert all(is_png(content) for content in plots.values())


def test_a_model_that_uses_nothing_can_be_drawn():
    found = explanation_of(list(ODD_COLUMNS), np.zeros((12, len(ODD_COLUMNS), 1)), [0.2])
    assert all(is_png(content) for content in shap_plots(found, ODD_COLUMNS, ["yes"]).values())


def test_one_row_and_many_classes_can_be_drawn():
    names = [f"column {number}" for number in range(17)]
    shap_values = np.random.default_rng(0).normal(size=(1, 17, 8))
    values = {name: np.ones((1, 1), np.float32) for name in names}
    plots = shap_plots(
        explanation_of(names, shap_values, [0.0] * 8), values, [f"class {number}" for number in range(8)]
    )
    assert all(is_png(content) for content in plots.values())


def test_many_levels_are_gathered_under_one_name():
    from declarative_ml.steps.explain_shap import _for_display

    texts = np.array([f"level {min(number, 30)}" for number in range(60)], dtype=object)
    shown = _for_display(texts)
    assert len(set(shown)) == 20
    assert (shown == "(other)").sum() == 12
