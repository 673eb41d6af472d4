"""Which model describes which part of a document: for nearest names, choices and sections of keys."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path, dotted

TAGS = ("type", "method")
"""Keys that choose between the models of a union."""


def models_at(data: Any, path: Path) -> list[type[BaseModel]]:
    """The models that may describe the mapping at `path`; one where its `type` or `method` decides."""
    annotations: list[Any] = [Spec]
    for part in path:
        annotations = [child for each in _fitting(annotations, data) for child in _children(each, part)]
        data = _step(data, part)
    return [each for each in _fitting(annotations, data) if _is_model(each)]


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that the YAML may hold, in the order of the fields."""
    return [field.alias or name for name, field in model.model_fields.items()]


@cache
def sections_of_keys() -> dict[str, str]:
    """Key -> the section where it belongs (dotted), for keys that stand in exactly one section."""
    found: dict[str, set[str]] = {}
    for section, model in _sections(Spec, ()):
        for key in keys_of(model):
            found.setdefault(key, set()).add(section)
    return {key: min(sections) for key, sections in found.items() if len(sections) == 1}


def _sections(model: type[BaseModel], path: Path) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in zip(keys_of(model), model.model_fields.values(), strict=True):
        for branch in _flatten(field.annotation):
            if _is_model(branch):
                yield dotted((*path, key)), branch
                yield from _sections(branch, (*path, key))


def _fitting(annotations: list[Any], data: Any) -> list[Any]:
    """The branches of unions; where the data names its type, only the model of that name."""
    branches = [branch for annotation in annotations for branch in _flatten(annotation)]
    if not isinstance(data, dict):
        return branches
    for tag in TAGS:
        chosen = [b for b in branches if _is_model(b) and tag in data and data[tag] in _choices(b, tag)]
        if chosen:
            return chosen
    return branches


def _flatten(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flatten(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for branch in get_args(annotation):
            yield from _flatten(branch)
    else:
        yield annotation


def _children(annotation: Any, part: str | int) -> list[Any]:
    if _is_model(annotation):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return [fields[part].annotation] if isinstance(part, str) and part in fields else []
    arguments = get_args(annotation)
    if get_origin(annotation) is dict and isinstance(part, str):
        return [arguments[1]]
    if get_origin(annotation) is tuple and isinstance(part, int):
        return [arguments[0]]
    return []


def _step(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _choices(model: type[BaseModel], tag: str) -> tuple[Any, ...]:
    field = model.model_fields.get(tag)
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
