"""Several members, one answer: the weighted mean of their margins.

For classes that is the logarithmic opinion pool (Genest & Zidek, Statistical Science 1986): the weighted
mean of log-odds or logits. It is one multiply-add in any graph, and on small tables it came out level
with the mean of probabilities, or better, once the blend is calibrated (pooling changes the confidence).

Weights are fitted on out-of-fold margins by maximum a posteriori on the simplex. For classes each member is
calibrated first, so that a loud one does not drown the others; its scale then becomes part of its weight.
The prior's centre is equal weights, less for a member whose loss is clearly worse than the best one's:
about a third at 10 % worse, a hundredth at 45 %, where rows are many. Of fewer, a log loss counts together
with what they cannot rule out (`_unseen`), so that near 0 no difference is large. Clearly means beyond one
standard error of the paired difference, so that few rows leave the weights nearly equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.task import Task

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

PRIOR_STRENGTH = 100.0
"""Curvature of the prior, in log likelihood: a weight is off its centre by 0.1 at the price of 0.5."""
TOLERATED = 0.1
"""Relative loss beyond the best member's that brings the prior's centre down to 1/e."""
NEGLIGIBLE = 0.01
"""Weights up to this become 0: such a member would cost time and add nothing."""
SMALL = 0.1
"""Members of a share up to this, and up to half of an equal one, have to be worth their time."""
WORTH = 0.001
"""They are, where the loss on held-out rows without them is higher by more than this share."""
_UNSEEN_ERRORS = 3.0
"""Of rows that are all told right, so many may be wrong among as many new ones."""
_STEPS = 30
_INNER_STEPS = 400


def optimized_weights(
    task: Task, truth: np.ndarray, margins: Sequence[np.ndarray], weight: np.ndarray | None = None
) -> np.ndarray:
    """Weights [members], not negative, with sum 1, for `blend`.

    `truth` is class numbers or values [N]; `margins` is the out-of-fold margins [N, width] of each member.
    Minimises log loss, or squared error in units of the best member's, plus the prior. Calibrate the
    blend afterwards: the weights sum to 1 and leave its confidence open.
    """
    shares, scales = _shares(task, truth, margins, weight)
    return _scaled(shares, scales)


def sparse_weights(task: Task, truth: np.ndarray, margins: Sequence[np.ndarray]) -> np.ndarray:
    """`optimized_weights` with as few members as do: 0 for those whose absence costs next to nothing.

    The member with the least share goes first, and the others are weighed anew, as long as that share is
    small and the calibrated blend of the others loses at most WORTH of its loss more on the held-out rows
    than the blend of all. Larger shares stay whatever the rows say: on few of them, taking members away to
    lower the held-out loss raised the loss on others.
    """
    import numpy as np

    shares, scales = _shares(task, truth, margins)
    loss = blend_loss(task, truth, margins, _scaled(shares, scales))
    allowed = loss + WORTH * (loss + _unseen(task, len(truth)))
    small = min(SMALL, 0.5 / len(margins))
    while np.count_nonzero(shares) > 1:
        used = np.flatnonzero(shares)
        least = used[shares[used].argmin()]
        if shares[least] > small:
            break
        rest = used[used != least]
        fewer = np.zeros_like(shares)
        fewer[rest], _ = _shares(task, truth, [margins[place] for place in rest])
        if not blend_loss(task, truth, margins, _scaled(fewer, scales)) <= allowed:
            break
        shares = fewer
    return _scaled(shares, scales)


def _shares(
    task: Task, truth: np.ndarray, margins: Sequence[np.ndarray], weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The share of each member in a blend of calibrated members, and what calibrates it: [members] each."""
    import numpy as np

    rows = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    if len(margins) == 1 or not rows.sum() > 0:
        return np.full(len(margins), 1.0 / len(margins)), np.ones(len(margins))
    calibrations = [fit_calibration(task, truth, member, weight) for member in margins]
    stacked = np.stack([own.apply(member) for own, member in zip(calibrations, margins, strict=True)])
    effective = rows.sum() ** 2 / np.square(rows).sum()
    rows = rows / rows.sum()
    losses = np.stack([_row_losses(task, truth, member) for member in stacked])
    # The best member's log loss and what the rows cannot rule out, or its squared error: 10 % worse then
    # means 10 % of that, or of the RMSE.
    unit = max(float((losses @ rows).min()) * (1.0 if task.is_classification else 2.0), 1e-12)
    centre = _prior_centre(losses / (unit + _unseen(task, effective)), rows, effective)
    strength = PRIOR_STRENGTH / effective
    if task.is_classification:
        objective: _LogLoss | _SquaredError = _LogLoss(stacked, truth, rows, centre, strength)
    else:
        objective = _SquaredError(stacked, truth, rows, centre, strength, unit)
    found = _minimise(objective, centre)
    found[found <= NEGLIGIBLE] = 0.0
    return found, np.array([own.scale for own in calibrations])


def _scaled(shares: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The weights of the members as they are, not calibrated."""
    weights = shares * scales
    found: np.ndarray = weights / weights.sum()
    return found


def blend_loss(task: Task, truth: np.ndarray, margins: Sequence[np.ndarray], weights: np.ndarray) -> float:
    """The mean log loss, or the RMSE, of the calibrated blend of margins [N, width] of each member."""
    together = blend(task, margins, weights)
    losses = _row_losses(task, truth, fit_calibration(task, truth, together).apply(together))
    mean = float(losses.mean())
    return mean if task.is_classification else math.sqrt(2.0 * mean)


def blend(task: Task, margins: Sequence[np.ndarray], weights: np.ndarray | Sequence[float]) -> np.ndarray:
    """The weighted mean of the members' margins [N, task.width]; members of weight 0 are not read."""
    used = [(float(share), member) for share, member in zip(weights, margins, strict=True) if share != 0.0]
    total = used[0][1] * used[0][0]
    for share, member in used[1:]:
        total = total + member * share
    return total


def blend_to_onnx(
    graph: OnnxGraph, tensors: Sequence[str], weights: np.ndarray | Sequence[float], task: Task
) -> str:
    """Add the same to the graph: float32 margins [N, task.width] of each member -> [N, task.width]."""
    import numpy as np

    used = [(float(share), name) for share, name in zip(weights, tensors, strict=True) if share != 0.0]
    if len(used) == 1 and used[0][0] == 1.0:
        return used[0][1]
    # Side by side, and one product: fewer nodes, so less time for a row.
    stacked = np.concatenate([np.eye(task.width, dtype=np.float32) * np.float32(share) for share, _ in used])
    return graph.add("MatMul", [graph.concat([name for _, name in used]), graph.constant(stacked)])


def _row_losses(task: Task, truth: np.ndarray, margins: np.ndarray) -> np.ndarray:
    import numpy as np

    if task.type == "number":
        squares: np.ndarray = 0.5 * np.square(truth - margins[:, 0])
        return squares
    logits = _logits(margins)
    top = logits.max(axis=1)
    logits = logits - top[:, None]
    losses: np.ndarray = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(truth)), truth]
    return losses


def _logits(margins: np.ndarray) -> np.ndarray:
    """Log-odds [..., 1] as two logits, the first 0; logits as they are."""
    import numpy as np

    return np.concatenate([np.zeros_like(margins), margins], axis=-1) if margins.shape[-1] == 1 else margins


def _unseen(task: Task, effective: float) -> float:
    """The log loss that so many rows cannot rule out, however well a member tells them.

    Where none of n rows is told wrong, the share of wrong ones may still be 3 / n (the rule of three; Hanley
    & Lippman-Hand, JAMA 1983), and a wrong one costs about log(n). Without it, members would be weighed by
    which of them is the surest where all are right.
    """
    return _UNSEEN_ERRORS * math.log(effective) / effective if task.is_classification else 0.0


def _prior_centre(losses: np.ndarray, rows: np.ndarray, effective: float) -> np.ndarray:
    """Prior weights [members] from row losses [members, N] in the unit of `optimized_weights`."""
    import numpy as np

    mean = losses @ rows
    excess = losses - losses[int(mean.argmin())]
    gap = excess @ rows
    error = np.sqrt(np.square(excess - gap[:, None]) @ rows / effective)
    centre = np.exp(-np.maximum(0.0, gap - error) / TOLERATED)
    result: np.ndarray = centre / centre.sum()
    return result


class _LogLoss:
    """Mean log loss of the blend plus the prior, as a function of the weights."""

    def __init__(
        self, margins: np.ndarray, truth: np.ndarray, rows: np.ndarray, centre: np.ndarray, strength: float
    ) -> None:
        self.logits = _logits(margins)
        self.truth = truth
        self.rows = rows
        self.centre = centre
        self.strength = strength

    def at(self, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient [K] and Hessian [K, K]."""
        import numpy as np

        place = np.arange(len(self.truth))
        logits = np.tensordot(weights, self.logits, axes=1)
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(axis=1))
        chance = np.exp(logits - log_sum[:, None])
        off = weights - self.centre
        value = float(self.rows @ (log_sum - logits[place, self.truth]) + 0.5 * self.strength * off @ off)
        expected = np.einsum("knc,nc->kn", self.logits, chance)
        gradient = (expected - self.logits[:, place, self.truth]) @ self.rows + self.strength * off
        centred = self.logits - expected[:, :, None]
        joint = centred * (chance * self.rows[:, None])
        hessian = np.tensordot(joint, centred, axes=([1, 2], [1, 2]))
        return value, gradient, hessian + self.strength * np.eye(len(weights))


class _SquaredError:
    """Half the mean squared error of the blend in units of `unit` plus the prior: a quadratic."""

    def __init__(
        self,
        margins: np.ndarray,
        truth: np.ndarray,
        rows: np.ndarray,
        centre: np.ndarray,
        strength: float,
        unit: float,
    ) -> None:
        import numpy as np

        # The weights sum to 1, so the blend's error is the blend of the errors.
        errors = margins[:, :, 0] - truth
        self.moments = (errors * rows) @ errors.T / unit + strength * np.eye(len(errors))
        self.linear = strength * centre

    def at(self, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient [K] and Hessian [K, K]."""
        slope = self.moments @ weights
        return float(weights @ (0.5 * slope - self.linear)), slope - self.linear, self.moments


def _minimise(objective: _LogLoss | _SquaredError, start: np.ndarray) -> np.ndarray:
    """The minimum on the simplex by Newton steps, each a quadratic problem of its own, with backtracking."""
    found = start
    value, gradient, hessian = objective.at(found)
    for _ in range(_STEPS):
        step = _quadratic_minimum(gradient - hessian @ found, hessian, found) - found
        decrease = -float(gradient @ step)
        if decrease < 1e-10:
            break
        size = 1.0
        while (trial := objective.at(found + size * step))[
            0
        ] > value - 1e-4 * size * decrease and size > 1e-6:
            size *= 0.5
        if trial[0] >= value:
            break
        found = found + size * step
        value, gradient, hessian = trial
    return found.clip(0.0)


def _quadratic_minimum(linear: np.ndarray, hessian: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The minimum of `linear w + w hessian w / 2` on the simplex (FISTA; Beck & Teboulle, SIAM J. 2009)."""
    import numpy as np

    rate = 1.0 / max(float(np.linalg.eigvalsh(hessian)[-1]), 1e-12)
    found = ahead = start
    momentum = 1.0
    for _ in range(_INNER_STEPS):
        after = _onto_simplex(ahead - rate * (linear + hessian @ ahead))
        if (ahead - after) @ (after - found) > 0:
            momentum = 1.0  # overshoot: start the acceleration afresh (O'Donoghue & Candès, 2015)
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = after + (momentum - 1.0) / following * (after - found)
        moved = np.abs(after - found).max()
        found, momentum = after, following
        if moved < 1e-12:
            break
    return found


def _onto_simplex(point: np.ndarray) -> np.ndarray:
    """The nearest point with no negative entry and sum 1 (Held, Wolfe & Crowder, 1974)."""
    import numpy as np

    falling = np.sort(point)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(point) + 1)
    shift = excess[np.flatnonzero(falling > excess)[-1]]
    result: np.ndarray = np.maximum(point - shift, 0.0)
    return result
