"""Bootstrap intervals: how far a metric would move on other rows of the same kind.

Percentile intervals (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). A
resample is a row of counts, so a metric is computed for many resamples at once and its rows are sorted
only once. With more than `ROW_CAP` rows, the resamples are drawn from that many rows chosen at random,
and the deviations shrink by the square root of the ratio (the m out of n bootstrap; Bickel, Götze &
van Zwet, Statistica Sinica 1997): the cost stays bounded and the point estimate still sees every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from declarative_ml.learning.metrics import checked, compute, score
from declarative_ml.learning.scores import Rows, scores
from declarative_ml.learning.sums import mean_of
from declarative_ml.learning.task import Task

ROW_CAP = 20_000
_BLOCK = 1_000_000
"""Numbers in one block of resamples: small enough for the processor's cache to help."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights [B, n] of the rows of a sample -> values [B]."""


@dataclass(frozen=True)
class _Measure:
    """What an interval is wanted of."""

    whole: Callable[[], float]
    """Its value on all rows."""
    on: Callable[[np.ndarray], Statistic]
    """On some rows, by ascending positions: only those are read."""


def interval(
    name: str,
    task: Task,
    truth: Rows,
    prediction: Rows,
    *,
    weight: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    known: Mapping[str, float] | None = None,
    scratch: Path | None = None,
) -> tuple[float, float]:
    """The interval (low, high) of the metric `name`; arguments as for `metrics.score`.

    (nan, nan) where the metric is undefined on these rows or on most of their resamples.
    """
    found = intervals(
        [name],
        task,
        truth,
        prediction,
        weight=weight,
        threshold=threshold,
        resamples=resamples,
        seed=seed,
        level=level,
        known=known,
        scratch=scratch,
    )
    return found[name]


def intervals(
    names: Sequence[str],
    task: Task,
    truth: Rows,
    prediction: Rows,
    *,
    weight: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    known: Mapping[str, float] | None = None,
    scratch: Path | None = None,
) -> dict[str, tuple[float, float]]:
    """Metric -> interval, as `interval` gives it. All metrics see the same resamples, drawn once.

    `known`: scores of all rows that need not be computed again. `scratch`: see `scores.scores`.
    """
    values = {} if known is None else known

    def of(name: str) -> _Measure:
        def whole() -> float:
            if name in values:
                return values[name]
            return _scored(name, task, truth, prediction, weight, threshold, scratch)

        return _Measure(whole, _on_sample(name, task, truth, prediction, threshold))

    found = _estimate([of(name) for name in names], len(truth), weight, resamples, seed, level)
    return {name: (low, high) for name, (_, low, high) in zip(names, found, strict=True)}


def _scored(
    name: str,
    task: Task,
    truth: Rows,
    prediction: Rows,
    weight: np.ndarray | None,
    threshold: float,
    scratch: Path | None,
) -> float:
    if weight is None:
        return scores([name], task, truth, prediction, threshold=threshold, scratch=scratch)[name]
    known, guess = np.asarray(truth), np.asarray(prediction)
    return score(name, task, known, guess, weight=weight, threshold=threshold)


def _on_sample(
    name: str, task: Task, truth: Rows, prediction: Rows, threshold: float
) -> Callable[[np.ndarray], Statistic]:
    def on(rows: np.ndarray) -> Statistic:
        metric, known, guess = checked(name, task, truth[rows], prediction[rows])
        return lambda weights: compute(metric, known, guess, weights, threshold)

    return on


def mean_interval(
    values: Rows, *, resamples: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean of `values` [N] and its interval: (mean, low, high); NaN without values."""

    def on(rows: np.ndarray) -> Statistic:
        drawn = np.asarray(values[rows], dtype=np.float64)
        return lambda weights: np.asarray(weights @ drawn / weights.sum(axis=1))

    return _estimate([_Measure(lambda: mean_of(values), on)], len(values), None, resamples, seed, level)[0]


def paired_difference(
    name: str,
    task: Task,
    truth: Rows,
    prediction_a: Rows,
    prediction_b: Rows,
    *,
    weight: np.ndarray | None = None,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    scratch: Path | None = None,
) -> tuple[float, float, float]:
    """The metric of `prediction_a` minus that of `prediction_b` on the same rows: (difference, low, high).

    Both are computed on the same resamples, so what is easy or hard for both cancels out. The sign is
    the metric's own: for a loss, a negative difference says that `prediction_a` is better.
    """
    found = paired_differences(
        [name],
        task,
        truth,
        prediction_a,
        prediction_b,
        weight=weight,
        threshold_a=threshold_a,
        threshold_b=threshold_b,
        resamples=resamples,
        seed=seed,
        level=level,
        scratch=scratch,
    )
    return found[name]


def paired_differences(
    names: Sequence[str],
    task: Task,
    truth: Rows,
    prediction_a: Rows,
    prediction_b: Rows,
    *,
    weight: np.ndarray | None = None,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    scratch: Path | None = None,
) -> dict[str, tuple[float, float, float]]:
    """Metric -> difference and interval, as `paired_difference` gives it; all see the same resamples."""

    sides = ((prediction_a, threshold_a), (prediction_b, threshold_b))

    def of(name: str) -> _Measure:
        def whole() -> float:
            first, second = (
                _scored(name, task, truth, prediction, weight, threshold, scratch)
                for prediction, threshold in sides
            )
            return first - second

        def on(rows: np.ndarray) -> Statistic:
            first, second = (
                _on_sample(name, task, truth, prediction, threshold)(rows) for prediction, threshold in sides
            )
            return lambda weights: np.asarray(first(weights) - second(weights))

        return _Measure(whole, on)

    found = _estimate([of(name) for name in names], len(truth), weight, resamples, seed, level)
    return dict(zip(names, found, strict=True))


def _estimate(
    measures: Sequence[_Measure],
    count: int,
    weight: np.ndarray | None,
    resamples: int,
    seed: int,
    level: float,
) -> list[tuple[float, float, float]]:
    """Each measure of all rows, and its interval."""
    if count == 0:
        return [(float("nan"), float("nan"), float("nan"))] * len(measures)
    random = np.random.default_rng(seed)
    rows = np.arange(min(count, ROW_CAP))
    if count > ROW_CAP:
        rows = np.sort(random.choice(count, ROW_CAP, replace=False))
    weights = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)[rows]
    statistics = [measure.on(rows) for measure in measures]
    drawn = _resampled(statistics, weights, resamples, random)
    return [
        _bounds(measure.whole(), statistic, weights, count, values, level)
        for measure, statistic, values in zip(measures, statistics, drawn, strict=True)
    ]


def _resampled(
    statistics: Sequence[Statistic], weights: np.ndarray, resamples: int, random: np.random.Generator
) -> list[np.ndarray]:
    """The values [resamples] of each statistic."""
    count = len(weights)
    block = max(1, _BLOCK // count)
    values: list[list[np.ndarray]] = [[] for _ in statistics]
    for start in range(0, resamples, block):
        draws = [random.integers(0, count, count) for _ in range(min(block, resamples - start))]
        resampled = np.stack([np.bincount(draw, minlength=count) for draw in draws]) * weights
        for statistic, found in zip(statistics, values, strict=True):
            found.append(statistic(resampled))
    return [np.concatenate(found) for found in values]


def _bounds(
    value: float, statistic: Statistic, weights: np.ndarray, count: int, values: np.ndarray, level: float
) -> tuple[float, float, float]:
    """The `value` of all `count` rows, and its interval from `values` on resamples of some, whose weights
    are `weights` [n]."""
    resamples, values = len(values), values[np.isfinite(values)]
    if np.isnan(value) or 2 * len(values) < resamples:
        return value, float("nan"), float("nan")
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    if len(weights) < count:
        centre = float(statistic(weights[None, :])[0])
        shrink = np.sqrt(len(weights) / count)
        low, high = value + (low - centre) * shrink, value + (high - centre) * shrink
    return value, float(low), float(high)
