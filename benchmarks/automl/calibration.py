"""How far probabilities are from what happens: calibration error without the bias of few rows.

The plain binned error of a perfectly calibrated model is above 0, because the share of positives in a bin
is itself a draw (Bröcker & Smith, Weather and Forecasting 2007; Roelofs et al., AISTATS 2022). Small test
sets, and models that spread their probabilities over many bins, look worse than they are. The debiased
estimate takes off what the noise of the bins adds, by their normal approximation, as Kumar, Liang & Ma
(NeurIPS 2019) do by simulation; here in closed form.
"""

from __future__ import annotations

import math

import numpy as np

BINS = 15
RESAMPLES = 1000


def debiased_ece(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The debiased calibration error, 15 bins of equal width; about 0 when calibrated, at times below.

    `truth` is class numbers [N], `probabilities` [N, C]. Two classes: the probability of the second;
    more: that of the predicted class, as learning.metrics does.
    """
    confidence, right = _confidence(truth, probabilities)
    return float(_debiased(*_bin_sums(confidence, right, np.ones((1, len(truth)))))[0])


def paired_ece_difference(
    truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """(difference, low, high): the error of `ours` minus that of `theirs`, and its 95 % interval.

    Both are computed on the same resamples of the rows. The interval is the basic one (Davison & Hinkley,
    "Bootstrap Methods and their Application", 1997, section 5.2): a resample adds noise of its own to the
    bins, which shifts its error upwards, and the basic interval takes that shift off.
    """
    difference = debiased_ece(truth, ours) - debiased_ece(truth, theirs)
    first, second = _confidence(truth, ours), _confidence(truth, theirs)
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = random.integers(0, len(truth), len(truth))
        weights = np.bincount(rows, minlength=len(truth)).astype(np.float64)[None, :]
        one, other = (_debiased(*_bin_sums(*part, weights))[0] for part in (first, second))
        drawn.append(one - other)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return difference, 2 * difference - float(high), 2 * difference - float(low)


def _confidence(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], (truth == 1).astype(np.float64)
    return probabilities.max(axis=1), (truth == probabilities.argmax(axis=1)).astype(np.float64)


def _bin_sums(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By weighting and bin, [B, bins]: rows, sum of confidence, sum of right answers."""
    places = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    sums = [
        np.stack([np.bincount(places, row * values, BINS) for row in weights])
        for values in (np.ones_like(confidence), confidence, right)
    ]
    return sums[0], sums[1], sums[2]


def _debiased(rows: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Twice the plain error minus what is expected of it when its bins are drawn again; [B]."""
    filled = np.maximum(rows, 1.0)
    share = right / filled
    gap = share - confidence / filled
    noise = np.sqrt(share * (1.0 - share) / filled)
    excess = 2.0 * np.abs(gap) - _expected_magnitude(gap, noise)
    return np.asarray((rows * excess).sum(axis=1) / rows.sum(axis=1))


def _expected_magnitude(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """E|X| of normal X: the mean of the folded normal distribution (Leone, Nelson & Nottingham 1961)."""
    scaled = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > 0)
    erf = np.vectorize(math.erf, otypes=[np.float64])
    folded = deviation * math.sqrt(2.0 / math.pi) * np.exp(-0.5 * scaled**2)
    folded += mean * erf(scaled / math.sqrt(2.0))
    return np.asarray(np.where(deviation > 0, folded, np.abs(mean)))
