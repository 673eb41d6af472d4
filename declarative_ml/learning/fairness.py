"""How differently a model treats groups of rows: rates and means by group, their gap and its interval.

selection_rate: demographic parity (Dwork et al., "Fairness through awareness", ITCS 2012); tpr: equal
opportunity, and with fpr equalized odds (Hardt, Price & Srebro, NeurIPS 2016). The ratio of the lowest to
the highest selection rate is what the four-fifths rule looks at (29 CFR 1607.4, 1978). Difference and ratio
are computed as Fairlearn's "between groups" does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from declarative_ml.learning.metrics import labels
from declarative_ml.learning.task import Task

_AT_ONCE = 2_000_000
"""Numbers drawn at a time: bounds memory."""
_ROW_CAP = 20_000
"""The mean of more rows than this is as good as normal: it is drawn by the central limit theorem."""


@dataclass(frozen=True)
class Gap:
    """Between the highest and the lowest group."""

    difference: float
    ratio: float
    """Lowest to highest; 1 where all are 0, nan where a mean is negative."""
    difference_interval: tuple[float, float]
    ratio_interval: tuple[float, float]


def measured_rows(
    name: str, task: Task, truth: np.ndarray, prediction: np.ndarray, threshold: float, wanted: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """What the measure `name` is the mean of: values [N] float64, and which rows count [N] bool.

    Arguments are those of `metrics.score`; `wanted` is the number of the class that is meant.
    """
    everywhere = np.ones(len(truth), dtype=bool)
    if not task.is_classification:
        values = np.asarray(prediction, dtype=np.float64).reshape(len(truth))
        return (np.abs(values - truth) if name == "mae" else values), everywhere
    chosen = (labels(prediction, threshold) == wanted).astype(np.float64)
    counted = {"selection_rate": everywhere, "tpr": truth == wanted, "fpr": truth != wanted}
    return chosen, counted[name]


def gap(groups: Sequence[np.ndarray], *, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> Gap:
    """The gap between the means of the groups' values [n] each, with percentile bootstrap intervals: the
    rows of each group are drawn again by themselves, so that its size stays what it is."""
    random = np.random.default_rng(seed)
    means = np.array([values.mean() for values in groups])[:, None]
    drawn = np.stack([_drawn_means(values, resamples, random) for values in groups])
    tails = [0.5 * (1.0 - level), 0.5 * (1.0 + level)]
    differences, ratios = _spread(drawn)
    difference, ratio = _spread(means)
    return Gap(float(difference[0]), float(ratio[0]), _ends(differences, tails), _ends(ratios, tails))


def _ends(values: np.ndarray, tails: list[float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, tails)
    return float(low), float(high)


def _spread(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference and ratio [B] of means [groups, B]."""
    low, high = means.min(axis=0), means.max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(high > 0, low / high, np.where(low == high, 1.0, np.nan))
    return high - low, np.where(low < 0, np.nan, ratio)


def _drawn_means(values: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    count = len(values)
    if np.isin(values, (0.0, 1.0)).all():
        return random.binomial(count, values.mean(), resamples) / count
    if count > _ROW_CAP:
        return random.normal(values.mean(), values.std() / np.sqrt(count), resamples)
    block = max(1, _AT_ONCE // count)
    parts = [
        values[random.integers(0, count, (min(block, resamples - start), count))].mean(axis=1)
        for start in range(0, resamples, block)
    ]
    return np.concatenate(parts)
