"""Where each value of a YAML text begins and ends, so that one can be changed and all else kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

Name = str | int
"""A key of a mapping, or a position in a list."""


@dataclass(slots=True)
class Part:
    """A value: `text[start:end]`, anchor included. A block ends with its last value."""

    kind: Literal["scalar", "mapping", "list", "alias"]
    start: int
    end: int
    flow: bool = False
    """Whether it is written in brackets."""
    entries: dict[Name, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """What a mapping or list holds under one name: `text[start:end]` is the key (empty in a list)."""

    start: int
    end: int
    value: Part

    @property
    def stop(self) -> int:
        """Where the value ends; where the key does when there is none."""
        return max(self.end, self.value.end)


@dataclass(frozen=True, slots=True)
class Parts:
    """A whole document."""

    root: Part
    scalars: tuple[tuple[int, int], ...]
    """Begin and end of every scalar and alias, keys included, in order: what no comment can stand in."""


def read_parts(text: str) -> Parts:
    """The parts of a document that `read_yaml` has found nothing wrong with."""
    reader = _Reader(text)
    for event in _events(text):
        reader.take(event)
    assert reader.root is not None
    return Parts(reader.root, tuple(reader.scalars))


_Key = tuple[str, int, int]


class _Reader:
    """Puts parts together from events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root: Part | None = None
        self.scalars: list[tuple[int, int]] = []
        self.stack: list[tuple[Part, list[_Key]]] = []
        """Open mappings and lists, each with the key whose value comes next."""

    def take(self, event: Any) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        match event:
            case yaml.ScalarEvent():
                if event.style in ("|", ">"):  # the mark stands behind the empty lines that follow
                    end = start + len(self.text[start:end].rstrip())
                self.scalars.append((start, end))
                self.add(Part("scalar", start, end), event.value)
            case yaml.AliasEvent():
                self.scalars.append((start, end))
                self.add(Part("alias", start, end), "")
            case yaml.MappingStartEvent():
                self.stack.append((Part("mapping", start, end, flow=bool(event.flow_style)), []))
            case yaml.SequenceStartEvent():
                self.stack.append((Part("list", start, end, flow=bool(event.flow_style)), []))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                part, _ = self.stack.pop()
                inside = [entry.stop for entry in part.entries.values()]
                part.end = end if part.flow or not inside else inside[-1]
                self.add(part, "")

    def add(self, part: Part, text: str) -> None:
        """Put a part where it belongs; `text` is what it says, should it be a key."""
        if not self.stack:
            self.root = part
            return
        parent, waiting = self.stack[-1]
        if parent.kind == "list":
            parent.entries[len(parent.entries)] = Entry(part.start, part.start, part)
        elif waiting:
            name, start, end = waiting.pop()
            parent.entries[name] = Entry(start, end, part)
        else:
            waiting.append((text, part.start, part.end))


def _events(text: str) -> Iterator[Any]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from yaml.parse(text, Loader=loader)
