"""How far a prediction or a value may move: a plain number, or percent such as "5%"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from declarative_ml.core.task import Task

if TYPE_CHECKING:
    import numpy as np

PERCENT = r"^\d+(\.\d+)?%$"
SIGNED_PERCENT = r"^-?\d+(\.\d+)?%$"
Percent = Annotated[str, Field(pattern=SIGNED_PERCENT, examples=["5%"])]
Amount = Annotated[float, Field(ge=0.0)] | Annotated[str, Field(pattern=PERCENT, examples=["5%"])]
"""Of a probability between 0 and 1, or of a number in units of the target. Percent of a probability are
points (5% is 0.05), percent of a number are of the prediction's size."""
Shift = float | Percent
"""In units of the column; percent are of the value itself."""

SLACK = 1e-6
"""What the rounding of float32 may move an answer: of a probability, or of a number in shares of its size."""


def limits(amount: Amount, task: Task, before: np.ndarray) -> np.ndarray:
    """What `amount` allows each of the predictions `before` [n] to move, float64 [n]."""
    import numpy as np

    if not isinstance(amount, str):
        return np.full(len(before), float(amount))
    share = float(amount.rstrip("%")) / 100.0
    return np.full(len(before), share) if task.is_classification else share * np.abs(before)


def slack(task: Task, before: np.ndarray) -> np.ndarray:
    """What rounding alone may move each of the predictions `before` [n], float64 [n]."""
    import numpy as np

    return np.full(len(before), SLACK) if task.is_classification else SLACK * (1.0 + np.abs(before))


def shifted(values: np.ndarray, shift: Shift) -> np.ndarray:
    """`values` moved by `shift`."""
    if isinstance(shift, str):
        return values * (1.0 + float(shift.rstrip("%")) / 100.0)
    return values + shift


def percent(share: float) -> str:
    """6.2 %, 100 %."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def in_words(amount: Amount | Shift) -> str:
    """5%, 0.01 or 1,500."""
    return amount if isinstance(amount, str) else f"{amount:,g}" if abs(amount) < 1e6 else f"{amount:,.0f}"
