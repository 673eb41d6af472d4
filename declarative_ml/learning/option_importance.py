"""Which of the options that were tried tell good trials from the others.

PED-ANOVA (Watanabe, Bansal & Hutter, IJCAI 2023): for each option by itself, the Pearson divergence of the
distribution of its values in the best trials from that in all trials. An option whose best values are
spread like all others has none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.learning.space import Dimension
from declarative_ml.learning.tuning import Space, Tried

if TYPE_CHECKING:
    import numpy as np

TOP = 0.25
"""The share of the trials that counts as the best."""
ENOUGH = 8
"""With fewer whole trials, what they tell of single options is noise."""
_CELLS = 40
_NARROWEST = 0.05
"""Of the range: a kernel is at least so wide, as few values lie close together by chance."""


def importance(space: Space, tried: Sequence[Tried], *, greater_is_better: bool) -> dict[str, float]:
    """Option -> its share of all divergences; they sum to 1. Empty where too few trials are whole."""
    whole = sorted(
        (each for each in tried if each.whole),
        key=lambda each: -each.score if greater_is_better else each.score,
    )
    if len(whole) < ENOUGH:
        return {}
    best = whole[: math.ceil(TOP * len(whole))]
    found = {
        name: _divergence(
            _distribution(dimension, [each.point[name] for each in best]),
            _distribution(dimension, [each.point[name] for each in whole]),
        )
        for name, dimension in space.items()
    }
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def _divergence(top: np.ndarray, everything: np.ndarray) -> float:
    return float((everything * (top / everything - 1.0) ** 2).sum())


def _distribution(dimension: Dimension, values: Sequence[Any]) -> np.ndarray:
    """Probabilities of the choices, or of equal cells of the range; one more value is spread evenly."""
    import numpy as np

    if dimension.choices is not None:
        counts = np.bincount(
            [dimension.place(value) or 0 for value in values], minlength=len(dimension.choices)
        )
        weights = counts + 1.0 / len(counts)
        return np.asarray(weights / weights.sum())
    places = np.array([_place(dimension, value) for value in values])
    width = max(_NARROWEST, 1.06 * float(places.std()) * len(places) ** -0.2)
    cells = (np.arange(_CELLS) + 0.5) / _CELLS
    kernels = np.exp(-0.5 * ((cells - places[:, None]) / width) ** 2)
    kernels /= kernels.sum(axis=1, keepdims=True)
    return np.asarray((kernels.sum(axis=0) + 1.0 / _CELLS) / (len(places) + 1))


def _place(dimension: Dimension, value: float) -> float:
    """Where the value lies between low (0) and high (1), by orders of magnitude where `log` says so."""
    assert dimension.low is not None and dimension.high is not None
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)
