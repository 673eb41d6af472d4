"""What differs between two specs in meaning, and which steps would run again because of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declarative_ml.api.planning import make_plan
from declarative_ml.graph.plan import Step
from declarative_ml.spec.dump import spec_options
from declarative_ml.spec.load import LoadedSpec


def diff_specs(old: LoadedSpec, new: LoadedSpec) -> dict[str, Any]:
    """`options`: dotted path -> [old, new]; `steps`: id -> `added`, `removed`, `changed` or `after STEP`.

    Paths of data are compared as each spec says them, relative to its own folder. A step that is named
    here has another cache key in the second spec whatever the data holds, unless a step before it happens
    to give the same result.
    """
    options = [spec_options(loaded.spec, loaded.path.resolve().parent) for loaded in (old, new)]
    before, after = ({step.id: step for step in make_plan(loaded).ordered()} for loaded in (old, new))
    return {"options": changed_options(*options), "steps": _steps(before, after)}


def _steps(before: dict[str, Step], after: dict[str, Step]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, step in after.items():
        if name not in before:
            found[name] = "added"
        elif _own(step) != _own(before[name]) or not _same_files(step.files, before[name].files):
            found[name] = "changed"
        else:
            cause = next((needed for needed in step.inputs.values() if needed in found), None)
            if cause is not None:
                found[name] = f"after {cause}"
    return {**found, **{name: "removed" for name in before if name not in after}}


def _own(step: Step) -> dict[str, Any]:
    """What of a step decides its key, but for what it reads and the versions at work."""
    fields = step.model_dump(mode="json")
    return {name: fields[name] for name in ("kind", "params", "inputs", "components", "effect")}


def _same_files(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether the files hold the same; equal paths do."""
    if old == new:
        return True
    return len(old) == len(new) and all(_digest(a) == _digest(b) for a, b in zip(old, new, strict=True))


def _digest(name: str) -> str:
    try:
        with Path(name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return name


def changed_options(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    """Dotted path -> [old, new] of every option that differs; None where there is none."""
    return pairs(_flat(old), _flat(new), changed=True)


def pairs(old: Mapping[str, Any], new: Mapping[str, Any], *, changed: bool = False) -> dict[str, list[Any]]:
    """Name -> [old, new]; with `changed` only where they differ."""
    names = dict.fromkeys([*old, *new])
    return {
        name: [old.get(name), new.get(name)]
        for name in names
        if not changed or old.get(name) != new.get(name)
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {
        path: leaf for name, item in value.items() for path, leaf in _flat(item, f"{prefix}{name}.").items()
    }
