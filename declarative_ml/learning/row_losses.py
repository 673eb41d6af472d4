"""The loss of each row, bounded so that one row cannot make a segment."""

from __future__ import annotations

import math

import numpy as np

LEAST_PROBABILITY = 0.01
"""A probability of the true class counts as this at least."""
_BOUND = 0.99


def row_losses(
    truth: np.ndarray, prediction: np.ndarray, bound: float | None = None
) -> tuple[np.ndarray, float]:
    """The loss of each row [N], and its bound, to be handed over for another model of the same rows.

    Probabilities [N, classes]: the log loss. Values [N]: the absolute error, where one beyond the 99 %
    quantile counts as that.
    """
    if prediction.ndim == 2:
        chosen = prediction[np.arange(len(truth)), truth.astype(np.int64)].astype(np.float64)
        return -np.log(np.clip(chosen, LEAST_PROBABILITY, 1.0)), -math.log(LEAST_PROBABILITY)
    error = np.abs(truth - prediction)
    if bound is None:
        bound = float(np.quantile(error, _BOUND)) if len(error) else 0.0
    return np.minimum(error, bound), bound
