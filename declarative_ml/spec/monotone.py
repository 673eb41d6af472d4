"""Which models can keep the columns of a spec monotone, and why the others cannot."""

from __future__ import annotations

from declarative_ml.learning.monotone import Direction
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.spec.document import Auto, Spec
from declarative_ml.spec.portfolio import candidates


def monotone_features(spec: Spec) -> dict[str, Direction]:
    """Column -> direction, of the features that have one."""
    if spec.features == "auto":
        return {}
    found = {name: getattr(feature, "monotone", None) for name, feature in spec.features.items()}
    return {name: direction for name, direction in found.items() if direction is not None}


def why_not(model: Model, columns: dict[str, Direction]) -> str | None:
    """That the model cannot keep the directions of these columns, without its name; None when it can."""
    if model.monotone or not columns:
        return None
    name, direction = next(iter(columns.items()))
    return f"cannot keep the prediction {direction} in '{name}'"


def left_out(spec: Spec) -> dict[str, str]:
    """The candidates of `auto` that are not fitted, with the reason; models that a spec names are its own."""
    if not isinstance(spec.model, Auto):
        return {}
    columns = monotone_features(spec)
    reasons = {each.name: why_not(each.model, columns) for each in candidates(spec)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def able_models() -> list[str]:
    """The kinds of models that keep columns monotone."""
    return [name for name in MODELS if MODELS.load(name).monotone]
