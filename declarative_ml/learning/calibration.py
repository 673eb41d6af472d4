"""Calibration: a scale and a bias on the margins, so that probabilities mean what they say.

Binary: Platt scaling (Platt, 1999); multiclass: temperature scaling with a bias for each class (Guo et
al., ICML 2017). Both are fitted on out-of-fold or validation margins by maximum a posteriori: a normal
prior holds the logarithm of the scale and the biases near 0, which is no change at all, so a few rows move
them little and many rows decide alone. The scale is positive: binary calibration keeps the ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.component import Section
from declarative_ml.learning.task import Task

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

SCALE_PRIOR = 0.5
"""Standard deviation of the prior of log(scale)."""
BIAS_PRIOR = 0.5
"""Standard deviation of the prior of each bias."""
_STEPS = 50
_TOLERANCE = 1e-10


class Calibration(Section):
    """`margins * scale + bias`. Without biases and with scale 1 nothing changes."""

    scale: float = 1.0
    bias: tuple[float, ...] = ()

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Calibrated margins [N, width]."""
        import numpy as np

        scaled = np.asarray(margins) * self.scale
        return scaled + np.asarray(self.bias) if self.bias else scaled

    def to_onnx(self, graph: OnnxGraph, margins: str, task: Task) -> str:
        """Add the same to the graph: float32 margins [N, task.width] -> [N, task.width]."""
        import numpy as np

        if self.scale != 1.0:
            scale = np.full((1, task.width), self.scale, dtype=np.float32)
            margins = graph.add("Mul", [margins, graph.constant(scale)])
        if self.bias:
            margins = graph.add("Add", [margins, graph.constant(np.array([self.bias], dtype=np.float32))])
        return margins


def fit_calibration(
    task: Task, truth: np.ndarray, margins: np.ndarray, weight: np.ndarray | None = None
) -> Calibration:
    """The calibration of `margins` [N, width] by class numbers `truth` [N]; no change for numbers.

    No change either where `truth` holds fewer than two classes. Weighted rows count as their effective
    number (Kish, 1965), so that the prior keeps its strength whatever the unit of the weights.
    """
    import numpy as np

    if not task.is_classification or len(np.unique(truth)) < 2:
        return Calibration()
    weights = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not np.square(weights).sum() > 0:
        return Calibration()
    weights = weights * (weights.sum() / np.square(weights).sum())
    posterior = _Posterior(np.asarray(margins, dtype=np.float64), np.asarray(truth), weights)
    found = posterior.maximise()
    return Calibration(scale=float(np.exp(found[0])), bias=tuple(float(value) for value in found[1:]))


class _Posterior:
    """The negative log posterior of (log scale, biases) and its minimum."""

    def __init__(self, margins: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> None:
        import numpy as np

        # One column of log-odds is the second of two logits, the first being 0.
        self.free = margins.shape[1]
        self.logits = margins if self.free > 1 else np.concatenate([np.zeros_like(margins), margins], axis=1)
        self.truth = truth
        self.weights = weights
        self.precision = np.concatenate([[SCALE_PRIOR**-2], np.full(self.free, BIAS_PRIOR**-2)])

    def maximise(self) -> np.ndarray:
        """The parameters [1 + width], by damped Gauss-Newton steps."""
        import numpy as np

        found = np.zeros(1 + self.free)
        value, gradient, curvature = self._at(found)
        for _ in range(_STEPS):
            step = np.linalg.solve(curvature, gradient)
            if gradient @ step < _TOLERANCE * max(1.0, value):
                break
            size = 1.0
            while (trial := self._at(found - size * step))[0] > value and size > 1e-6:
                size *= 0.5
            if trial[0] > value:
                break
            found = found - size * step
            value, gradient, curvature = trial
        return found

    def _at(self, parameters: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient [P] and Gauss-Newton curvature [P, P]."""
        import numpy as np

        rows = np.arange(len(self.truth))
        slope = np.exp(np.clip(parameters[0], -20.0, 20.0)) * self.logits  # the derivative by log scale
        logits = slope.copy()
        logits[:, -self.free :] += parameters[1:]
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        chance = np.exp(shifted - log_sum[:, None])
        loss = self.weights @ (log_sum - shifted[rows, self.truth])
        value = float(loss + 0.5 * self.precision @ np.square(parameters))
        miss = chance.copy()
        miss[rows, self.truth] -= 1.0
        miss *= self.weights[:, None]
        gradient = np.concatenate([[np.sum(miss * slope)], miss.sum(axis=0)[-self.free :]])
        return value, gradient + self.precision * parameters, self._curvature(chance, slope)

    def _curvature(self, chance: np.ndarray, slope: np.ndarray) -> np.ndarray:
        import numpy as np

        weighted = chance * self.weights[:, None]
        centred = slope - (chance * slope).sum(axis=1, keepdims=True)
        cross = (weighted * centred).sum(axis=0)[-self.free :]
        biases = (np.diag(weighted.sum(axis=0)) - weighted.T @ chance)[-self.free :, -self.free :]
        corner = np.array([[np.sum(weighted * centred * slope)]])
        curvature = np.block([[corner, cross[None, :]], [cross[:, None], biases]])
        return curvature + np.diag(self.precision)
