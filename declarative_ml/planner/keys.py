"""Cache keys: a pure function of what a step does, on what, with which code and libraries.

No clock, path or host enters a key. Input artifacts enter by their content, so a step that runs
again and makes the same bytes does not make its dependants run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from declarative_ml.core.digest import digest_json
from declarative_ml.core.versions import library_version
from declarative_ml.graph.plan import Step
from declarative_ml.planner.code import code_digests
from declarative_ml.steps import STEPS


def key_document(
    step: Step, inputs: Mapping[str, str], files: Mapping[str, str], threads: int
) -> dict[str, Any]:
    """Everything that decides the step's result; `inputs` are digests by role, `files` digests by path."""
    return {
        "kind": step.kind,
        "params": step.params,
        "inputs": {role: inputs[role] for role in step.inputs},
        "files": [files[path] for path in step.files],
        "code": code_digests([STEPS[step.kind], *step.components]),
        "libraries": {name: library_version(name) for name in step.libraries},
        "threads": threads if step.kind in ("train", "trial") else 0,
    }


def step_key(document: Mapping[str, Any]) -> str:
    """The cache key of a key document."""
    return digest_json(document)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two key documents, in words: `params.rounds: 100 -> 200`."""
    changes: list[str] = []
    for name in [*old, *(name for name in new if name not in old)]:
        before, after, path = old.get(name), new.get(name), f"{prefix}{name}"
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += differences(before, after, f"{path}.")
        else:
            changes.append(_change(path, before, after))
    return changes


def _change(path: str, before: Any, after: Any) -> str:
    if path.startswith("inputs."):
        return f"input {path.removeprefix('inputs.')} changed"
    if path.startswith("files"):
        return "the data files changed"
    if path.startswith("code."):
        return f"code of {path.removeprefix('code.')} changed"
    if path == "params":
        return "its parameters changed"
    return f"{path}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
