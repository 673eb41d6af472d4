"""What the order of scores tells about two classes: areas, and the ROC and precision-recall curves.

Rows with equal scores form one group and are never ordered among themselves.
"""

from __future__ import annotations

import numpy as np


def divide(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """`numerator / denominator`, with `otherwise` where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), otherwise)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def cumulated(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive and negative weight [B, G] down to the end of each group of equal scores, best first.

    `positive` is bool [N], `scores` [N], `weights` [B, N]. Also returns the groups' scores [G].
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    drawn = np.take(weights, order, axis=1)
    hits = np.cumsum(drawn * positive[order], axis=1)
    misses = np.cumsum(drawn, axis=1) - hits
    if len(ends) < len(order):
        hits, misses = hits[:, ends], misses[:, ends]
    return hits, misses, ordered[ends]


def roc_area(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve for each weighting [B]; nan where only one class has weight."""
    hits, misses, _ = cumulated(positive, scores, weights)
    corners = np.einsum("bg,bg->b", hits[:, 1:] + hits[:, :-1], np.diff(misses, axis=1))
    area = 0.5 * (corners + hits[:, 0] * misses[:, 0])
    return divide(area, hits[:, -1] * misses[:, -1])


def average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean precision over the positive rows, for each weighting [B]; nan without positive weight."""
    hits, misses, _ = cumulated(positive, scores, weights)
    precision = divide(hits, hits + misses, 0.0)
    found = np.einsum("bg,bg->b", np.diff(hits, axis=1, prepend=0.0), precision)
    return divide(found, hits[:, -1])


def roc_curve(
    truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rates, true positive rates and thresholds, from (0, 0) at inf on.

    `truth` is 0 and 1 [N], `scores` [N] of the positive class. Points on a straight line between their
    neighbours are left out. Rates are nan for a class that has no row.
    """
    hits, misses, thresholds = _one_weighting(truth, scores, weight)
    corner = np.ones(len(hits), dtype=bool)
    corner[1:-1] = (np.diff(hits, 2) != 0) | (np.diff(misses, 2) != 0)
    hits, misses, thresholds = hits[corner], misses[corner], thresholds[corner]
    hits, misses = np.concatenate([[0.0], hits]), np.concatenate([[0.0], misses])
    thresholds = np.concatenate([[np.inf], thresholds])
    return divide(misses, misses[-1:]), divide(hits, hits[-1:]), thresholds


def precision_recall_curve(
    truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and rising thresholds; precision and recall end with one more point, (1, 0).

    Arguments as for `roc_curve`. Recall is nan without a positive row.
    """
    hits, misses, thresholds = _one_weighting(truth, scores, weight)
    precision = divide(hits, hits + misses, 0.0)[::-1]
    recall = divide(hits, hits[-1:])[::-1]
    return np.concatenate([precision, [1.0]]), np.concatenate([recall, [0.0]]), thresholds[::-1]


def _one_weighting(
    truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    hits, misses, thresholds = cumulated(np.asarray(truth) == 1, np.asarray(scores), weights[None, :])
    return hits[0], misses[0], thresholds
