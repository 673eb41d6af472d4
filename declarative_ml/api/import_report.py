"""What became of another tool's config, key by key: carried over, changed, or left out with the reason."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from declarative_ml.spec.positions import Node, Place, dotted
from declarative_ml.spec.positions import Path as Keys

Verdict = Literal["carried", "changed", "left_out"]

TITLES: dict[Verdict, str] = {"carried": "carried over", "changed": "changed", "left_out": "left out"}
NO_COUNTERPART = "no counterpart"
_SECRET = re.compile(r"credential|secret|password|api_?key|access_?key|(^|_)token$", re.IGNORECASE)
_SHORT = 48
_WIDTH = 110


@dataclass(frozen=True)
class Entry:
    """One leaf of their config and what became of it."""

    keys: Keys
    value: Any
    place: Place
    verdict: Verdict
    ours: str = ""
    """The option of our spec, with its value; empty when left out."""
    why: str = ""
    section: str = ""
    """The top-level key of our spec that it ended in, where there is one."""

    @property
    def theirs(self) -> str:
        """The path of the key in their config, such as `trainer.epochs`."""
        return dotted(self.keys)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: `theirs`, `value`, `line`, and `ours` and `why` where they say something."""
        said = {"ours": self.ours, "why": self.why}
        return {
            "theirs": self.theirs,
            "value": self.value,
            "line": self.place.line,
            **{name: text for name, text in said.items() if text},
        }


def leaves(node: Node, keys: Keys = ()) -> Iterator[tuple[Keys, Node]]:
    """Every leaf with its path: a scalar, an empty mapping or list, or a list of scalars."""
    if isinstance(node.value, dict) and node.value:
        for name, child in node.value.items():
            yield from leaves(child, (*keys, name))
    elif isinstance(node.value, list) and any(isinstance(item.value, dict | list) for item in node.value):
        for number, child in enumerate(node.value):
            yield from leaves(child, (*keys, number))
    else:
        yield keys, node


class Ledger:
    """The verdict on every leaf of a config, exactly one each."""

    def __init__(self, root: Node) -> None:
        self._leaves = dict(leaves(root))
        self._entries: dict[Keys, Entry] = {}
        self._below: dict[Keys, list[Keys]] = {}
        for leaf in self._leaves:
            for depth in range(len(leaf) + 1):
                self._below.setdefault(leaf[:depth], []).append(leaf)

    def judge(self, keys: Keys, verdict: Verdict, ours: str, why: str, section: str = "") -> None:
        """Give the leaves at and below `keys` a verdict; where one has been given, that one stays."""
        for leaf in self._below.get(keys, ()):
            if leaf not in self._entries:
                node = self._leaves[leaf]
                value = "…" if any(_SECRET.search(str(part)) for part in leaf) else node.plain()
                place = node.key or node.place
                self._entries[leaf] = Entry(leaf, value, place, verdict, ours, why, section)

    def entries(self) -> list[Entry]:
        """One entry for each leaf, in the order of the config; no verdict means no counterpart."""
        for leaf, node in self._leaves.items():
            self.judge(leaf, "left_out", "", NO_COUNTERPART if node.value else "it says nothing")
        return [self._entries[leaf] for leaf in self._leaves]


@dataclass(frozen=True)
class Imported:
    """The result of an import: the spec that was written, and what became of each key of the config."""

    tool: str
    config: Path
    path: Path
    text: str
    entries: tuple[Entry, ...]
    notes: list[str] = field(default_factory=list)
    named_data: bool = True
    """Whether the spec names data that exists, and not a placeholder."""

    def group(self, verdict: Verdict) -> list[Entry]:
        """The entries of one group, in the order of the config."""
        return [entry for entry in self.entries if entry.verdict == verdict]

    @property
    def carried(self) -> list[Entry]:
        """What means the same in our spec."""
        return self.group("carried")

    @property
    def changed(self) -> list[Entry]:
        """What has a near counterpart, each with what differs."""
        return self.group("changed")

    @property
    def left_out(self) -> list[Entry]:
        """What has no counterpart, each with the reason."""
        return self.group("left_out")

    def as_dict(self) -> dict[str, Any]:
        """What `dml import --format json` prints."""
        groups: dict[str, Any] = {name: [entry.as_dict() for entry in self.group(name)] for name in TITLES}
        return {
            "tool": self.tool,
            "config": str(self.config),
            "spec": str(self.path),
            **groups,
            "notes": self.notes,
        }


def count_text(entries: Iterable[Entry]) -> str:
    """`12 carried over, 3 changed, 4 left out`."""
    verdicts = [entry.verdict for entry in entries]
    return ", ".join(f"{verdicts.count(verdict)} {title}" for verdict, title in TITLES.items())


def report_text(imported: Imported) -> str:
    """The report for people: three groups with lines and reasons, the notes, and what to do next."""
    tool, path = imported.tool, imported.path
    lines = [f"{imported.config} ({tool}) → {path}: {count_text(imported.entries)}"]
    for verdict, title in TITLES.items():
        if found := imported.group(verdict):
            columns = f"  line  {tool}" if verdict == "left_out" else f"  line  {tool}  →  {path.name}"
            lines += ["", title, columns, *_group_lines(found)]
    lines += ["", *(line for note in imported.notes for line in _wrapped(f"note: {note}", " " * 6))]
    first = "" if imported.named_data else "name your data in it, then: "
    lines += ["", f"wrote {path}; next: {first}dml run {path}"]
    return "\n".join(lines)


def _group_lines(entries: list[Entry]) -> Iterator[str]:
    for same in merged(entries):
        ours = f"  →  {same[0].ours}" if same[0].ours else ""
        line = f"  {same[0].place.line:4}  {theirs_text(same)}{ours}"
        yield from _wrapped(line, " " * 8)
        if same[0].why:
            yield from _wrapped(f"{' ' * 8}{same[0].why}", " " * 8)


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip


def merged(entries: list[Entry]) -> list[list[Entry]]:
    """Neighbours with the same verdict, outcome and reason, as one."""

    def sameness(entry: Entry) -> tuple[object, ...]:
        # What is left out below one section, or one feature, for one reason is one line; the others stay
        # together only within one mapping, so that each line shows one setting.
        depth = len(entry.keys) - 1
        if entry.verdict == "left_out":
            depth = 2 if entry.keys[0] in ("input_features", "output_features") else 1
        return entry.verdict, entry.ours, entry.why, entry.keys[:depth]

    return [list(group) for _, group in groupby(entries, sameness)]


def theirs_text(entries: list[Entry]) -> str:
    """Their keys and values in one line; what they have in common is said once."""
    if len(entries) == 1:
        return f"{entries[0].theirs}: {short(entries[0].value)}"
    first, last = entries[0].keys, entries[-1].keys
    shared = 0
    while (
        all(entry.keys[: shared + 1] == first[: shared + 1] for entry in entries) and shared < len(last) - 1
    ):
        shared += 1
    inner = ", ".join(
        f"{replace(entry, keys=entry.keys[shared:]).theirs}: {short(entry.value)}" for entry in entries
    )
    return f"{dotted(first[:shared])} {{{inner}}}" if shared else inner


def short(value: Any) -> str:
    """A value of theirs in one short line of printable characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
