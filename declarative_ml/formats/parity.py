"""Hold a conversion against the graph that it was made of: on real rows, and on rows that are nasty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import field_serializer, field_validator

from declarative_ml.core.component import Section
from declarative_ml.formats.base import Original, Rows, Run
from declarative_ml.scoring.session import open_session, run_graph
from declarative_ml.scoring.timing import microseconds

if TYPE_CHECKING:
    import numpy as np

NASTY_NUMBERS = (float("nan"), float("inf"), 0.0, -1.0, 1e9, -1e9, 3e38)
NASTY_TEXTS = ("", "never seen \u2603", " ", "9999-12-31", "0", "'\";--")
_MOST_NASTY = 600


class Parity(Section):
    """What the comparison found. Differences are of probabilities, or of numbers in units of the spread of
    the predictions plus their size."""

    rows: int
    nasty_rows: int
    """How many of them are made up: missing, unseen and extreme values."""
    max_difference: float
    mean_difference: float
    beyond: int = 0
    """Rows that differ by more than the tolerance."""
    worst: str = ""
    """Which row differs most, in words for a person; "" where none differs."""
    disagreements: int
    """Rows whose label differs; 0 for a number."""
    tolerance: float
    microseconds: float
    """Of one row alone, in the format's own runtime, what makes its inputs included."""

    @field_serializer("max_difference", "mean_difference", when_used="json")
    def _without_infinity(self, value: float) -> float | None:
        """JSON has no infinity: null stands for it."""
        return value if math.isfinite(value) else None

    @field_validator("max_difference", "mean_difference", mode="before")
    @classmethod
    def _with_infinity(cls, value: Any) -> Any:
        return math.inf if value is None else value

    @property
    def holds(self) -> bool:
        """Whether no row differs by more than is allowed."""
        return self.max_difference <= self.tolerance


def measure(original: Original, run: Run, tolerance: float) -> Parity:
    """Run both on the same rows."""
    import numpy as np

    nasty = nasty_rows(original)
    rows = {name: np.concatenate([values, nasty[name]]) for name, values in original.rows.items()}
    expected = expected_of(original, rows)
    found = np.asarray(run(rows), dtype=np.float64).reshape(expected.shape)
    difference = _differences(original, expected, found)
    return Parity(
        rows=len(expected),
        nasty_rows=len(next(iter(nasty.values()))),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        beyond=int((difference > tolerance).sum()),
        worst=_where(original, int(difference.argmax())) if difference.max() > 0 else "",
        disagreements=_disagreements(original, expected, found),
        tolerance=tolerance,
        microseconds=microseconds(run, original.rows),
    )


def expected_of(original: Original, rows: Rows) -> np.ndarray:
    """What model.onnx says in ONNX Runtime: float64 [n, C] probabilities, or [n, 1] numbers."""
    answers = run_graph(open_session(original.content), rows)
    found: np.ndarray = answers if original.task.is_classification else answers[:, None]
    return found


def nasty_rows(original: Original) -> dict[str, np.ndarray]:
    """Real rows in which one column at a time, and then all of them, are missing, unseen or extreme."""
    import numpy as np

    count = len(next(iter(original.rows.values())))
    values, single = _nasty_values(original)
    together = max(len(NASTY_NUMBERS), len(NASTY_TEXTS))
    taken = np.arange(len(single) + together) % max(count, 1)
    made = {name: column[taken].copy() for name, column in original.rows.items()}
    for row, (name, value) in enumerate(single):
        made[name][row, 0] = value
    for number in range(together):
        for name, nasty in values.items():
            made[name][len(single) + number, 0] = nasty[number % len(nasty)]
    return made


def _nasty_values(original: Original) -> tuple[dict[str, Sequence[Any]], list[tuple[str, Any]]]:
    """What every column is given, and in which order one at a time."""
    values: dict[str, Sequence[Any]] = {
        column.name: NASTY_NUMBERS if column.dtype == "float32" else NASTY_TEXTS for column in original.inputs
    }
    return values, [(name, value) for name, nasty in values.items() for value in nasty][:_MOST_NASTY]


def _where(original: Original, row: int) -> str:
    made = row - len(next(iter(original.rows.values())))
    _, single = _nasty_values(original)
    if made < 0:
        return "in a real row"
    if made >= len(single):
        return "where all columns are made up"
    name, value = single[made]
    return f"where {name} is {value!r}"


def _differences(original: Original, expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """By row, float64 [n]; what is no number on one side only counts as endless."""
    import numpy as np

    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(expected - found))
        if not original.task.is_classification:
            spread = float(np.std(expected[: len(next(iter(original.rows.values())))])) or 1.0
            difference = np.where(same, 0.0, difference / (spread + np.abs(expected)))
    largest: np.ndarray = np.where(np.isnan(difference), np.inf, difference).max(axis=1)
    return largest


def _disagreements(original: Original, expected: np.ndarray, found: np.ndarray) -> int:
    import numpy as np

    if not original.task.is_classification:
        return 0
    if original.task.type == "binary":
        # As the graph compares: in float32.
        limit = np.float32(0.5 if original.threshold is None else original.threshold)
        return int(((expected[:, 1] >= limit) != (found[:, 1] >= limit)).sum())
    return int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
