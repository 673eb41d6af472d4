import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.features.binary import Binary
from declarative_ml.learning.statistics import ColumnProfiler


def fit(values):
    statistics = Binary().accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return Binary().fit(statistics), statistics


@pytest.mark.parametrize(
    ("values", "inferred"),
    [
        (pa.array([True, False]), True),
        (pa.array(["a", "b", None]), True),
        (pa.array([0, 1, 1], pa.int64()), True),
        (pa.array([0, 1, 2], pa.int64()), False),
        (pa.array(["a", "b", "c"]), False),
        (pa.array([0.5, 1.5]), False),
    ],
)
def test_infer(values, inferred):
    profiler = ColumnProfiler("x", values.type)
    profiler.update(values, np.arange(len(values), dtype=np.uint64))
    assert (Binary.infer(profiler.profile()) is not None) is inferred


@pytest.mark.parametrize(
    ("values", "zero", "one"),
    [
        (["No", "Yes"], "No", "Yes"),
        (["absent", "Y"], "absent", "Y"),
        (["yes", "zero"], "zero", "yes"),
        (["true", "false"], "false", "true"),
        (["T", "f"], "f", "T"),
        (["1", "2"], "2", "1"),
        (["female", "male"], "female", "male"),
    ],
)
def test_the_affirmative_value_is_one(values, zero, one):
    state, _ = fit(values)
    encoded = Binary().encode(pa.array([zero, one]), state)
    assert encoded.raw.tolist() == [[0.0], [1.0]]
    assert encoded.scaled.tolist() == [[-1.0], [1.0]]


def test_missing_and_unseen():
    state, _ = fit(["no", "yes"])
    encoded = Binary().encode(pa.array(["", None, "NO", "maybe"]), state)
    assert np.isnan(encoded.raw).all()
    assert encoded.scaled.tolist() == [[0.0]] * 4


@pytest.mark.parametrize(("value", "number"), [("yes", 1.0), ("no", 0.0), ("x", 0.0)])
def test_one_value_alone(value, number):
    state, _ = fit([value, value])
    assert Binary().encode(pa.array([value]), state).raw.tolist() == [[number]]


def test_a_third_value_is_refused():
    with pytest.raises(
        DataError, match=r"has 3 different values in the training rows: 'b', 'a', 'c'"
    ) as caught:
        fit(["a", "b", "b", "c"])
    assert caught.value.hint == "declare the column as `category`"


def test_field_and_reference():
    state, statistics = fit(["no", "yes", "no", None])
    assert Binary().field(state) == {
        "type": ["string", "null"],
        "examples": ["no", "yes"],
        "enum": ["no", "yes", None],
    }
    assert Binary().reference(statistics, state) == {
        "kind": "category",
        "levels": ["no", "yes"],
        "counts": [2, 1],
        "other": 0,
        "missing": 1,
        "rows": 4,
    }
