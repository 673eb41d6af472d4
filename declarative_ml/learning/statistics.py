"""Mergeable statistics of a stream of column blocks, and the column profile made from them.

An accumulator sees blocks of one column with the rows' hashes. `update` per block and `merge` give
the same result, to the last bit, however the rows are cut into blocks: sums are exact, and quantiles
come from the rows with the smallest hashes (a bottom-k sample: uniform, mergeable, exact while there
are at most k rows; Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.errors import DataError
from declarative_ml.learning.accumulator import Accumulator as Accumulator
from declarative_ml.learning.histograms import halved, histogram, length_histogram, most_frequent
from declarative_ml.learning.iso_dates import PARTS, date_parts, iso_from_days, iso_texts
from declarative_ml.learning.level_statistics import LevelStatistics as LevelStatistics
from declarative_ml.learning.moments import Moments
from declarative_ml.learning.sketches import SAMPLE_SIZE, DistinctCount, Sample
from declarative_ml.learning.words import is_prose, wording

if TYPE_CHECKING:
    import pyarrow as pa

TOP_VALUES = 20
_SHOWN = 200
"""Characters of a text that the profile shows."""

ColumnDtype = Literal["int64", "float64", "bool", "date", "timestamp", "string"]


class NumberStatistics(Accumulator):
    """Numbers. Null, NaN and infinity are missing. Memory is bounded by `sample_size` values."""

    def __init__(self, sample_size: int = SAMPLE_SIZE) -> None:
        self.moments = Moments()
        self.zeros = 0
        self.integral = True
        """Whether every value is a whole number (true without values)."""
        self._low, self._high = np.inf, -np.inf
        self._sample = Sample(sample_size)
        self._distinct = DistinctCount()

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block of any numeric or boolean type."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.update_numbers(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False), hashes)

    def update_numbers(self, numbers: np.ndarray, hashes: np.ndarray) -> None:
        """Add a block of float64 values [N]."""
        finite = np.isfinite(numbers)
        kept = numbers[finite]
        self.rows += len(numbers)
        self.missing += len(numbers) - len(kept)
        if not len(kept):
            return
        self.moments.update(kept)
        self._low = min(self._low, float(kept.min()))
        self._high = max(self._high, float(kept.max()))
        self.zeros += int(np.count_nonzero(kept == 0))
        self.integral = self.integral and bool(np.all(kept == np.rint(kept)))
        self._sample.update(kept, hashes[finite])
        self._distinct.update(kept)

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.moments.merge(other.moments)
        self._low = min(self._low, other._low)
        self._high = max(self._high, other._high)
        self.zeros += other.zeros
        self.integral = self.integral and other.integral
        self._sample.merge(other._sample)
        self._distinct.merge(other._distinct)

    @property
    def min(self) -> float | None:
        """The smallest present value."""
        return self._low if self.present else None

    @property
    def max(self) -> float | None:
        """The largest present value."""
        return self._high if self.present else None

    @property
    def mean(self) -> float | None:
        """The mean of the present values."""
        return self.moments.mean

    @property
    def std(self) -> float | None:
        """The standard deviation (divisor N) of the present values."""
        return self.moments.std

    @property
    def distinct(self) -> int:
        """The number of different values; an estimate (0.4 %) unless `distinct_exact`."""
        return self._distinct.count

    @property
    def distinct_exact(self) -> bool:
        """Whether `distinct` is the true number."""
        return self._distinct.exact

    @property
    def sample(self) -> np.ndarray:
        """Sampled values in ascending order, float64; all of them up to `sample_size` rows."""
        return self._sample.sorted_values

    def quantiles(self, shares: Sequence[float] | np.ndarray) -> np.ndarray:
        """The values at these shares (0..1), interpolated; the ends are the true min and max.

        Raises ValueError without present values.
        """
        if not self.present:
            raise ValueError("no values, no quantiles")
        places = np.asarray(shares, dtype=np.float64) * (len(self.sample) - 1)
        scale = halved(self._low, self._high)
        points: np.ndarray = np.interp(places, np.arange(len(self.sample)), self.sample * scale) / scale
        points[places <= 0], points[places >= len(self.sample) - 1] = self._low, self._high
        return points

    def scaled_counts(self, sampled: np.ndarray) -> list[int]:
        """Counts of sampled rows as (estimated) counts of all present rows."""
        size = len(self.sample)
        return [round(int(count) * self.present / size) for count in sampled] if size else []


class DateStatistics(Accumulator):
    """Dates, as ISO texts or Arrow dates and timestamps: numbers of days, and the range of each part."""

    def __init__(self, sample_size: int = SAMPLE_SIZE) -> None:
        self.days = NumberStatistics(sample_size)
        """Statistics of the days since 1970-01-01, the time of day as fraction."""
        self.has_time = False
        """Whether any value has a time other than midnight."""
        self.low = np.full(len(PARTS), np.inf)
        self.high = np.full(len(PARTS), -np.inf)

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block; texts that are not ISO dates are missing."""
        parts, valid = date_parts(iso_texts(values))
        self.rows += len(valid)
        self.missing += len(valid) - int(np.count_nonzero(valid))
        self.days.update_numbers(np.where(valid, parts[:, 0], np.nan), hashes)
        kept = parts[valid]
        if len(kept):
            self.low = np.minimum(self.low, kept.min(axis=0))
            self.high = np.maximum(self.high, kept.max(axis=0))
            self.has_time = self.has_time or bool(np.any(kept[:, 0] % 1))

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.days.merge(other.days)
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)
        self.has_time = self.has_time or other.has_time

    def varies(self, part: str) -> bool:
        """Whether this one of PARTS takes more than one value."""
        index = PARTS.index(part)
        return bool(self.low[index] < self.high[index])


class Lengths(Section):
    """How many characters the present texts have; those beyond MAX_LENGTH count as that long."""

    quantiles: tuple[int, ...] = Field(description="0, 5, … 100 %: 21 numbers")
    edges: tuple[float, ...] = Field(description="Of the histogram; the last bin holds all longer ones")
    counts: tuple[int, ...] = Field(description="Rows in each bin")


class ColumnProfile(Section):
    """What is known about one column (JSON). Counts of sampled values are scaled up to all rows."""

    name: str
    dtype: ColumnDtype
    rows: int
    missing: int
    distinct: int = Field(description="Different present values; see distinct_exact")
    distinct_exact: bool = Field(description="false: an estimate")
    unique: bool = Field(description="No present value occurs twice, as far as can be told")
    constant: bool = Field(description="At most one different present value")
    top: tuple[tuple[str, int], ...] = Field(default=(), description="The most frequent values, as raw text")
    mean: float | None = None
    std: float | None = None
    min: float | None = Field(default=None, description="Numbers; dates: days since 1970-01-01")
    max: float | None = None
    zeros: int = 0
    quantiles: tuple[float, ...] = Field(default=(), description="0, 5, … 100 %: 21 numbers")
    edges: tuple[float, ...] = Field(default=(), description="Of the histogram; end bins hold all outside")
    counts: tuple[int, ...] = Field(default=(), description="Rows in each bin")
    mean_length: float | None = Field(default=None, description="Characters of the present texts")
    lengths: Lengths | None = Field(default=None, description="Of prose")
    words: float | None = Field(default=None, description="Median number of words of the different texts")
    lower: float | None = Field(default=None, description="Share of words that begin with a small letter")
    integral: bool = Field(default=False, description="Numbers: all are whole")
    has_time: bool = Field(default=False, description="Dates: some have a time of day")

    @property
    def present(self) -> int:
        """Rows that hold a value."""
        return self.rows - self.missing


class ColumnProfiler:
    """Builds the profile of one column from typed Arrow blocks, whatever its type."""

    def __init__(self, name: str, arrow_type: pa.DataType) -> None:
        """Raises DataError for an Arrow type that no rule yields."""
        self.name = name
        self.dtype = column_dtype(name, arrow_type)
        self.statistics: NumberStatistics | LevelStatistics | DateStatistics
        if self.dtype == "string":
            self.statistics = LevelStatistics()
        elif self.dtype in ("date", "timestamp"):
            self.statistics = DateStatistics()
        else:
            self.statistics = NumberStatistics()

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block: its values [N] and the uint64 hashes [N] of their rows."""
        self.statistics.update(values, hashes)

    def merge(self, other: ColumnProfiler) -> None:
        """Add the blocks that `other`, a profiler of the same column, has seen."""
        self.statistics.merge(other.statistics)  # type: ignore[arg-type]

    def profile(self) -> ColumnProfile:
        """The profile of what has been seen so far."""
        if isinstance(self.statistics, LevelStatistics):
            return self._of_levels(self.statistics)
        if isinstance(self.statistics, DateStatistics):
            profile = self._of_numbers(self.statistics.days, is_date=True)
            return profile.model_copy(update={"has_time": self.statistics.has_time, "integral": False})
        return self._of_numbers(self.statistics, is_date=False)

    def _of_levels(self, levels: LevelStatistics) -> ColumnProfile:
        texts, counts = levels.ranked
        words, lower = wording(texts)
        top = zip(texts[:TOP_VALUES].to_pylist(), counts[:TOP_VALUES].tolist(), strict=True)
        return ColumnProfile(
            name=self.name,
            dtype=self.dtype,
            rows=levels.rows,
            missing=levels.missing,
            distinct=levels.distinct,
            distinct_exact=not levels.truncated,
            unique=len(texts) > 0 and bool(counts[0] == 1),
            constant=len(texts) <= 1,
            top=tuple((_shown(text), count) for text, count in top),
            mean_length=levels.mean_length,
            lengths=_lengths(levels.lengths) if is_prose(words, lower) else None,
            words=words,
            lower=lower,
        )

    def _of_numbers(self, numbers: NumberStatistics, *, is_date: bool) -> ColumnProfile:
        common = {
            "name": self.name,
            "dtype": self.dtype,
            "rows": numbers.rows,
            "missing": numbers.missing,
            "distinct": numbers.distinct,
            "distinct_exact": numbers.distinct_exact,
            "constant": numbers.distinct <= 1,
        }
        if not numbers.present:
            return ColumnProfile(**common, unique=False)
        edges, counts = histogram(numbers)
        expected = numbers.present * (1.0 if numbers.distinct_exact else 0.98)
        return ColumnProfile(
            **common,
            unique=numbers.distinct >= expected,
            top=tuple((self._text(value), count) for value, count in most_frequent(numbers, TOP_VALUES)),
            mean=numbers.mean,
            std=numbers.std,
            min=numbers.min,
            max=numbers.max,
            zeros=numbers.zeros,
            quantiles=tuple(numbers.quantiles(np.linspace(0, 1, 21)).tolist()),
            edges=edges,
            counts=counts,
            integral=numbers.integral,
        )

    def _text(self, value: float) -> str:
        """The value as the raw column spells it."""
        if self.dtype == "bool":
            return "true" if value else "false"
        if self.dtype in ("date", "timestamp"):
            return iso_from_days(value, with_time=self.dtype == "timestamp")
        return str(int(value)) if value.is_integer() else repr(value)


def column_dtype(name: str, arrow_type: pa.DataType) -> ColumnDtype:
    """The dtype name of a typed column. Raises DataError naming the column for any other type."""
    import pyarrow as pa

    kinds: tuple[tuple[ColumnDtype, bool], ...] = (
        ("bool", pa.types.is_boolean(arrow_type)),
        ("int64", pa.types.is_integer(arrow_type)),
        ("float64", pa.types.is_floating(arrow_type)),
        ("date", pa.types.is_date(arrow_type)),
        ("timestamp", pa.types.is_timestamp(arrow_type)),
        ("string", pa.types.is_string(arrow_type)),
    )
    for dtype, fits in kinds:
        if fits:
            return dtype
    raise DataError(
        f"column '{name}' has the type {arrow_type}, which no feature can take",
        hint="cast it to a number, a text or a date in `data.sql`, or list it under `exclude`",
    )


def _lengths(counted: np.ndarray) -> Lengths:
    edges, counts, quantiles = length_histogram(counted)
    return Lengths(edges=edges, counts=counts, quantiles=quantiles)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
