"""Bootstrap intervals: how far a metric would move on other rows of the same kind.

Percentile intervals (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). A
resample is a row of counts, so a metric is computed for many resamples at once and its rows are sorted
only once. With more than `ROW_CAP` rows, the resamples are drawn from that many rows chosen at random,
and the deviations shrink by the square root of the ratio (the m out of n bootstrap; Bickel, Götze &
van Zwet, Statistica Sinica 1997): the cost stays bounded and the point estimate still sees every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from declarative_ml.learning.metrics import checked, compute
from declarative_ml.learning.task import Task

ROW_CAP = 20_000
_BLOCK = 1_000_000
"""Numbers in one block of resamples: small enough for the processor's cache to help."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(positions of rows [n], weights [B, n] of those rows) -> values [B]."""


def interval(
    name: str,
    task: Task,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
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
    )
    return found[name]


def intervals(
    names: Sequence[str],
    task: Task,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Metric -> interval, as `interval` gives it. All metrics see the same resamples, drawn once."""

    def of(name: str) -> Statistic:
        metric, known, guess = checked(name, task, truth, prediction)
        return lambda rows, weights: compute(metric, known[rows], guess[rows], weights, threshold)

    found = _estimate([of(name) for name in names], len(truth), weight, resamples, seed, level)
    return {name: (low, high) for name, (_, low, high) in zip(names, found, strict=True)}


def mean_interval(
    values: np.ndarray, *, resamples: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean of `values` [N] and its interval: (mean, low, high); NaN without values."""
    values = np.asarray(values, dtype=np.float64)

    def statistic(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ values[rows] / weights.sum(axis=1))

    return _estimate([statistic], len(values), None, resamples, seed, level)[0]


def paired_difference(
    name: str,
    task: Task,
    truth: np.ndarray,
    prediction_a: np.ndarray,
    prediction_b: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
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
    )
    return found[name]


def paired_differences(
    names: Sequence[str],
    task: Task,
    truth: np.ndarray,
    prediction_a: np.ndarray,
    prediction_b: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float, float]]:
    """Metric -> difference and interval, as `paired_difference` gives it; all see the same resamples."""

    def of(name: str) -> Statistic:
        metric, known, guess_a = checked(name, task, truth, prediction_a)
        guess_b = checked(name, task, truth, prediction_b)[2]

        def statistic(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
            first = compute(metric, known[rows], guess_a[rows], weights, threshold_a)
            return np.asarray(first - compute(metric, known[rows], guess_b[rows], weights, threshold_b))

        return statistic

    found = _estimate([of(name) for name in names], len(truth), weight, resamples, seed, level)
    return dict(zip(names, found, strict=True))


def _estimate(
    statistics: Sequence[Statistic],
    count: int,
    weight: np.ndarray | None,
    resamples: int,
    seed: int,
    level: float,
) -> list[tuple[float, float, float]]:
    """Each statistic of all rows, and its interval."""
    if count == 0:
        return [(float("nan"), float("nan"), float("nan"))] * len(statistics)
    weights = np.ones(count) if weight is None else np.asarray(weight, dtype=np.float64)
    random = np.random.default_rng(seed)
    rows = np.arange(count)
    if count > ROW_CAP:
        rows = np.sort(random.choice(count, ROW_CAP, replace=False))
    drawn = _resampled(statistics, rows, weights[rows], resamples, random)
    return [
        _bounds(statistic, rows, weights, values, level)
        for statistic, values in zip(statistics, drawn, strict=True)
    ]


def _resampled(
    statistics: Sequence[Statistic],
    rows: np.ndarray,
    weights: np.ndarray,
    resamples: int,
    random: np.random.Generator,
) -> list[np.ndarray]:
    """The values [resamples] of each statistic."""
    count = len(rows)
    block = max(1, _BLOCK // count)
    values: list[list[np.ndarray]] = [[] for _ in statistics]
    for start in range(0, resamples, block):
        draws = [random.integers(0, count, count) for _ in range(min(block, resamples - start))]
        resampled = np.stack([np.bincount(draw, minlength=count) for draw in draws]) * weights
        for statistic, found in zip(statistics, values, strict=True):
            found.append(statistic(rows, resampled))
    return [np.concatenate(found) for found in values]


def _bounds(
    statistic: Statistic, rows: np.ndarray, weights: np.ndarray, values: np.ndarray, level: float
) -> tuple[float, float, float]:
    """The statistic of all rows, and its interval from its `values` on resamples of `rows`."""
    count, resamples = len(weights), len(values)
    value = float(statistic(np.arange(count), weights[None, :])[0])
    values = values[np.isfinite(values)]
    if np.isnan(value) or 2 * len(values) < resamples:
        return value, float("nan"), float("nan")
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    if len(rows) < count:
        centre = float(statistic(rows, weights[None, rows])[0])
        shrink = np.sqrt(len(rows) / count)
        low, high = value + (low - centre) * shrink, value + (high - centre) * shrink
    return value, float(low), float(high)
