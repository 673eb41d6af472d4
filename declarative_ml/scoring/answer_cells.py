"""Answers as the columns in which their drift is counted."""

from __future__ import annotations

import numpy as np

from declarative_ml.scoring.scorer import Predictions, Scorer


def answer_cells(scorer: Scorer, scored: Predictions) -> dict[str, np.ndarray]:
    """`prediction` [N], class names as text or numbers, and for classes `probability` [N] float32: of the
    positive class, or of the predicted one of several. See `learning.answer_reference`."""
    if scored.probabilities is None:
        return {"prediction": scored.prediction}
    labels = scored.prediction
    if not scorer.names_classes:
        names = dict(zip(scorer.labels, scorer.task.classes, strict=True))
        labels = np.empty(len(scored), dtype=object)
        labels[:] = [names.get(label, str(label)) for label in scored.prediction.tolist()]
    place = scorer.positive_index
    wide = scored.probabilities
    return {"prediction": labels, "probability": wide.max(axis=1) if place is None else wide[:, place]}
