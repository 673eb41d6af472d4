"""Which model describes which part of a document: for nearest names, choices and sections of keys."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path, dotted

TAGS = ("type", "method", "format")
"""Keys that choose between the models of a union."""

ABOVE = ("extends", "params", "profiles")
"""Keys of the top level that are gone before a document becomes a Spec."""


_SELDOM = frozenset(
    {
        *("tune", "monitor.drift", "monitor.drift.webhook", "monitor.log", "monitor.log.rotate"),
        "deploy.predict",
    }
)
"""A misplaced key that belongs to one of these sections or to another is taken for the other's."""


def models_at(data: Any, path: Path) -> list[type[BaseModel]]:
    """The models that may describe the mapping at `path`; one where its `type` or `method` decides."""
    annotations: list[Any] = [Spec]
    for part in path:
        annotations = [child for each in _fitting(annotations, data) for child in _children(each, part)]
        data = _step(data, part)
    return [each for each in _fitting(annotations, data) if _is_model(each)]


def branches_at(data: Any, path: Path) -> list[type[BaseModel]]:
    """The models that may describe the mapping at `path`, whatever its `type` or `method` is."""
    return models_at(_without_tags(data, path), path)


def tag_of(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and value that choose this model from its union: ("type", "mlp")."""
    for tag in TAGS:
        choices = _choices(model, tag)
        if len(choices) == 1:
            return tag, str(choices[0])
    return None


def field_at(data: Any, path: Path) -> FieldInfo | None:
    """The field that describes the value at `path`; for an entry of a list that of the list."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    if not path:
        return None
    for model in models_at(data, path[:-1]):
        for name, field in model.model_fields.items():
            if (field.alias or name) == path[-1]:
                return field
    return None


def section_of(path: Path) -> str:
    """The section of a mapping at `path`, dotted: the same for each column, source and member."""
    names = [part for part in path if isinstance(part, str)]
    if names[:1] == ["features"] or names[:1] == ["tests"]:
        names[1:2] = ["*"] if len(names) > 1 else []
    elif names[:2] in (["data", "sources"], ["data", "split"]) and len(names) > 2:
        names[1:3] = ["source"]
    elif names[:2] in (["tune", "space"], ["evaluate", "gates"]):
        names[2:3] = ["*"] if len(names) > 2 else []
    elif names[:2] == ["model", "members"] and len(path) > 2:
        names[1:2] = []
    return ".".join(names)


def place_of(path: Path) -> str:
    """The place of a value, dotted: the same for each column, source and member; `[]` for a list's entry."""
    if not path:
        return ""
    if isinstance(path[-1], int):
        return f"{place_of(path[:-1])}[]"
    if len(path) == 2 and path[0] == "features":
        return "features.*"
    if len(path) == 2 and path[0] == "tests":
        return "tests.*"
    if len(path) == 3 and path[:2] in (("tune", "space"), ("evaluate", "gates")):
        return f"{path[0]}.{path[1]}.*"
    if len(path) == 3 and path[:2] == ("data", "sources"):
        return "data.source"
    section = section_of(path[:-1])
    return f"{section}.{path[-1]}" if section else path[-1]


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
    usual = {key: sections - _SELDOM or sections for key, sections in found.items()}
    return {key: min(sections) for key, sections in usual.items() if len(sections) == 1}


def branches_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models of all sections below `model`, those in unions, lists and name-keyed maps included."""
    for field in model.model_fields.values():
        for branch in annotations_of(field):
            if _is_model(branch):
                yield branch
                yield from branches_below(branch)


def annotations_of(field: FieldInfo) -> list[Any]:
    """What may stand in a field, or in an entry of it: unions, lists and maps taken apart."""
    found, queue = [], [field.annotation]
    while queue:
        for branch in _flatten(queue.pop()):
            found.append(branch)
            if get_origin(branch) in (dict, tuple):
                queue += [each for each in get_args(branch) if each is not Ellipsis]
    return found


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


def _without_tags(data: Any, path: Path) -> Any:
    """`data` down to `path` only, and there without what chooses between models."""
    if not path:
        return {}
    below = _without_tags(_step(data, path[0]), path[1:])
    if isinstance(path[0], int):
        return [*[None] * path[0], below]
    tags = {tag: data[tag] for tag in TAGS if isinstance(data, dict) and tag in data}
    return {**tags, path[0]: below}


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
