"""Last changes of rendered objects: strategic merge, and JSON patches (RFC 6902)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Object, Patch
from declarative_ml.deployers.manifests.merge import overlay


class PatchFault(UsageError):
    """A patch that fits no object, or cannot be carried out."""

    def __init__(self, patch: Patch, message: str, hint: str) -> None:
        super().__init__(f"deploy.patches[{patch.place}]: {message}", hint=hint)
        self.patch = patch
        self.fault = message


def patched(objects: Sequence[Object], patches: Sequence[Patch], *, strict: bool = True) -> list[Object]:
    """The objects with all patches applied in order. Raises PatchFault, with `strict` also for one that
    fits no object."""
    found = list(objects)
    for patch in patches:
        at = [number for number, each in enumerate(found) if _fits(patch, each)]
        if not at and strict:
            raise PatchFault(patch, f"no {_wanted(patch)} is rendered", _known(found))
        for number in at:
            found[number] = _apply(patch, found[number])
    return found


def _fits(patch: Patch, each: Object) -> bool:
    return each["kind"] == patch.kind and patch.name in (None, each["metadata"]["name"])


def _wanted(patch: Patch) -> str:
    return patch.kind if patch.name is None else f"{patch.kind} {patch.name}"


def _known(objects: Sequence[Object]) -> str:
    return "objects: " + ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in objects)


def _apply(patch: Patch, each: Object) -> Object:
    if patch.merge is not None:
        return overlay(each, patch.merge)
    changed = copy.deepcopy(each)
    for operation in patch.operations:
        try:
            _operate(changed, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            what = f"{operation['op']} {operation['path']}"
            raise PatchFault(
                patch, f"cannot {what} in {_wanted(patch)}", f"there is no such place: {error}"
            ) from error
    return changed


def _operate(document: Object, operation: Mapping[str, Any]) -> None:
    """One operation. Raises KeyError, IndexError or ValueError where the place is not there."""
    kind, path = operation["op"], operation["path"]
    if kind == "test":
        if _get(document, path) != operation.get("value"):
            raise ValueError(f"{path} has another value")
    elif kind == "remove":
        _take(document, path)
    elif kind == "replace":
        _get(document, path)
        _set(document, path, operation.get("value"), insert=False)
    elif kind == "add":
        _set(document, path, operation.get("value"), insert=True)
    elif kind == "copy":
        _set(document, path, copy.deepcopy(_get(document, operation["from"])), insert=True)
    else:
        _set(document, path, _take(document, operation["from"]), insert=True)


def _parts(path: str) -> list[str]:
    if not path.startswith("/"):
        raise ValueError(f"'{path}' is no JSON pointer: it begins with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _step(holder: Any, part: str) -> Any:
    return holder[int(part)] if isinstance(holder, list) else holder[part]


def _holder(document: Object, path: str) -> tuple[Any, str]:
    *parents, last = _parts(path)
    holder: Any = document
    for part in parents:
        holder = _step(holder, part)
    return holder, last


def _get(document: Object, path: str) -> Any:
    return _step(*_holder(document, path))


def _take(document: Object, path: str) -> Any:
    holder, last = _holder(document, path)
    return holder.pop(int(last) if isinstance(holder, list) else last)


def _set(document: Object, path: str, value: Any, *, insert: bool) -> None:
    holder, last = _holder(document, path)
    if isinstance(holder, list):
        at = len(holder) if last == "-" else int(last)
        if at > len(holder):
            raise IndexError(f"{path} is behind the end of the list")
        holder[at : at if insert else at + 1] = [value]
    elif isinstance(holder, dict):
        holder[last] = value
    else:
        raise TypeError(f"{path} is inside of a value")
