"""Another tool's config as nodes with places, and its values as the kinds that a conversion asks for."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.yaml_reader import MAX_BYTES, read_yaml

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_config(path: Path, tool: str) -> Node:
    """The config, a mapping. YAML's `<<` is expanded.

    Raises UsageError when the file cannot be read or is no mapping, SpecError for what is not YAML.
    """
    root, problems = read_yaml(_read_text(path, tool), str(path))
    if problems:
        raise SpecError(problems, hint=f"is {path} a config of {tool}?")
    if root is None or not root.is_mapping or not root.value:
        empty = root is None or root.value in (None, {})
        found = "is empty" if empty else f"holds {kind_of(root)}, not a mapping of keys"
        raise UsageError(f"{path} {found}", hint=f"give the YAML config of a {tool} model")
    return _with_merges(root)


def _read_text(path: Path, tool: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint=_near_file(path)) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"{path} is larger than {MAX_BYTES:,} bytes", hint=f"is it the data? give the config of {tool}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8: byte {error.start + 1}", hint="save the config as UTF-8"
        ) from error


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    names = sorted(
        entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml", ".json")
    )
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else "check the path"


def _with_merges(node: Node) -> Node:
    """The node with `<<: *other` replaced by what it refers to, as YAML 1.1 does."""
    if isinstance(node.value, list):
        return replace(node, value=[_with_merges(child) for child in node.value])
    if not isinstance(node.value, dict):
        return node
    children = {name: _with_merges(child) for name, child in node.value.items()}
    merge = children.get("<<")
    others = [] if merge is None else merge.value if isinstance(merge.value, list) else [merge]
    if others and all(other.is_mapping for other in others):
        del children["<<"]
        for other in others:
            children = {**other.value, **children}
    return replace(node, value=children)


def where(node: Node) -> str:
    """`config.yaml:12`."""
    place = node.key or node.place
    return f"{place.file}:{place.line}"


def kind_of(node: Node | None) -> str:
    """What a node holds, for a message."""
    value = None if node is None else node.value
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "a truth value", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def mapping(node: Node, name: str) -> dict[str, Node]:
    """The children of a section; none of an empty one. Raises UsageError when it is something else."""
    if node.value is None:
        return {}
    if not node.is_mapping:
        raise UsageError(
            f"{where(node)}: {name} holds {kind_of(node)}", hint=f"{name} must be a mapping of keys to values"
        )
    children: dict[str, Node] = node.value
    return children


def section(parent: dict[str, Node], name: str) -> dict[str, Node]:
    """The children of the section `name`; none when it is absent. Raises UsageError as `mapping` does."""
    return mapping(parent[name], name) if name in parent else {}


def items(parent: dict[str, Node], name: str, hint: str) -> list[Node]:
    """The items of the list `name`. Raises UsageError when it is absent, empty or no list."""
    node = parent.get(name)
    if node is None or node.value in (None, []):
        at = f"{where(node)}: " if node else ""
        raise UsageError(f"{at}the config has no {name}", hint=hint)
    if not isinstance(node.value, list):
        raise UsageError(f"{where(node)}: {name} holds {kind_of(node)}, not a list", hint=hint)
    return node.value


def text(parent: dict[str, Node], name: str, of: Node, what: str) -> str:
    """The text under `name`; a number counts as it was written. Raises UsageError when there is none."""
    found = as_text(parent.get(name))
    if not found:
        held = f" but {kind_of(parent[name])}" if name in parent else ""
        raise UsageError(f"{where(of)}: {what} has no text for '{name}'{held}", hint=f"give it a {name}")
    return found


def as_text(node: Node | None) -> str | None:
    """A scalar as text, a number as it was written; None for anything else."""
    if node is None or node.value is None or isinstance(node.value, dict | list):
        return None
    return node.value if isinstance(node.value, str) else (node.text or str(node.value))


def as_number(node: Node | None) -> int | float | None:
    """A number (not a truth value), or None."""
    value: Any = None if node is None else node.value
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_truth(node: Node | None) -> bool | None:
    """A truth value, also as YAML 1.1 writes it (`yes`, `off`), or None."""
    value: Any = None if node is None else node.value
    return (
        _TRUTHS.get(value.lower()) if isinstance(value, str) else value if isinstance(value, bool) else None
    )


def is_off(node: Node) -> bool:
    """Whether a value switches something off: nothing, false, 0, `none`, or empty."""
    return node.value in (None, 0, "none", "None") or node.value in ([], {})


def as_texts(node: Node | None) -> list[str] | None:
    """A list of texts, or one text as a list of one; None for anything else."""
    if node is None:
        return None
    found = [as_text(item) for item in (node.value if isinstance(node.value, list) else [node])]
    return [item for item in found if item is not None] if all(item is not None for item in found) else None
