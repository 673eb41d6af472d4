"""An imported spec as YAML for people: sections in the usual order, what changed as comments above them."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from declarative_ml.api.import_report import Entry, count_text, merged, theirs_text
from declarative_ml.spec.yaml_reader import resolve_scalar

_ORDER = (
    "version", "name", "description", "data", "target", "features", "others", "exclude", "model",
    "imbalance", "tune", "evaluate", "resources", "seed",
)  # fmt: skip
_SPACED = (
    "data", "target", "features", "exclude", "model", "imbalance", "tune", "evaluate", "resources", "seed",
)  # fmt: skip
"""Sections with an empty line above."""
_BARE = re.compile(r"[^\W\d][\w ./-]*[\w./]|[^\W\d]|\.{0,2}/[\w ./-]*[\w./]")
_OTHER_WORDS = frozenset({"yes", "no", "on", "off", "y", "n"})
"""What YAML 1.1, and with it many an editor, reads as truth values."""
_WIDTH = 110


def spec_text(spec: dict[str, Any], entries: list[Entry], origin: str, notes: Iterable[str]) -> str:
    """The spec with its comments. `origin` says in one line where it came from."""
    lines = ["# yaml-language-server: $schema=.dml/spec.v1.json"]
    lines += _comment(f"Imported from {origin}: {count_text(entries)}.")
    changed = [entry for entry in entries if entry.verdict == "changed"]
    for name in sorted(spec, key=_ORDER.index):
        lines += [""] if name in _SPACED else []
        for same in merged([entry for entry in changed if entry.section == name]):
            lines += _comment(f"changed: {theirs_text(same)} → {same[0].ours} ({same[0].why})")
        lines += _section(name, spec[name])
    lines += _end(entries, [entry for entry in changed if entry.section not in spec], notes)
    return "\n".join(lines) + "\n"


def _end(entries: list[Entry], elsewhere: list[Entry], notes: Iterable[str]) -> Iterator[str]:
    """Changes that have no section of their own, what was left out, and the notes."""
    found = [*elsewhere, *(entry for entry in entries if entry.verdict == "left_out")]
    if found:
        yield ""
    for same in merged(found):
        ours = f" → {same[0].ours}" if same[0].ours else ""
        title = "left out" if same[0].verdict == "left_out" else "changed"
        yield from _comment(f"{title}: {theirs_text(same)}{ours} ({same[0].why})")
    yield ""
    for note in notes:
        yield from _comment(f"note: {note}")


def _comment(text: str) -> list[str]:
    """Wrapped comment lines. Texts of theirs may hold anything: what is not printable is replaced."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _section(name: str, value: Any) -> Iterator[str]:
    """One top-level key: short ones in one line, else one line for each key below it."""
    line = f"{name}: {flow(value)}"
    if not isinstance(value, dict) or (name not in ("data", "features") and len(line) <= 72):
        yield line
        return
    yield f"{name}:"
    for key, child in value.items():
        if (name, key) == ("tune", "space"):
            yield "  space:"
            yield from (f"    {scalar(option, is_key=True)}: {flow(span)}" for option, span in child.items())
            continue
        shown = child["type"] if name == "features" and set(child) == {"type"} else child
        yield f"  {scalar(key, is_key=True)}: {flow(shown)}"


def flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        pairs = (f"{scalar(name, is_key=True)}: {flow(child)}" for name, child in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # With a point, `1.0e-05` is a number to every version of YAML.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return "null" if value is None else scalar(value) if isinstance(value, str) else str(value)


def scalar(text: str, *, is_key: bool = False) -> str:
    """A text as a YAML scalar that is read back as itself: bare where that is safe, else in quotes."""
    bare = _BARE.fullmatch(text) and isinstance(resolve_scalar(text), str)
    if bare and text.isprintable() and text.lower() not in _OTHER_WORDS and "  " not in text:
        return text
    quoted = json.dumps(text if is_key else text.replace("${", "$${"), ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
