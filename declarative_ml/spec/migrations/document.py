"""A spec's text under change: each edit touches the lines it must, and is checked by reading the result."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NoReturn

from declarative_ml.core.digest import canonical_json
from declarative_ml.core.errors import Problem, SpecError
from declarative_ml.spec.migrations import layout
from declarative_ml.spec.migrations.parts import Entry, Part, read_parts
from declarative_ml.spec.migrations.writing import flow
from declarative_ml.spec.positions import Path, Positions, dotted
from declarative_ml.spec.yaml_reader import read_yaml

Edit = tuple[int, int, str]
"""Begin and end of a stretch of text, and what takes its place."""


class Document:
    """The text, what it says, and the edits that keep the two in step.

    Comments and the lines that an edit does not touch stay as they are. Every edit is read back; one that
    would change anything else, through an alias for example, is refused with SpecError and changes nothing.
    """

    def __init__(self, text: str, file: str) -> None:
        """Raises SpecError for what is not YAML, or no mapping."""
        root, problems = read_yaml(text, file)
        if problems or root is None or not root.is_mapping:
            hint = "`dml init DATA --target COLUMN` writes a spec to start from"
            empty = Problem("DML008", "a spec is a mapping of keys to values", file=file, hint=hint)
            raise SpecError(problems or [empty])
        self.text = text
        self.file = file
        self.plain: Any = root.plain()
        self.positions = Positions.of(root)
        self._parts = read_parts(text)

    def has(self, path: Path) -> bool:
        """Whether something is written at `path`."""
        return path in self.positions.nodes

    def value(self, path: Path) -> Any:
        """What is written at `path`, without places. Raises KeyError when nothing is."""
        return self.positions.nodes[path].plain()

    def rename(self, path: Path, name: str) -> None:
        """Give the key at `path` another name, in its place."""
        if self.has((*path[:-1], name)):
            self.refuse(path, f"cannot become '{name}': both are there")
        entry = self._entry(path)
        wanted = self._plain()
        holder = _at(wanted, path[:-1])
        holder[name] = holder.pop(path[-1])
        self._apply([(entry.start, entry.end, flow(name))], wanted, path)

    def put(self, path: Path, value: Any) -> None:
        """Set the value at `path`; mappings on the way, and a new key, are written as needed."""
        wanted = self._plain()
        _put(wanted, path, value, self)
        edits = self._replace(path, flow(value)) if self.has(path) else self._insert(path, flow(value))
        self._apply(edits, wanted, path)

    def put_first(self, name: str, value: Any) -> None:
        """Write a new key as the first of the spec."""
        root = self._parts.root
        first = next(iter(root.entries.values()), None)
        line = f"{name}: {flow(value)}"
        if root.flow or first is None:
            start = self.text.index("{", root.start) + 1
            edit = (start, start, f"{line}, " if first else line)
        else:
            start = layout.comments_above(self.text, first)
            edit = (start, start, line + layout.newline(self.text))
        self._apply([edit], {name: value, **self._plain()}, (name,))

    def remove(self, path: Path) -> None:
        """Take out the key at `path` with its value, and the comment in its line."""
        wanted = self._plain()
        del _at(wanted, path[:-1])[path[-1]]
        self._apply(self._cut(path), wanted, path)

    def move(self, path: Path, to: Path) -> None:
        """Take the key at `path`, with its comments, to `to`, as the last key of the mapping there."""
        if path[:-1] == to[:-1]:
            return self.rename(path, str(to[-1]))
        if self.has(to):
            self.refuse(path, f"cannot become {dotted(to)}: both are there")
        wanted = self._plain()
        value = _at(wanted, path[:-1]).pop(path[-1])
        _put(wanted, to, value, self)
        entry = self._entry(path)
        if self._in_block(path[:-1]) and self._in_block(to[:-1]) and layout.begins_line(self.text, entry):
            edits = self._carry(path, to)
        else:
            edits = [*self._cut(path, keep_comments=True), *self._insert(to, self._in_one_line(path))]
        return self._apply(edits, wanted, path)

    def refuse(self, path: Path, why: str) -> NoReturn:
        """Raise SpecError: a person has to make this change."""
        place = self.positions.key(path)
        hint = "change it by hand, then run `dml migrate` again"
        problem = Problem(
            "DML030", f"{dotted(path)} {why}", file=place.file, line=place.line, column=place.column,
            width=place.width, path=dotted(path), hint=hint,
        )  # fmt: skip
        raise SpecError([problem])

    def _plain(self) -> Any:
        return copy.deepcopy(self.plain)

    def _apply(self, edits: Sequence[Edit], wanted: Any, path: Path) -> None:
        text = self.text
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        root, problems = read_yaml(text, self.file)
        if problems or root is None or canonical_json(root.plain()) != canonical_json(wanted):
            self.refuse(path, "is written in a way that cannot be changed safely")
        self.text, self.plain, self.positions = text, root.plain(), Positions.of(root)
        self._parts = read_parts(text)

    def _part(self, path: Path) -> Part:
        return self._entry(path).value if path else self._parts.root

    def _entry(self, path: Path) -> Entry:
        part, entry = self._parts.root, None
        for number, name in enumerate(path, start=1):
            if part.kind == "alias":
                self.refuse(path[: number - 1], "is an alias: write out what it stands for")
            entry = part.entries[name]
            part = entry.value
        assert entry is not None
        return entry

    def _in_block(self, path: Path) -> bool:
        """Whether keys of the mapping at `path`, be it still to be written, stand on lines of their own."""
        part = self._part(self._written(path))
        return part.kind == "mapping" and not part.flow

    def _written(self, path: Path) -> Path:
        """The longest part of `path` that is there."""
        return next(path[:length] for length in range(len(path), -1, -1) if self.has(path[:length]))

    def _replace(self, path: Path, new: str) -> list[Edit]:
        entry, text = self._entry(path), self.text
        start, end = entry.value.start, entry.value.end
        same_line = layout.line_start(text, start) <= entry.start
        if same_line or entry.end == entry.start or self._part(path[:-1]).flow:
            return [(start, end, new if text[start - 1 : start] != ":" else f" {new}")]
        colon = text.index(":", entry.end) + 1
        return [(colon, colon, f" {new}"), (layout.line_end(text, colon), layout.line_end(text, end), "")]

    def _insert(self, path: Path, new: str, lines: str = "") -> list[Edit]:
        """The edits that write a new key. `lines` is the key with its value as lines, not indented."""
        holder = self._written(path)
        part, names = self._part(holder), [str(name) for name in path[len(holder) :]]
        if part.kind == "mapping" and not part.flow:
            return [self._new_lines(part, names, lines or f"{flow(names[-1])}: {new}")]
        for name in reversed(names[1:]):
            new = f"{{{flow(name)}: {new}}}"
        pair = f"{flow(names[0])}: {new}"
        if part.kind != "mapping":
            return self._replace(holder, f"{{{pair}}}")
        if part.entries:
            stop = list(part.entries.values())[-1].stop
            return [(stop, stop, f", {pair}")]
        start = self.text.index("{", part.start) + 1
        return [(start, start, pair)]

    def _new_lines(self, part: Part, names: list[str], lines: str) -> Edit:
        """The last lines of a block mapping: mappings on the way, then the key itself."""
        entries, text = list(part.entries.values()), self.text
        indent, line_break = layout.column(text, entries[0].start), layout.newline(self.text)
        above = [f"{' ' * (indent + 2 * depth)}{flow(name)}:" for depth, name in enumerate(names[:-1])]
        own = layout.shifted(lines.rstrip("\r\n"), indent + 2 * len(above))
        new = line_break.join([*above, own])
        stop = layout.block(text, entries[-1])[1]
        at_end = stop == len(text) and not text.endswith(("\n", "\r"))
        return (stop, stop, line_break + new if at_end else new + line_break)

    def _cut(self, path: Path, *, keep_comments: bool = False) -> list[Edit]:
        entry, parent, text = self._entry(path), self._part(path[:-1]), self.text
        if parent.flow:
            return self._cut_from_brackets(entry, parent)
        if not layout.begins_line(text, entry):
            return [self._cut_behind_dash(entry, parent)]
        start, end = layout.block(text, entry)
        comments = layout.comments_in(text, self._parts, start, end) if keep_comments else []
        kept = [*comments, "{}"] if len(parent.entries) == 1 else comments
        blanks, line_break = text[start : entry.start], layout.newline(text)
        return [(start, end, "".join(f"{blanks}{line}{line_break}" for line in kept))]

    def _cut_behind_dash(self, entry: Entry, parent: Part) -> Edit:
        """`- key: value` without the key: the next one takes its place."""
        following = [other for other in parent.entries.values() if other.start > entry.start]
        if not following:
            return (entry.start, entry.stop, "{}")
        between = self.text[entry.stop : following[0].start]
        return (entry.start, following[0].start, between.lstrip() if "#" in between else "")

    def _cut_from_brackets(self, entry: Entry, parent: Part) -> list[Edit]:
        entries, text = list(parent.entries.values()), self.text
        number = next(place for place, other in enumerate(entries) if other is entry)
        limit = entries[number + 1].start if number + 1 < len(entries) else parent.end
        behind = layout.comma(text, entry.stop, limit)
        if behind >= 0:
            blanks = len(text[behind + 1 : limit]) - len(text[behind + 1 : limit].lstrip(" "))
            return [(entry.start, behind + 1 + blanks, "")]
        if number == 0:
            return [(entry.start, entry.stop, "")]
        before = layout.comma(text, entries[number - 1].stop, entry.start)
        if text[before + 1 : entry.start].strip(" ") == "":
            return [(before, entry.stop, "")]
        return [(before, before + 1, ""), (entry.start, entry.stop, "")]

    def _carry(self, path: Path, to: Path) -> list[Edit]:
        """The edits that move whole lines, with the comments above and in them."""
        entry, parent, text = self._entry(path), self._part(path[:-1]), self.text
        start, end = layout.comments_above(text, entry), layout.block(text, entry)[1]
        lines = text[start : entry.start] + flow(str(to[-1])) + text[entry.end : end]
        lines = layout.shifted(lines, -layout.column(text, entry.start))
        blanks = text[layout.line_start(text, entry.start) : entry.start]
        alone = len(parent.entries) == 1 and self._part(self._written(to[:-1])) is not parent
        left = f"{blanks}{{}}{layout.newline(text)}" if alone else ""
        return [(start, end, left), *self._insert(to, "", lines)]

    def _in_one_line(self, path: Path) -> str:
        """The value at `path` as written where that is one line, else written anew."""
        part = self._part(path)
        written = self.text[part.start : part.end]
        plain = part.kind == "scalar" and not set(written) & set("\r\n,[]{}&")
        return written if plain and written else flow(self.value(path))


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def _put(value: Any, path: Path, new: Any, document: Document) -> None:
    """Put `new` at `path` of plain values; mappings on the way are made, where nothing else stands."""
    for number, name in enumerate(path):
        known = isinstance(value, dict) if isinstance(name, str) else isinstance(value, list)
        if not known:
            document.refuse(path[:number], f"is no mapping, so it cannot hold '{name}'")
        if number == len(path) - 1:
            value[name] = new
        elif isinstance(value, dict) and value.get(name) is None:
            value[name] = {}
        value = value[name]
