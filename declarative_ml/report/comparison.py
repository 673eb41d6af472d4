"""What a page of comparison is made from: two models side by side, and the rows on which both were tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from declarative_ml.report.content import ReportContent

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Side:
    """One of the two models, and its run where it is known."""

    label: str
    """The run's id, or the path of the bundle."""
    content: ReportContent
    """As much as the bundle and the store hold; `truth` and `prediction` are of its own test rows."""
    model_digest: str
    fingerprint: str
    size: int
    """Bytes of model.onnx."""
    latency: float | None = None
    """Seconds to score one row in one thread, measured for this comparison."""
    created: str = ""
    seconds: float | None = None
    """Of the run."""
    faults: Sequence[str] = ()
    """What gates and tests hold against it."""


@dataclass(frozen=True)
class Shared:
    """The rows that were test rows of both."""

    truth: np.ndarray
    """Class numbers or values [N]."""
    first: np.ndarray
    """Predictions [N, classes] or [N]."""
    second: np.ndarray
    rows: np.ndarray
    """Positions [N] in the table of the second."""


@dataclass(frozen=True)
class Disagreement:
    """A row on which the two answer differently."""

    row: int
    """Its number in the table, from 1 on."""
    truth: str
    first: str
    second: str
    apart: float
    """Of probabilities: half the sum of their differences; of numbers: the difference."""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Everything that the page shows."""

    first: Side
    second: Side
    pairing: str
    """On which rows they are compared, and if not on the same ones, why; a sentence."""
    shared: Shared | None = None
    differences: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Metric -> second minus first on the shared rows, and the 95 % interval of that."""
    options: Mapping[str, Sequence[Any]] | None = None
    """Dotted path -> [first, second] of the options that differ; None where a spec is not known."""
    disagreements: Sequence[Disagreement] = ()

    @property
    def same_model(self) -> bool:
        """Whether both are one model."""
        return self.first.model_digest == self.second.model_digest
