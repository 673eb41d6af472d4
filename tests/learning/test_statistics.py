import datetime
import math
import statistics as exact
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declarative_ml.core.errors import DataError
from declarative_ml.learning import level_statistics
from declarative_ml.learning.histograms import histogram, length_histogram, quantile_bins
from declarative_ml.learning.iso_dates import PARTS, date_parts, iso_texts
from declarative_ml.learning.moments import Moments
from declarative_ml.learning.sketches import DistinctCount, Sample
from declarative_ml.learning.statistics import (
    ColumnProfiler,
    DateStatistics,
    LevelStatistics,
    NumberStatistics,
)


def hashes_for(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 2**63, rows).astype(np.uint64)


def gather(accumulator, values, chunks=1):
    """Feed the values in so many chunks; every second one by way of a merge."""
    hashes = hashes_for(len(values))
    bounds = np.linspace(0, len(values), chunks + 1).astype(int)
    total = accumulator()
    for number, (start, stop) in enumerate(pairwise(bounds)):
        part = total if number % 2 else accumulator()
        part.update(values.slice(start, stop - start), hashes[start:stop])
        if part is not total:
            total.merge(part)
    return total


def profile(values, chunks=1, name="column"):
    return gather(lambda: ColumnProfiler(name, values.type), values, chunks).profile()


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30))
def test_moments_are_correctly_rounded(values):
    moments = Moments()
    moments.update(np.array(values))
    fractions = [exact.Fraction(value) for value in values]
    mean = sum(fractions) / len(fractions)
    assert moments.mean == float(mean)
    variance = sum((value - mean) ** 2 for value in fractions) / len(fractions)
    assert moments.std == pytest.approx(_root(variance), rel=1e-14)


def _root(value):
    """The square root of a fraction of any size."""
    return math.isqrt(int(value * 2**2400)) / 2**1200 if value else 0.0


@settings(max_examples=50, deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=30), st.randoms())
def test_moments_do_not_depend_on_the_order(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other, rest = Moments(), Moments(), Moments()
    one.update(np.array(values))
    other.update(np.array(shuffled[:1]))
    rest.update(np.array(shuffled[1:]))
    other.merge(rest)
    assert (one.mean, one.std) == (other.mean, other.std)


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e14])
def test_a_large_mean_does_not_drown_the_deviation(offset):
    moments = Moments()
    moments.update(offset + np.array([1.0, 2.0, 3.0, 4.0]))
    assert moments.std == pytest.approx(math.sqrt(1.25), rel=1e-15)


def test_moments_of_nothing():
    assert (Moments().mean, Moments().std) == (None, None)


@pytest.mark.parametrize("chunks", [1, 3, 7, 50])
def test_sample_is_the_rows_with_the_smallest_hashes(chunks):
    random = np.random.default_rng(1)
    values, hashes = random.standard_normal(5_000), random.integers(0, 1_500, 5_000).astype(np.uint64)
    sample = Sample(size=1_000)
    for part in np.array_split(np.arange(5_000), chunks):
        sample.update(values[part], hashes[part])
    expected = np.sort(values[np.lexsort((values, hashes))[:1_000]])
    np.testing.assert_array_equal(sample.sorted_values, expected)


def test_merged_samples_equal_one():
    values, hashes = np.random.default_rng(1).standard_normal(900), hashes_for(900)
    whole, first, second = Sample(100), Sample(100), Sample(100)
    whole.update(values, hashes)
    first.update(values[:500], hashes[:500])
    second.update(values[500:], hashes[500:])
    first.merge(second)
    np.testing.assert_array_equal(first.sorted_values, whole.sorted_values)


@pytest.mark.parametrize(("size", "rows", "exact"), [(1_000, 900, True), (1_000, 50_000, False)])
def test_distinct_count(size, rows, exact):
    count = DistinctCount(size)
    values = np.tile(np.arange(rows, dtype=np.float64), 2)
    for part in np.array_split(values, 7):
        other = DistinctCount(size)
        other.update(part)
        count.merge(other)
    assert count.exact is exact
    assert count.count == (rows if exact else pytest.approx(rows, rel=4 / math.sqrt(size)))


def test_both_zeros_are_one_value():
    count = DistinctCount()
    count.update(np.array([0.0, -0.0]))
    assert count.count == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1.0, None, float("nan"), float("inf"), 0.0]), (5, 3, 0.0, 1.0, 1, True)),
        (pa.array([3, 4, None], pa.int64()), (3, 1, 3.0, 4.0, 0, True)),
        (pa.array([True, False, False]), (3, 0, 0.0, 1.0, 2, True)),
        (pa.array([0.5], pa.float32()), (1, 0, 0.5, 0.5, 0, False)),
        (pa.array([2**62], pa.int64()), (1, 0, 2.0**62, 2.0**62, 0, True)),
        (pa.nulls(2, pa.float64()), (2, 2, None, None, 0, True)),
    ],
)
def test_number_statistics(values, expected):
    numbers = gather(NumberStatistics, values)
    found = (numbers.rows, numbers.missing, numbers.min, numbers.max, numbers.zeros, numbers.integral)
    assert found == expected


@pytest.mark.parametrize("chunks", [3, 7])
def test_number_statistics_do_not_depend_on_the_chunks(chunks):
    values = pa.array(np.random.default_rng(2).lognormal(size=3_000), mask=np.arange(3_000) % 9 == 0)
    one, other = (
        gather(lambda: NumberStatistics(500), values),
        gather(lambda: NumberStatistics(500), values, chunks),
    )
    assert (one.mean, one.std, one.distinct, one.rows, one.missing) == (
        other.mean,
        other.std,
        other.distinct,
        other.rows,
        other.missing,
    )
    np.testing.assert_array_equal(one.sample, other.sample)


def test_quantiles_interpolate_and_end_at_the_true_ends():
    numbers = gather(lambda: NumberStatistics(1_000), pa.array(np.arange(10_001.0)))
    assert numbers.quantiles([0.0, 1.0]).tolist() == [0.0, 10_000.0]
    assert numbers.quantiles([0.5])[0] == pytest.approx(5_000, abs=500)
    small = gather(NumberStatistics, pa.array([1.0, 2.0, 4.0]))
    assert small.quantiles([0, 0.25, 0.5, 1]).tolist() == [1.0, 1.5, 2.0, 4.0]


def test_quantiles_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no values, no quantiles"):
        NumberStatistics().quantiles([0.5])


@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_level_statistics(chunks):
    values = pa.array(["b", "a", None, "", "b", "é", "a"])
    levels = gather(LevelStatistics, values, chunks)
    assert levels.levels == [("a", 2), ("b", 2), ("é", 1)]
    assert (levels.rows, levels.missing, levels.truncated, levels.mean_length) == (7, 2, False, 1.0)


@pytest.mark.parametrize("limit", ["MAX_LEVELS", "MAX_LEVEL_CHARACTERS"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_beyond_the_limit_only_held_levels_are_counted(monkeypatch, limit, chunks):
    monkeypatch.setattr(level_statistics, limit, 2)
    levels = gather(LevelStatistics, pa.array(["a", "b", "c", "a", "d", "a"]), chunks)
    assert levels.counts == {"a": 3, "b": 1}
    assert levels.truncated
    assert levels.present == 6
    assert levels.distinct == 4


@pytest.mark.parametrize("chunks", [1, 4])
def test_beyond_the_limit_different_texts_are_estimated(monkeypatch, chunks):
    monkeypatch.setattr(level_statistics, "MAX_LEVELS", 1_000)
    texts = pa.array([f"text {place % 60_000}" for place in range(90_000)])
    found = gather(LevelStatistics, texts, chunks)
    assert len(found.counts) == 1_000
    assert found.distinct == pytest.approx(60_000, rel=0.03)
    assert found.distinct == gather(LevelStatistics, texts, 1).distinct
    first, second = LevelStatistics(), LevelStatistics()
    first.update(texts[:70_000], hashes_for(70_000))
    second.update(texts[70_000:], hashes_for(20_000))
    first.merge(second)
    assert first.distinct == found.distinct


@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_lengths_of_prose(chunks):
    texts = [f"a line of several small words and {'more ' * (place % 40)}" for place in range(400)]
    found = gather(LevelStatistics, pa.array([*texts, None, ""]), chunks)
    lengths = np.array([len(text) for text in texts])
    assert found.lengths.tolist() == np.bincount(lengths).tolist()
    profiler = ColumnProfiler("x", pa.string())
    profiler.update(pa.array(texts), hashes_for(400))
    shown = profiler.profile().lengths
    expected = np.quantile(lengths, np.linspace(0, 1, 21), method="inverted_cdf")
    assert shown.quantiles == tuple(expected.tolist())
    assert (shown.edges[0], shown.edges[-1] >= lengths.max() + 0.5) == (lengths.min() - 0.5, True)
    assert shown.counts == tuple(np.histogram(lengths, shown.edges)[0].tolist())


def test_texts_longer_than_any_count_as_the_longest():
    found = gather(LevelStatistics, pa.array(["x" * 30_000, "y" * 10_000, "z"]))
    assert (len(found.lengths), found.lengths[10_000], found.lengths[1]) == (10_001, 2, 1)
    assert found.mean_length == pytest.approx(40_001 / 3)


@pytest.mark.parametrize(
    "lengths", [[5] * 10, [1, 2, 3], [*range(1, 500), 9_000]], ids=["one", "few", "tail"]
)
def test_pictures_of_lengths(lengths):
    edges, counts, quantiles = length_histogram(np.bincount(lengths))
    assert sum(counts) == len(lengths) and len(counts) <= 20 and len(edges) == len(counts) + 1
    assert (quantiles[0], quantiles[20]) == (min(lengths), max(lengths))
    assert edges[-1] < 600


def days(year, month, day):
    return datetime.date(year, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal()


@settings(max_examples=200, deadline=None)
@given(st.datetimes())
def test_date_parts_agree_with_the_calendar(moment):
    moment = moment.replace(microsecond=0)
    parts, valid = date_parts(pa.array([moment.isoformat()]))
    found = dict(zip(PARTS, parts[0].tolist(), strict=True))
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    assert valid.all()
    assert found == {
        "days": days(moment.year, moment.month, moment.day) + seconds / 86_400,
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "weekday": moment.weekday(),
        "yearday": moment.timetuple().tm_yday,
        "hour": moment.hour,
    }


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1970-01-01", 0.0),
        ("1969-12-31T12:00:00", -0.5),
        ("2023-02-30", days(2023, 3, 2)),
        ("0000-01-01", -719_528.0),
        ("9999-12-31", days(9999, 12, 31)),
    ],
)
def test_days_of_a_text(text, day):
    parts, valid = date_parts(pa.array([None, text, "x"]).slice(1))
    assert valid.tolist() == [True, False]
    assert parts[:, 0].tolist() == [day, 0.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-1-01",
        "2024-13-01",
        "2024-01-32",
        "2024-01-01 00:00:00",
        "2024-01-01\n",
        "2024-01-01T24:00:00",
        "２０２４-01-01",
        "20240101  ",
        "2024-01-01T00:00:0é",
    ],
)
def test_other_texts_are_no_dates(text):
    assert date_parts(pa.array([text]))[1].tolist() == [False]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([datetime.date(2024, 2, 29), None]), ["2024-02-29", None]),
        (
            pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 678)], pa.timestamp("us")),
            ["2024-01-02T03:04:05"],
        ),
        (pa.array(["2024-01-02"]), ["2024-01-02"]),
    ],
)
def test_iso_texts(values, texts):
    assert iso_texts(values).to_pylist() == texts


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_date_statistics(chunks):
    dates = gather(DateStatistics, pa.array(["2024-05-01", None, "2024-06-01T06:00:00", "soon"]), chunks)
    assert (dates.rows, dates.missing, dates.has_time) == (4, 2, True)
    assert [part for part in PARTS if dates.varies(part)] == ["days", "month", "weekday", "yearday", "hour"]
    assert dates.days.max == days(2024, 6, 1) + 0.25


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            pa.array([3, 1, 1, None], pa.int64()),
            {
                "dtype": "int64",
                "rows": 4,
                "missing": 1,
                "distinct": 2,
                "distinct_exact": True,
                "unique": False,
                "top": (("1", 2), ("3", 1)),
                "integral": True,
                "mean": 5 / 3,
                "min": 1.0,
                "max": 3.0,
            },
        ),
        (
            pa.array([0.5, 2.0]),
            {
                "dtype": "float64",
                "unique": True,
                "constant": False,
                "top": (("0.5", 1), ("2", 1)),
                "integral": False,
            },
        ),
        (pa.array([True, True]), {"dtype": "bool", "constant": True, "top": (("true", 2),), "distinct": 1}),
        (
            pa.array(["b", "a", "b", None, ""]),
            {"dtype": "string", "missing": 2, "top": (("b", 2), ("a", 1)), "mean_length": 1.0, "mean": None},
        ),
        (
            pa.array([datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)]),
            {"dtype": "date", "has_time": False, "top": (("2024-02-29", 1), ("2024-03-01", 1))},
        ),
        (
            pa.array([datetime.datetime(2024, 2, 29, 5)], pa.timestamp("us")),
            {"dtype": "timestamp", "has_time": True, "top": (("2024-02-29T05:00:00", 1),), "constant": True},
        ),
        (pa.nulls(3, pa.string()), {"missing": 3, "distinct": 0, "constant": True, "top": ()}),
        (pa.nulls(3, pa.int64()), {"missing": 3, "distinct": 0, "unique": False, "edges": ()}),
        (pa.nulls(3, pa.date32()), {"missing": 3, "distinct": 0, "constant": True, "unique": False}),
    ],
    ids=str,
)
def test_profile(values, expected):
    found = profile(values)
    assert {key: getattr(found, key) for key in expected} == expected
    assert type(found).model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("chunks", [3, 7])
@pytest.mark.parametrize(
    "values",
    [
        pa.array(np.random.default_rng(0).standard_normal(700)),
        pa.array(np.random.default_rng(0).integers(0, 9, 700).astype(str)),
        pa.array(np.random.default_rng(0).integers(0, 9_000, 700).astype(np.int32), pa.date32()),
    ],
    ids=["number", "text", "date"],
)
def test_profile_does_not_depend_on_the_chunks(values, chunks):
    assert profile(values, chunks) == profile(values)


def test_profile_cuts_long_texts():
    top = profile(pa.array(["x" * 5_000])).top
    assert top == (("x" * 200 + "…", 1),)


def test_profile_refuses_nested_types():
    with pytest.raises(
        DataError, match=r"column 'tags' has the type list<.*>, which no feature can take"
    ) as caught:
        profile(pa.array([[1, 2]]), name="tags")
    assert "exclude" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "bins", "ends"),
    [
        ([1.0, 2.0, 2.0, 5.0], 5, (0.5, 5.5)),
        ([7.5, 7.5], 1, (7.0, 8.0)),
        (list(np.linspace(0, 1, 101)), 20, (0.0, 1.0)),
        ([*np.linspace(0, 1, 1_000), 1e38], 20, (0.005, 0.995)),
    ],
)
def test_histogram_counts_every_value(values, bins, ends):
    edges, counts = histogram(gather(NumberStatistics, pa.array(values)))
    assert (len(edges) - 1, len(counts), sum(counts)) == (bins, bins, len(values))
    assert (edges[0], edges[-1]) == pytest.approx(ends, abs=1e-3)


def test_values_from_one_end_of_the_numbers_to_the_other():
    values = [-1.7e308, -1.0, 0.0, 1.0, 1.7e308]
    found = gather(NumberStatistics, pa.array(values))
    edges, counts = histogram(found)
    assert (edges[0], edges[-1], sum(counts)) == (-1.7e308, 1.7e308, len(values))
    assert np.isfinite(edges).all() and (np.diff(np.asarray(edges) / 2) > 0).all()
    assert (counts[0], counts[9] + counts[10], counts[-1]) == (1, 3, 1)
    assert found.quantiles([0.0, 0.125, 0.5, 1.0]).tolist() == [-1.7e308, -0.85e308, 0.0, 1.7e308]


def test_quantile_bins():
    bins = quantile_bins(gather(NumberStatistics, pa.array([*range(100), None])))
    assert len(bins["counts"]) == 20
    assert (sum(bins["counts"]), bins["missing"], bins["rows"]) == (100, 1, 101)
    assert max(bins["counts"]) - min(bins["counts"]) <= 2
    assert bins["edges"] == sorted(bins["edges"])


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [([4.0, 4.0], [4.0, 4.0], [2]), ([0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [3, 1]), ([None], [], [])],
)
def test_quantile_bins_of_few_values(values, edges, counts):
    bins = quantile_bins(gather(NumberStatistics, pa.array(values, pa.float64())))
    assert (bins["edges"], bins["counts"]) == (edges, counts)
