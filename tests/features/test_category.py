import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.features.category import Category, default_min_count
from declarative_ml.learning.statistics import ColumnProfiler


def fit(feature, values):
    statistics = feature.accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return feature.fit(statistics), statistics


def codes(feature, state, values):
    return feature.encode(pa.array(values, pa.string()), state).codes[:, 0].tolist()


@pytest.mark.parametrize(
    ("values", "inferred"),
    [
        (["a", "b", "a", "b"], True),
        (["a", "b", "c", "d", "a", "b"], False),
        (["a", None, None, None], True),
        ([f"id{number}" for number in range(50)], False),
        (["x"] * 99 + ["a very long text of its own"], True),
        ([f"name{number}" for number in range(50)] + [None] * 20, True),
        ([f"name{number}" for number in range(50)] + [None] * 19, False),
        ([f"name{number}" for number in range(19)] + [None] * 15, False),
        ([f"name{number}" for number in range(2_500)] + [None] * 20, False),
    ],
)
def test_infer(values, inferred):
    profiler = ColumnProfiler("x", pa.string())
    profiler.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    assert (Category.infer(profiler.profile()) is not None) is inferred


def test_numbers_are_not_inferred_as_categories():
    profiler = ColumnProfiler("x", pa.int64())
    profiler.update(pa.array([1, 2, 1, 2]), np.arange(4, dtype=np.uint64))
    assert Category.infer(profiler.profile()) is None


def test_codes_go_by_count_then_name():
    feature = Category(min_count=1)
    state, _ = fit(feature, ["c", "b", "b", "a", None])
    assert state["levels"] == ["b", "a", "c"]
    assert codes(feature, state, ["b", "a", "c", "B", "", None]) == [2, 3, 4, 1, 0, 0]
    column = feature.layout("x", state).codes[0]
    assert (column.name, column.cardinality) == ("x", 5)


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({}, ["a", "b"]),
        ({"min_count": 1}, ["a", "b", "c"]),
        ({"min_count": 3}, ["a"]),
        ({"max_levels": 1}, ["a"]),
    ],
)
def test_rare_levels_are_not_kept(options, levels):
    assert fit(Category(**options), ["a"] * 3 + ["b"] * 2 + ["c"])[0]["levels"] == levels


@pytest.mark.parametrize(("unseen", "code"), [("other", 1), ("missing", 0)])
def test_unseen(unseen, code):
    feature = Category(unseen=unseen)
    state, _ = fit(feature, ["a", "a", "rare"])
    assert codes(feature, state, ["a", "rare", "new", None]) == [2, code, code, 0]


@pytest.mark.parametrize(("rows", "least"), [(0, 2), (100, 2), (10_000, 3), (100_000, 5), (1_000_000, 10)])
def test_default_min_count(rows, least):
    assert default_min_count(rows) == least


@pytest.mark.parametrize(
    "options", [{"max_levels": 0}, {"min_count": 0}, {"unseen": "error"}, {"max_level": 3}]
)
def test_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Category(**options)


def test_field_lists_few_levels_only():
    few, _ = fit(Category(), ["a", "a", "b", "b"])
    many, _ = fit(Category(), [str(number) for number in range(60)] * 2)
    assert Category().field(few) == {
        "type": ["string", "null"],
        "examples": ["a", "b"],
        "enum": ["a", "b", None],
    }
    assert "enum" not in Category().field(many)


def test_reference_counts_levels_others_and_missing():
    feature = Category()
    state, statistics = fit(feature, ["a", "a", "b", "", None])
    assert feature.reference(statistics, state) == {
        "kind": "category",
        "levels": ["a"],
        "counts": [2],
        "other": 1,
        "missing": 2,
        "rows": 5,
    }
