"""A blend that stays within `max_size` and `max_latency`: which candidates there is room for.

Members are added one by one, each time the one that lowers the held-out loss most among those that there is
room for (forward selection; Caruana et al., "Ensemble selection from libraries of models", ICML 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import StepFailed
from declarative_ml.core.size import shown
from declarative_ml.core.task import Task
from declarative_ml.learning.ensembling import WORTH, blend_loss, optimized_weights
from declarative_ml.steps.cost import Cost

if TYPE_CHECKING:
    import numpy as np

NEEDLESS = "it adds next to nothing to the blend"
"""Why a candidate is left out that has no share in the blend."""
_GROWTH = 1.25
"""A fit on all rows may be larger than one that had a fold held out."""


@dataclass(frozen=True)
class Caps:
    """The most that the shipped graph may cost; None: as much as it takes."""

    bytes: float | None = None
    microseconds: float | None = None

    def broken(self, cost: Cost) -> str:
        """What is above its cap, in words; empty when nothing is."""
        if self.bytes is not None and _GROWTH * cost.bytes > self.bytes:
            return f"{shown(cost.bytes)}, and max_size is {shown(self.bytes)}"
        if self.microseconds is not None and cost.microseconds > self.microseconds:
            return f"{cost.microseconds:.0f} us a row, and max_latency is {self.microseconds:.0f} us"
        return ""


def leave_out(
    entries: Sequence[dict[str, Any]],
    caps: Caps,
    cost: Callable[[list[str]], Cost],
    loss: Callable[[list[str]], float],
) -> None:
    """Give a reason to every entry that there is no room for.

    `entries` are the candidates that came through; `cost` is that of the graph of the candidates named, and
    `loss` that of their blend on held-out rows. Raises StepFailed where not one of them fits.
    """
    alone = {entry["name"]: caps.broken(cost([entry["name"]])) for entry in entries}
    if all(alone.values()):
        needs = "; ".join(f"{name}: {why}" for name, why in alone.items())
        raise StepFailed(f"no candidate is small and quick enough ({needs})", hint="raise the cap")
    chosen: list[str] = []
    lowest = float("inf")
    while True:
        # What does not fit alone fits beside nothing else.
        rest = [name for name, why in alone.items() if not why and name not in chosen]
        beside = {name: caps.broken(cost([*chosen, name])) for name in rest} if chosen else dict(alone)
        losses = {name: loss([*chosen, name]) for name in rest if not beside[name]}
        best = min(losses, key=losses.__getitem__, default=None)
        if best is None or (1.0 + WORTH) * losses[best] >= lowest:
            break
        chosen.append(best)
        lowest = losses[best]
    for entry in entries:
        if entry["name"] not in chosen:
            entry["reason"] = _reason(alone[entry["name"]], beside.get(entry["name"], ""), chosen)


def _reason(alone: str, beside: str, chosen: Sequence[str]) -> str:
    if alone:
        return f"it takes {alone}"
    return f"beside {' and '.join(chosen)} it would be {beside}" if beside else NEEDLESS


def check_size(content: bytes, caps: Caps) -> None:
    """Raise StepFailed for a finished graph above its cap."""
    if caps.bytes is not None and len(content) > caps.bytes:
        raise StepFailed(
            f"model.onnx takes {shown(len(content))}, and max_size is {shown(caps.bytes)}",
            hint="raise max_size, or name a smaller model than auto",
        )


def blend_loss_of(
    task: Task, truth: np.ndarray, margins: Mapping[str, np.ndarray], names: Sequence[str]
) -> float:
    """The calibrated loss of the blend of the candidates `names`, from their margins on held-out rows."""
    own = [margins[name] for name in names]
    return blend_loss(task, truth, own, optimized_weights(task, truth, own))
