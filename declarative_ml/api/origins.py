"""Where every value of a resolved spec comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from declarative_ml.spec.dump import spec_options
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.spec.positions import Node, Path, Place, dotted
from declarative_ml.spec.secrets import secret_paths


def origins(loaded: LoadedSpec) -> list[dict[str, Any]]:
    """One entry for each leaf of the spec, in the order of the document.

    `path`, `value`; `origin`: file, line, column and the profile (None for a default); `via`: the
    references that it came through; `over`: what it replaced, the nearest first, each with its origin.
    """
    folder, nodes = loaded.path.resolve().parent, loaded.positions.nodes
    secrets = secret_paths(nodes[()])
    return [
        {"path": dotted(path), "value": value, **_origin(nodes.get(path), secret=path in secrets)}
        for path, value in _leaves(spec_options(loaded.spec, folder), ())
    ]


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))
    else:
        yield path, value


def _origin(node: Node | None, *, secret: bool) -> dict[str, Any]:
    if node is None:
        return {"origin": None, "via": [], "over": []}
    return {"origin": _place(node.place), "via": list(node.via), "over": list(_replaced(node, secret=secret))}


def _replaced(node: Node, *, secret: bool) -> Iterator[dict[str, Any]]:
    below = node.over
    while below is not None:
        # What a template gave in clear is not shown, although it does not count.
        yield {"value": "***" if secret else below.plain(), "origin": _place(below.place)}
        below = below.over


def _place(place: Place) -> dict[str, Any]:
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "profile": place.layer.removeprefix("profile ") or None,
    }


def origin_text(origin: dict[str, Any] | None) -> str:
    """An origin in a few words."""
    if origin is None:
        return "default"
    place = f"{origin['file']}:{origin['line']}:{origin['column']}" if origin["line"] else origin["file"]
    return f"{place} (profile {origin['profile']})" if origin["profile"] else str(place)
