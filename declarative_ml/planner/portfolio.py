"""What a spec's `model` means: the candidates to fit, in the order in which they pay per second.

For `auto` the list is fixed by the quality asked for. It was chosen by cross-validation inside the training
rows of thirteen tables (benchmarks/portfolio.py): a candidate is in where the blend with it was better
on more tables than it was worse. A candidate that does not fit the table leaves itself out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.spec.document import Auto, Ensemble, Spec


@dataclass(frozen=True)
class Candidate:
    """A model to fit, under a name of its own."""

    name: str
    model: Model
    optional: bool = False
    """The run goes on without it."""
    effort: float = 1.0
    """Its share of the time for training, relative to the others'."""


_BALANCED: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("lightgbm", {"type": "lightgbm"}, 2.0),
    ("linear", {"type": "linear"}, 0.5),
    ("mlp", {"type": "mlp"}, 3.0),
)
_PORTFOLIO = {"fast": _BALANCED[:2], "balanced": _BALANCED, "best": _BALANCED}


def candidates(spec: Spec) -> list[Candidate]:
    """The models to fit: the one that the spec names, the members of an ensemble, or the portfolio."""
    if isinstance(spec.model, Auto):
        return [
            Candidate(name, MODELS.parse(options), optional=number > 0, effort=effort)
            for number, (name, options, effort) in enumerate(_PORTFOLIO[spec.model.quality])
        ]
    models = spec.model.members if isinstance(spec.model, Ensemble) else (spec.model,)
    return [Candidate(name, model) for name, model in zip(_names(models), models, strict=True)]


def weights_of(spec: Spec) -> str:
    """How the members are weighed: `equal` or `optimized`."""
    return spec.model.weights if isinstance(spec.model, Ensemble) else "optimized"


def _names(models: tuple[Model, ...]) -> list[str]:
    """Unique names: the model's type, numbered from the second of a kind on."""
    names: list[str] = []
    for model in models:
        name, number = model.type, 1
        while name in names:
            number += 1
            name = f"{model.type}{number}"
        names.append(name)
    return names
