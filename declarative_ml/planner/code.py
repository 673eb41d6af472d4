"""The digest of the source code that a step depends on, followed through our own imports.

A hand-bumped version number forgets; the imports do not. The result of a step therefore ages when
the step's module, its components, or anything of ours that these import changes by a byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import declarative_ml

_ROOT = Path(declarative_ml.__file__).parent
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(declarative_ml[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)"
    r"|import[ \t]+(declarative_ml[\w.]*))",
    re.MULTILINE,
)
# These carry no computation: how a plan is drawn or an error worded must not age a trained model.
_NEUTRAL = {
    "declarative_ml",
    "declarative_ml.core.errors",
    "declarative_ml.core.faults",
    "declarative_ml.core.optional",
    "declarative_ml.core.atomic",
    "declarative_ml.graph.plan",
    "declarative_ml.steps.context",
}

_ASSETS = {".js", ".mjs", ".ts", ".html", ".css"}


def code_digests(modules: Iterable[str]) -> dict[str, str]:
    """Module -> digest of its source, for the given modules and all of ours that they import."""
    found: dict[str, str] = {}
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module in found or module in _NEUTRAL:
            continue
        digest, imported = _read(module)
        found[module] = digest
        queue.extend(imported)
    return found


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(module)
    text = path.read_text(encoding="utf-8")
    imported: set[str] = set()
    for source, names, plain in _IMPORT.findall(text):
        imported.add(source or plain)
        for name in re.findall(r"\w+", names):
            candidate = f"{source}.{name}"
            if _path(candidate) is not None:
                imported.add(candidate)
    content = text.encode() + _assets(path)
    return hashlib.sha256(content).hexdigest()[:16], tuple(sorted(imported))


def _assets(path: Path) -> bytes:
    """What a package holds beside Python and hands out: scripts and pages that go into a format's folder."""
    if path.name != "__init__.py":
        return b""
    found = sorted(item for item in path.parent.rglob("*") if item.suffix in _ASSETS)
    return b"".join(item.name.encode() + item.read_bytes() for item in found)


@cache
def _path(module: str) -> Path | None:
    below = _ROOT.parent.joinpath(*module.split("."))
    for candidate in (below.with_suffix(".py"), below / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
