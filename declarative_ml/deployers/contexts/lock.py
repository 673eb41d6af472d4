"""Exact versions for an image: those installed here, of what is asked for and of all that it needs."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.contexts.own import DISTRIBUTION, extras, requirements

SCORING = ("click", "numpy", "onnxruntime", "pydantic", "pyyaml")
"""Of what this package itself requires: the part that answers with a bundle. No pyarrow, no trainer."""

_CPU_TORCH = "https://download.pytorch.org/whl/cpu"
"""Where builds of torch with the local version `+cpu` are."""


@dataclass(frozen=True, order=True)
class Pin:
    """One distribution and its exact version."""

    name: str
    version: str


def serving_roots(more: Iterable[str] = ()) -> list[str]:
    """What serving a bundle requires, and `more` distributions."""
    return [*SCORING, *_extra("serve"), *more]


def training_roots(libraries: Iterable[str]) -> list[str]:
    """What the package requires, and the extras that bring those of the plan's `libraries` that are
    installed here. The plan ran, or will run, without the others."""
    wanted = {canonicalize_name(name) for name in libraries if _is_installed(name)}
    own = [text for text in requirements() if not _is_optional(text)]
    return [*own, *sorted(wanted), *(text for name in sorted(_extras_of(wanted)) for text in _extra(name))]


def pins(roots: Iterable[str]) -> list[Pin]:
    """The roots and everything that they need on this kind of machine, by name.

    What another package says it needs, and does without here (`pip install --no-deps`), is left out. Raises
    UsageError naming what of the roots and of our own requirements is not installed here.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [Requirement(root) for root in roots]
    while queue:
        wanted = queue.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        if key[0] == DISTRIBUTION:
            needed = [Requirement(text) for text in requirements()]
        else:
            found[key[0]], needed = _installed(wanted.name)
        queue.extend(item for item in needed if _applies(item, wanted.extras))
    return sorted(Pin(name, version) for name, version in found.items())


def lock_text(pinned: Sequence[Pin]) -> str:
    """The pins as a requirements file for pip."""
    version = ".".join(map(str, sys.version_info[:2]))
    lines = [f"# The versions installed where this was written: Python {version}, {platform.machine()}"]
    if any(pin.version.endswith("+cpu") for pin in pinned):
        lines.append(f"--extra-index-url {_CPU_TORCH}")
    return "\n".join([*lines, *(f"{pin.name}=={pin.version}" for pin in pinned)]) + "\n"


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def _installed(name: str) -> tuple[str, list[Requirement]]:
    """The version of a distribution, and those of its requirements that are installed as well."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"{name} is not installed here, so the image's lock cannot name its version",
            hint=f"pip install '{name}'",
        ) from None
    needed = map(Requirement, distribution.requires or ())
    return distribution.version, [item for item in needed if _is_installed(item.name)]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _is_optional(text: str) -> bool:
    return re.search(r";.*\bextra\s*==", text) is not None


def _extra(name: str) -> list[str]:
    """The requirements of one of our extras that hold on this kind of machine."""
    found = [Requirement(text) for text in requirements() if _is_optional(text)]
    return [str(item).partition(";")[0].strip() for item in found if _applies(item, (name,))]


def _extras_of(libraries: Iterable[str]) -> set[str]:
    """For each library the smallest of our extras that names it, where one does."""
    members = {
        name: {canonicalize_name(Requirement(text).name) for text in _extra(name)}
        for name in extras()
        if name != "all"
    }
    chosen = set()
    for library in libraries:
        bringing = [name for name, held in members.items() if library in held]
        if bringing:
            chosen.add(min(bringing, key=lambda name: (len(members[name]), name)))
    return chosen
