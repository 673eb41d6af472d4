"""How margins become predictions.

Margins are the one currency between models, calibration, ensembles and the ONNX graph:
binary [N, 1] log-odds of the positive class, multiclass [N, C] logits, number [N, 1] values in the
target's own unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.task import Task, TaskType

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Task", "TaskType", "margins_from_probabilities", "predictions_from_margins"]


def predictions_from_margins(task: Task, margins: np.ndarray) -> np.ndarray:
    """Margins [N, width] -> probabilities [N, classes] (two columns for binary), or values [N]."""
    import numpy as np

    if task.type == "number":
        return np.asarray(margins[:, 0])
    if task.type == "binary":
        positive = 1.0 / (1.0 + np.exp(-np.clip(margins[:, 0], -700, 700)))
        return np.stack([1.0 - positive, positive], axis=1)
    shifted = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def margins_from_probabilities(task: Task, probabilities: np.ndarray) -> np.ndarray:
    """Probabilities [N, classes] -> margins [N, width], clipped away from 0 and 1 by 1e-7."""
    import numpy as np

    clipped = np.clip(probabilities, 1e-7, 1.0 - 1e-7)
    if task.type == "binary":
        return np.asarray(np.log(clipped[:, 1:] / clipped[:, :1]))
    return np.asarray(np.log(clipped))
