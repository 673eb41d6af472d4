"""The one merge rule, for templates, profiles and `--set`.

Mappings merge deeply, except that a mapping whose `type`, `method` or `format` changes is replaced;
anything else replaces; null unsets; `key+: [..]` appends to a list. A key with nothing behind it is no
null: it stays, for validation to speak of.
"""

from __future__ import annotations

from dataclasses import replace

from declarative_ml.core.errors import Problem
from declarative_ml.spec.positions import Node, Path, Place, dotted
from declarative_ml.spec.yaml_reader import read_yaml

_KINDS = ("type", "method", "format")
_NOT_KINDS: frozenset[Path] = frozenset({("target",)})
"""Here `type` is an option like others: a new type of target keeps its column."""


def merge(base: Node, overlay: Node, problems: list[Problem], path: Path = ()) -> Node:
    """`overlay` laid over `base`. What cannot be merged is added to `problems`."""
    if not (base.is_mapping and overlay.is_mapping):
        return replace(overlay, over=base)
    merged, unset = dict(base.value), {**base.unset, **overlay.unset}
    if _changes_kind(base, overlay, path):
        merged, unset = {}, dict(overlay.unset)
    for name, node in overlay.value.items():
        if name.endswith("+") and isinstance(node.value, list):
            _append(merged, name[:-1], node, problems, path)
        elif node.value is None and node.text != "":
            merged.pop(name, None)
            if name not in base.value:
                unset[name] = node
        elif name in merged:
            merged[name] = merge(merged[name], node, problems, (*path, name))
        else:
            merged[name] = _without_markers(node)
    unset = {name: node for name, node in unset.items() if name not in merged}
    return replace(base, value=merged, unset=unset)


def _without_markers(node: Node) -> Node:
    """An overlay that meets nothing below it: nulls drop out and `key+` is just `key`."""
    if not node.is_mapping:
        return node
    return merge(replace(node, value={}, unset={}), node, [])


def _changes_kind(base: Node, overlay: Node, path: Path) -> bool:
    if path in _NOT_KINDS:
        return False
    return any(
        kind in base.value and kind in overlay.value and base.value[kind].value != overlay.value[kind].value
        for kind in _KINDS
    )


def _append(merged: dict[str, Node], name: str, node: Node, problems: list[Problem], path: Path) -> None:
    old = merged.get(name)
    if old is None:
        merged[name] = node
    elif isinstance(old.value, list):
        merged[name] = replace(old, value=[*old.value, *node.value])
    else:
        place = node.key or node.place
        problems.append(
            Problem(
                "DML020", f"'{name}+' appends to a list, but {dotted((*path, name))} is not a list",
                file=place.file, line=place.line, column=place.column, width=place.width,
                hint=f"write '{name}:' to replace it",
            )
        )  # fmt: skip


def read_override(argument: str) -> tuple[Node | None, list[Problem]]:
    """`a.b.c=value` as an overlay; the value is YAML. Dots inside quotation marks belong to a name."""
    origin = f"--set {argument}"
    name, equals, text = argument.partition("=")
    parts = _split_name(name.strip())
    if not equals or not parts or not all(parts):
        hint = "write --set key.key=value, for example --set model.learning_rate=0.05"
        return None, [Problem("DML011", f"cannot read '{origin}'", file=origin, hint=hint)]
    node, problems = read_yaml(text, origin)
    if problems:
        hint = "the value after '=' is read as YAML: quote special characters"
        return None, [Problem("DML011", f"{found.message}", file=origin, hint=hint) for found in problems]
    place = Place(origin)
    tree = _at(node, place) if node is not None else Node(None, place, text="null")
    for part in reversed(parts):
        tree = Node({part: replace(tree, key=place)}, place)
    return tree, []


def _at(node: Node, place: Place) -> Node:
    """The node with every place set to the argument it came from."""
    value = node.value
    if isinstance(value, dict):
        value = {name: replace(_at(child, place), key=place) for name, child in value.items()}
    elif isinstance(value, list):
        value = [_at(child, place) for child in value]
    return replace(node, value=value, place=place)


def _split_name(name: str) -> list[str]:
    parts, quote, current = [], "", ""
    for character in name:
        if quote:
            quote, current = ("", current) if character == quote else (quote, current + character)
        elif character in "\"'" and not current:
            quote = character
        elif character == ".":
            parts.append(current)
            current = ""
        else:
            current += character
    return [] if quote else [*parts, current]
