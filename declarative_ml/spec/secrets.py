"""Which values of a document are secrets: those stay references while a spec is read."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

from declarative_ml.core.secret import Secret
from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Node, Path
from declarative_ml.spec.shapes import annotations_of, branches_below, models_at


def secret_paths(root: Node) -> frozenset[Path]:
    """The paths of the values that a section declares to be secret."""
    names = _secret_names()
    found = [path for path, _ in root.walk() if path and path[-1] in names]
    if not found:
        return frozenset()
    data = root.plain()
    return frozenset(path for path in found if is_secret(data, path))


def is_secret(data: Any, path: Path) -> bool:
    """Whether one of the models that may describe the mapping around `path` keeps this key secret."""
    return bool(path) and any(path[-1] in _secrets_of(model) for model in models_at(data, path[:-1]))


@cache
def _secret_names() -> frozenset[str]:
    return frozenset(name for model in branches_below(Spec) for name in _secrets_of(model))


@cache
def _secrets_of(model: type[BaseModel]) -> frozenset[str]:
    fields = model.model_fields.items()
    return frozenset(field.alias or name for name, field in fields if Secret in annotations_of(field))
