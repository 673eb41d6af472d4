"""YAML by 1.2 core rules, from parser events: values with their places, and every fault in plain words.

`NO`, `Yes`, `on`, `12:30` and `010` are text, `1e-3` is a number. Tags, duplicate keys and several
documents are refused; aliases are limited by what they expand to (against "billion laughs").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from declarative_ml.core.errors import Problem
from declarative_ml.spec.positions import Node, Place
from declarative_ml.spec.yaml_faults import character_problem, syntax_problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_SCALAR = 200_000
MAX_DIGITS = 18

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_TAG_HINTS = {
    "include": "to build on another file, name it under 'extends'",
    "import": "to build on another file, name it under 'extends'",
    "env": "a variable of the environment is written ${env:NAME}",
    "env_var": "a variable of the environment is written ${env:NAME}",
}

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StopError(Exception):
    """Reading cannot go on; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def resolve_scalar(text: str) -> Any:
    """The value of an unquoted scalar: None, bool, int, float (finite or not), or the text itself."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text) if len(text) <= MAX_DIGITS else float(text)
    if _OCTAL.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def read_yaml(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Parse one YAML document. Returns its root (None when it cannot be built) and the problems found."""
    reader = _Reader(file)
    try:
        root = reader.read(text)
    except _StopError as stop:
        return None, [*reader.problems, stop.problem]
    except yaml.MarkedYAMLError as error:
        return None, [*reader.problems, syntax_problem(error, text, file)]
    except yaml.YAMLError as error:
        return None, [*reader.problems, character_problem(error, text, file)]
    return root, reader.problems


@dataclass
class _Open:
    """A mapping or list whose end has not been read yet."""

    place: Place
    anchor: str | None
    mapping: bool
    items: list[Node] = field(default_factory=list)
    values: dict[str, Node] = field(default_factory=dict)
    key: Node | None = None
    waiting: bool = True
    """mapping: whether a key comes next."""
    size: int = 1


class _Reader:
    """Builds nodes from events on a stack of its own, so that depth cannot exhaust Python's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int, int]] = {}
        self.root: Node | None = None
        self.documents = 0

    def read(self, text: str) -> Node | None:
        for event in _events(text):
            match event:
                case yaml.DocumentStartEvent():
                    self._start_document(event)
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close()
        return self.root

    def problem(self, code: str, message: str, place: Place, hint: str | None = None) -> Problem:
        return Problem(
            code, message, file=place.file, line=place.line, column=place.column, width=place.width, hint=hint
        )

    def _place(self, event: Any, width: int | None = None) -> Place:
        start, end = event.start_mark, event.end_mark
        if width is None:
            width = end.column - start.column if end.line == start.line else 1
        return Place(self.file, start.line + 1, start.column + 1, max(width, 1))

    def _start_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            place = self._place(event, 3)
            hint = "keep one spec per file: split the file at this '---'"
            raise _StopError(self.problem("DML006", "a second YAML document starts here", place, hint))

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            tag = re.sub("^tag:yaml.org,2002:", "!!", str(event.tag))
            place = self._place(event, len(tag))
            hint = _TAG_HINTS.get(tag.strip("!").lower(), "remove it; quote a value to make it text")
            message = f"YAML tag {tag!r} is not allowed"
            self.problems.append(self.problem("DML005", message, place, hint))

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        place, text = self._place(event), event.value
        if len(text) > MAX_SCALAR:
            raise _StopError(
                self.problem("DML007", f"a value of {len(text):,} characters", place, _limit_hint())
            )
        value = text if event.style else resolve_scalar(text)
        if isinstance(value, float) and not math.isfinite(value):
            hint = "write a number, or put it in quotation marks to make it text"
            self.problems.append(self.problem("DML021", f"{text} is not a finite number", place, hint))
            value = 0.0
        if not _is_unicode(text):
            message, hint = "half of a surrogate pair is not a character", "write the character itself"
            self.problems.append(self.problem("DML021", message, place, hint))
            value = text = "?"
        node = Node(value, place, text=None if isinstance(value, str) else text)
        self._add(node, event.anchor, 1, 1)

    def _alias(self, event: Any) -> None:
        place = self._place(event)
        if any(opened.anchor == event.anchor for opened in self.stack):
            message = f"*{event.anchor} stands inside of what it refers to"
            raise _StopError(self.problem("DML003", message, place, "an anchor cannot contain itself"))
        if event.anchor not in self.anchors:
            hint = f"define it first with &{event.anchor}, or quote a text that begins with '*'"
            message = f"*{event.anchor} refers to an anchor that is not defined before it"
            raise _StopError(self.problem("DML003", message, place, hint))
        node, size, depth = self.anchors[event.anchor]
        self._add(replace(node, key=None), None, size, depth)

    def _open(self, event: Any) -> None:
        self._refuse_tag(event)
        place = self._place(event, 1)
        self._limit_depth(len(self.stack) + 1, place)
        self.stack.append(_Open(place, event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _close(self) -> None:
        opened = self.stack.pop()
        node = Node(opened.values if opened.mapping else opened.items, opened.place)
        self._add(node, opened.anchor, opened.size, _depth(node) if opened.anchor else 1)

    def _limit_depth(self, depth: int, place: Place) -> None:
        if depth > MAX_DEPTH:
            message = f"values are nested more than {MAX_DEPTH} deep"
            raise _StopError(self.problem("DML007", message, place, _limit_hint()))

    def _add(self, node: Node, anchor: str | None, size: int, depth: int) -> None:
        """Put a finished node where it belongs; `size` and `depth` count what aliases expand to."""
        if anchor is not None:
            self.anchors[anchor] = (node, size, depth)
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += size
        self._limit_depth(len(self.stack) + depth, node.place)
        if parent.size > MAX_NODES:
            message = f"more than {MAX_NODES:,} values once the aliases are expanded"
            raise _StopError(self.problem("DML007", message, node.place, _limit_hint()))
        if not parent.mapping:
            parent.items.append(node)
        elif parent.waiting:
            parent.key, parent.waiting = node, False
        else:
            self._add_pair(parent, node)
            parent.waiting = True

    def _add_pair(self, parent: _Open, node: Node) -> None:
        key = parent.key
        assert key is not None
        if _is_jinja(parent, key):
            hint = "values from outside are written ${env:NAME}"
            message = "{{ belongs to another tool's templates"
            raise _StopError(self.problem("DML003", message, replace(parent.place, width=2), hint))
        if isinstance(key.value, dict | list):
            hint = "write 'key: value'; quote a key that begins with [ { or ?"
            self.problems.append(self.problem("DML003", "a key must be text", key.place, hint))
            return
        name = key.value if isinstance(key.value, str) else str(key.text)
        if name in parent.values:
            first = parent.values[name].key or parent.place
            hint = f"first given in line {first.line}: keep one of them"
            self.problems.append(self.problem("DML004", f"key {name!r} is given twice", key.place, hint))
            return
        parent.values[name] = replace(node, key=key.place)


def _is_jinja(parent: _Open, key: Node) -> bool:
    """Whether `{{` opens a mapping whose key is a mapping."""
    inner, outer = key.place, parent.place
    return key.is_mapping and (inner.line, inner.column) == (outer.line, outer.column + 1)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _depth(node: Node) -> int:
    return max(len(path) for path, _ in node.walk()) + 1


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _limit_hint() -> str:
    return "a spec is meant to be read by people; put long texts into files: ${file:query.sql}"
