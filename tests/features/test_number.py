import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.features.number import Number
from declarative_ml.learning.statistics import ColumnProfiler


def fit(feature, values):
    statistics = feature.accumulator()
    statistics.update(pa.array(values, pa.float32()), np.arange(len(values), dtype=np.uint64))
    return feature.fit(statistics), statistics


def encode(feature, state, values):
    return feature.encode(pa.array(values, pa.float32()), state)


@pytest.mark.parametrize(
    ("values", "inferred"),
    [
        (pa.array([1.5, 2.5]), True),
        (pa.array([1, 2, 3], pa.int64()), True),
        (pa.array(["1", "2"]), False),
        (pa.array([True, False]), False),
    ],
)
def test_infer(values, inferred):
    profiler = ColumnProfiler("x", values.type)
    profiler.update(values, np.arange(len(values), dtype=np.uint64))
    assert (Number.infer(profiler.profile()) is not None) is inferred


@pytest.mark.parametrize(
    ("missing", "fill", "raw"),
    [
        ("median", 3.0, np.nan),
        ("mean", 4.0, np.nan),
        ("zero", 0.0, 0.0),
        (-1.5, -1.5, -1.5),
    ],
)
def test_missing(missing, fill, raw):
    feature = Number(missing=missing, scale="none")
    state, _ = fit(feature, [1, 2, 3, 4, 10, None])
    encoded = encode(feature, state, [None, float("nan"), float("inf"), 7])
    np.testing.assert_array_equal(encoded.raw[:, 0], np.float32([raw, raw, raw, 7]))
    np.testing.assert_array_equal(encoded.scaled, np.float32([[fill, 1], [fill, 1], [fill, 1], [7, 0]]))


def test_no_indicator_when_training_had_no_missing_values():
    feature = Number()
    state, _ = fit(feature, [1, 2, 3])
    assert feature.layout("x", state).scaled == ("x",)
    assert encode(feature, state, [None]).scaled.tolist() == [[0.0]]


VALUES = [*range(1, 100), 5_000]


@pytest.mark.parametrize(
    ("scale", "points"),
    [
        ("none", {5_000: 5_000, -1: -1}),
        ("minmax", {1: 0, 5_000: 1, -50: 0, 1e30: 1, 2_500.5: 0.5}),
        ("standard", {99.5: 0.0, 1e38: 8.0, -1e38: -8.0}),
        ("robust", {50.5: 0.0, 25.75: -0.665, 75.25: 0.665, 5_000: 4.0, 1e38: 4.0, -1e38: -4.0}),
        ("quantile", {50.5: 0.0, 5_000: 2.576, 1e38: 2.576, 1: -2.576, -1e38: -2.576}),
    ],
)
def test_scale(scale, points):
    feature = Number(scale=scale)
    state, _ = fit(feature, VALUES)
    scaled = encode(feature, state, list(points)).scaled[:, 0]
    np.testing.assert_allclose(scaled, list(points.values()), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("scale", ["quantile", "standard", "robust", "minmax"])
@pytest.mark.parametrize(
    "values",
    [[5.0], [5.0, 5.0, 5.0], [0.0] * 99 + [1.0], [-3.4e38, 3.4e38], [1e-45, 2e-45], [1e8, 1e8 + 1], []],
    ids=["one", "constant", "mostly one", "whole range", "subnormal", "near", "none"],
)
def test_scale_of_awkward_columns_is_finite_and_rises(scale, values):
    feature = Number(scale=scale)
    state, _ = fit(feature, values)
    probes = sorted([*values, -1e38, -1.0, 0.0, 0.5, 1.0, 1e38])
    scaled = encode(feature, state, probes).scaled[:, 0]
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled) >= 0).all()
    assert np.abs(scaled).max() <= 8.0


def test_robust_scale_of_a_column_that_is_mostly_one_value_uses_the_deviation():
    feature = Number()
    state, _ = fit(feature, [0.0] * 95 + [100.0] * 5)
    low, high = encode(feature, state, [0.0, 100.0]).scaled[:, 0]
    assert low == 0.0
    assert 2.0 < high < 4.0


def test_quantile_scale_is_near_normal_for_a_skewed_column():
    feature = Number(scale="quantile")
    values = np.random.default_rng(0).lognormal(sigma=3, size=5_000)
    state, _ = fit(feature, values)
    scaled = encode(feature, state, values).scaled[:, 0]
    assert abs(scaled.mean()) < 0.05
    assert abs(scaled.std() - 1.0) < 0.05


@pytest.mark.parametrize(
    "options",
    [{"missing": "mode"}, {"missing": float("nan")}, {"missing": 1e39}, {"scale": "log"}, {"clip": 3}],
)
def test_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Number(**options)


def test_field_describes_the_range():
    feature = Number()
    state, _ = fit(feature, [1, 2, 5])
    assert feature.field(state) == {
        "type": ["number", "null"],
        "description": "training values from 1 to 5",
        "examples": [2],
    }


def test_reference_has_bins_and_counts_missing():
    feature = Number()
    state, statistics = fit(feature, [1, 2, 3, None])
    reference = feature.reference(statistics, state)
    assert reference == {
        "kind": "number",
        "edges": [1.0, 2.0, 3.0, 3.0],
        "counts": [1, 1, 1],
        "missing": 1,
        "rows": 4,
    }
