"""What a spec's `model` means: the candidates to fit, in the order in which they pay per second.

For `auto` the list is fixed by the quality asked for. It was chosen inside the training rows of the tables of
benchmarks/members.py, which says what each candidate adds to the blend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from declarative_ml.core.duration import microseconds_of
from declarative_ml.core.size import bytes_of
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
    taught: bool = False
    """It learns from what the others say of the rows as well."""


POOL: dict[str, tuple[dict[str, Any], float]] = {
    "lightgbm": ({"type": "lightgbm"}, 2.0),
    "linear": ({"type": "linear"}, 2.0),  # texts take it long; elsewhere it leaves its time to the others
    "mlp": ({"type": "mlp"}, 3.0),
    "xgboost": ({"type": "xgboost"}, 1.0),
    "extra_trees": ({"type": "extra_trees"}, 1.0),
    "lightgbm-extra": ({"type": "lightgbm", "extra_trees": True, "feature_fraction": 0.8}, 1.0),
    "lightgbm-deep": (
        {"type": "lightgbm", "num_leaves": 96, "feature_fraction": 0.4, "min_data_in_leaf": 8},
        3.0,
    ),
    "mlp-wide": ({"type": "mlp", "layers": [256, 256], "dropout": 0.1, "networks": 1}, 4.0),
    "lightgbm-small": ({"type": "lightgbm", "total_leaves": 2_400}, 0.5),
}
"""Every candidate that was measured, by name, with its effort."""
PORTFOLIO = {
    "fast": ("linear", "lightgbm", "xgboost", "extra_trees"),
    "balanced": ("linear", "lightgbm", "xgboost", "extra_trees", "mlp"),
    "best": ("linear", "lightgbm", "xgboost", "extra_trees", "mlp", "lightgbm-extra", "mlp-wide"),
}
"""The first must come through, so it is the one that the least time is enough for."""
SMALL = "lightgbm-small"
"""Where the model has to be quick or small."""
DISTILLED = "distilled"
"""There too: trees that the other candidates teach, as many as `max_size` has room for."""
_MOST_LEAVES, _FEWEST_LEAVES = 25_000, 200
_LEAF_BYTES, _FEATURE_BYTES, _FILLED = 27, 8_000, 0.7
"""A leaf in model.onnx; the features of an ordinary table; and the share of `max_size` to plan for: sizes
differ by table, a fit on all rows is larger, and what is too large by a byte is of no use."""


def candidates(spec: Spec) -> list[Candidate]:
    """The models to fit: the one that the spec names, the members of an ensemble, or the portfolio."""
    if isinstance(spec.model, Auto):
        names = PORTFOLIO[spec.model.quality]
        found = [
            Candidate(name, MODELS.parse(POOL[name][0]), optional=number > 0, effort=POOL[name][1])
            for number, name in enumerate(names)
        ]
        return [*found, *_small(caps_of(spec))] if spec.model.is_capped else found
    models = spec.model.members if isinstance(spec.model, Ensemble) else (spec.model,)
    return [Candidate(name, model) for name, model in zip(_names(models), models, strict=True)]


def _small(caps: Mapping[str, float]) -> list[Candidate]:
    """The candidates for where the model has to be quick or small."""
    room = (_FILLED * caps["bytes"] - _FEATURE_BYTES) / _LEAF_BYTES if "bytes" in caps else _MOST_LEAVES
    leaves = int(min(max(room, _FEWEST_LEAVES), _MOST_LEAVES))
    options, effort = POOL[SMALL]
    few = MODELS.parse({**options, "total_leaves": min(leaves, options["total_leaves"])})
    student = MODELS.parse({"type": "lightgbm", "total_leaves": leaves})
    return [
        Candidate(SMALL, few, optional=True, effort=effort),
        Candidate(DISTILLED, student, optional=True, effort=2.0, taught=True),
    ]


def caps_of(spec: Spec) -> dict[str, float]:
    """The most `bytes` of the model and `microseconds` of a row, where the spec caps them."""
    if not isinstance(spec.model, Auto):
        return {}
    caps: dict[str, float] = {}
    if spec.model.max_size is not None:
        caps["bytes"] = bytes_of(spec.model.max_size)
    if spec.model.max_latency is not None:
        caps["microseconds"] = microseconds_of(spec.model.max_latency)
    return caps


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
