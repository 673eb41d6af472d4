"""What can be compared between groups of rows, and for which targets. Light: a spec is checked by it.

How it is computed is in learning.fairness.
"""

from __future__ import annotations

from dataclasses import dataclass

from declarative_ml.core.task import TaskType

_CLASSES: frozenset[TaskType] = frozenset({"binary", "multiclass"})
_NUMBER: frozenset[TaskType] = frozenset({"number"})


@dataclass(frozen=True)
class Fairness:
    """One measure of a group: the mean over some of its rows."""

    name: str
    tasks: frozenset[TaskType]
    title: str
    """With {wanted} for the class that is meant or the target."""


FAIRNESS: dict[str, Fairness] = {
    measure.name: measure
    for measure in (
        Fairness("selection_rate", _CLASSES, "the share of rows predicted as {wanted}"),
        Fairness("tpr", _CLASSES, "the share predicted as {wanted} of the rows that are"),
        Fairness("fpr", _CLASSES, "the share predicted as {wanted} of the rows that are not"),
        Fairness("mean_prediction", _NUMBER, "the mean prediction of {wanted}"),
        Fairness("mae", _NUMBER, "the mean absolute error of {wanted}"),
    )
}
"""Every measure by name."""
