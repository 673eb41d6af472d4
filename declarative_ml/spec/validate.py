"""The document against its pydantic models: a Spec, or every fault in words for a person."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from declarative_ml.core.errors import Problem
from declarative_ml.spec.document import Spec
from declarative_ml.spec.explain_errors import explain_errors, faults, real_path
from declarative_ml.spec.positions import Node, Path, Positions

_ROUNDS = 5


@dataclass(frozen=True)
class Validated:
    """What became of a document."""

    spec: Spec | None
    problems: list[Problem]
    sound: Spec | None
    """The spec, or what is left of an invalid one without its faulty values, for the checks that follow."""


def validate(root: Node, positions: Positions, known: Sequence[Problem] = ()) -> Validated:
    """Build the Spec, or say everything that is wrong. Values that `known` problems name are left out.

    Types are strict: a text is no number and no truth value. Two readings are still granted, because
    YAML decides types by looks: a number where text is asked for is taken as written (`positive: 1`),
    and a whole number may be written `1e3`.
    """
    data = root.plain()
    spoken_of = {(problem.file, problem.line, problem.column) for problem in known}
    refused = _paths_at(positions, spoken_of)
    spec, errors = _build(data)
    while spec is None and _grant(errors, data, positions):
        spec, errors = _build(data)
    problems = _unknown_unset(data, positions)
    if spec is not None and not problems:
        return Validated(spec, [], _sound_part(data, [], refused) if refused else spec)
    problems += explain_errors(_fresh(errors, data, refused), data, positions)
    return Validated(None, problems, _sound_part(data, errors, refused))


def _unknown_unset(data: Any, positions: Positions) -> list[Problem]:
    """The unknown keys among those that an overlay sets to null: nothing is left of them in `data`."""
    nulls = {
        (*path, name): null for path, node in positions.nodes.items() for name, null in node.unset.items()
    }
    if not nulls:
        return []
    data = copy.deepcopy(data)
    for path in nulls:
        _holder(data, path)[path[-1]] = None
    unknown = [
        error
        for error in _build(data)[1]
        if error["type"] == "extra_forbidden" and real_path(error["loc"], data, error["type"]) in nulls
    ]
    return explain_errors(unknown, data, Positions({**positions.nodes, **nulls}, positions.file))


def _build(data: Any) -> tuple[Spec | None, list[ErrorDetails]]:
    try:
        return Spec.model_validate_json(to_json(data), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _grant(errors: list[ErrorDetails], data: Any, positions: Positions) -> bool:
    """Replace the values whose reading may bend. Returns whether any was replaced."""
    changed = False
    for error in errors:
        path = real_path(error["loc"], data, error["type"])
        node = positions.nodes.get(path)
        if node is None or not path:
            continue
        holder = _holder(data, path)
        if error["type"] == "string_type" and node.text is not None and node.value is not None:
            changed |= holder[path[-1]] != node.text
            holder[path[-1]] = node.text
        elif error["type"] == "int_type" and isinstance(holder[path[-1]], float):
            whole = holder[path[-1]].is_integer()
            changed |= whole
            holder[path[-1]] = int(holder[path[-1]]) if whole else holder[path[-1]]
    return changed


def _holder(data: Any, path: Path) -> Any:
    """The mapping or list that holds the value at `path`."""
    for part in path[:-1]:
        data = data[part]
    return data


def _paths_at(positions: Positions, places: set[tuple[str, int, int]]) -> set[Path]:
    """The paths of the values that stand at these places of files."""
    return {
        path
        for path, node in positions.nodes.items()
        if path and node.place.line and (node.place.file, node.place.line, node.place.column) in places
    }


def _fresh(errors: list[ErrorDetails], data: Any, refused: set[Path]) -> list[ErrorDetails]:
    """The errors that are not the consequence of a reference or scalar that was already refused."""
    above = {path[:length] for path in refused for length in range(len(path))}

    def is_fresh(error: ErrorDetails) -> bool:
        path = real_path(error["loc"], data, error["type"])
        if error["type"] == "extra_forbidden":
            return True  # an unknown key is one, whatever its value
        return path not in refused and not (error["type"] == "value_error" and path in above)

    return [error for error in errors if is_fresh(error)]


def _sound_part(data: Any, errors: list[ErrorDetails], refused: set[Path]) -> Spec | None:
    """The document without what the errors name, so that later checks can still speak of the rest."""
    data = copy.deepcopy(data)
    _take_out(data, {_faulty(path, "") for path in refused})
    spec = None
    for _ in range(_ROUNDS):
        if errors or spec is None:
            spec, errors = _build(data)
        if spec is not None:
            return spec
        paths = {_faulty(path, kind) for path, kind in faults(errors, data)}
        if () in paths:
            return None
        _take_out(data, paths)
    return None


def _take_out(data: Any, paths: set[Path]) -> None:
    for path in sorted(paths, key=len, reverse=True):
        _holder(data, path).pop(path[-1], None)


def _faulty(path: Path, kind: str) -> Path:
    """What to take out: the mapping that lacks a key, and a whole list rather than one of its entries."""
    if kind == "missing":
        path = path[:-1]
    for length, part in enumerate(path):
        if isinstance(part, int):
            return path[:length]
    return path
