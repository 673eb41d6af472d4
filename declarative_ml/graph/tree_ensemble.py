"""What ai.onnx.ml 5 fixes about TreeEnsemble, for those who write the operator and those who read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

TREES = "TreeEnsemble"
BRANCH_LEQ, BRANCH_MEMBER = 0, 6
"""A split's mode: true where the value is at most a number; true where it is one of a set."""
AVERAGE, SUM = 0, 1
"""aggregate_function."""


def joined_sets(sets: Sequence[np.ndarray]) -> np.ndarray:
    """membership_values of the sets: float32 [n], NaN ends each."""
    import numpy as np

    end = np.array([np.nan])
    return np.concatenate([part for members in sets for part in (members, end)]).astype(np.float32)


def member_sets(values: np.ndarray | None) -> list[np.ndarray]:
    """The members of each split by a set, in the order of these splits, of membership_values."""
    import numpy as np

    if values is None:
        return []
    ends = np.flatnonzero(np.isnan(values))
    return [values[start:end] for start, end in zip([0, *(ends + 1)], ends, strict=False)]
