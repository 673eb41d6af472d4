"""Where each value of a spec was written: nodes with places, and the map from path to place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document down to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line. `line` and `column` count from 1; 0 means that there is no line to show.

    `file` is the spec's path, or the argument (`--set seed=1`) that the value came from.
    """

    file: str
    line: int = 0
    column: int = 0
    width: int = 1
    layer: str = ""
    """The profile that the value came with."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its places. Mappings hold nodes by key, lists hold nodes, the rest are scalars."""

    value: Any
    place: Place
    key: Place | None = None
    """Where the key stands, for a value of a mapping."""
    text: str | None = None
    """The scalar as written, where YAML reads it as a number, true, false or null."""
    via: tuple[str, ...] = ()
    """The references that the value came through, each with its place."""
    over: Node | None = None
    """What the value replaced."""
    unset: Mapping[str, Node] = field(default_factory=dict)
    """The nulls that overlays laid over this mapping where there was nothing to unset."""

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.value, dict)

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Every node from here down with its path, parents first."""
        waiting = [(path, self)]
        while waiting:
            place, node = waiting.pop()
            yield place, node
            if isinstance(node.value, dict):
                waiting += [((*place, key), child) for key, child in reversed(node.value.items())]
            elif isinstance(node.value, list):
                waiting += [((*place, number), child) for number, child in reversed([*enumerate(node.value)])]


@dataclass(frozen=True)
class Positions:
    """The places of a whole document, by path."""

    nodes: Mapping[Path, Node] = field(default_factory=dict)
    file: str = ""

    @classmethod
    def of(cls, root: Node) -> Positions:
        """The places of everything below `root`."""
        return cls(dict(root.walk()), root.place.file)

    def key(self, path: Path) -> Place:
        """Where the key of `path` stands; the nearest known parent when it was not written."""
        node = self.nearest(path)
        return (node.key or node.place) if node else Place(self.file)

    def value(self, path: Path) -> Place:
        """Where the value of `path` stands; the nearest known parent when it was not written.

        A mapping or list is shown at its key, because its own place is a whole block.
        """
        node = self.nearest(path)
        if node is None:
            return Place(self.file)
        block = isinstance(node.value, dict | list)
        return node.key if block and node.key else node.place

    def nearest(self, path: Path) -> Node | None:
        """The node at `path`, or at the longest part of it that was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.nodes:
                return self.nodes[path[:length]]
        return None


def dotted(path: Path) -> str:
    """A path as people write it: `model.members[0].epochs`, and `features."a.b"` for a name with dots."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = f'"{part}"' if set(part) & set(".[]") else part
        text += f".{name}" if text else name
    return text
