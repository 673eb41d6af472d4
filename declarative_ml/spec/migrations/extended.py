"""The templates that a spec extends, for whose older versions somebody has to care as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from declarative_ml.core.errors import DmlError
from declarative_ml.spec.format_version import FIRST
from declarative_ml.spec.homes import Home
from declarative_ml.spec.migrations import version_of
from declarative_ml.spec.migrations.document import Document
from declarative_ml.spec.templates import MAX_TEMPLATES, find
from declarative_ml.spec.yaml_reader import MAX_BYTES


@dataclass(frozen=True)
class OldTemplate:
    """A template that is not known to be of the current version."""

    name: str
    """As `extends` says it."""
    label: str
    is_local: bool
    """Whether the label is a path on this machine: one that `dml migrate` can be given."""
    version: int | None = None
    """None where it was not looked at: it lies in a git repository, or cannot be read."""


def old_templates(text: str, home: Home, current: int) -> list[OldTemplate]:
    """The templates below the spec `text` at `home` that are older than `current`, or may be.

    Nothing is fetched: git templates are named unseen when there is an older version that they may have.
    """
    found: dict[str, OldTemplate] = {}
    waiting, seen = [(text, home)], {home.label}
    while waiting and len(seen) <= MAX_TEMPLATES:
        above, place = waiting.pop(0)
        for name in _names(above, place.label):
            template, inner = _look(name, place, current)
            if template is not None:
                found.setdefault(template.label, template)
            if inner is not None and inner[1].label not in seen:
                seen.add(inner[1].label)
                waiting.append(inner)
    return list(found.values())


def _names(text: str, label: str) -> Iterator[str]:
    """What the text extends; entries with params in their names cannot be told from the text alone."""
    extends = Document(text, label).plain.get("extends")
    for entry in extends if isinstance(extends, list) else [extends]:
        name = entry.get("use") if isinstance(entry, dict) else entry
        if isinstance(name, str) and name and "${" not in name:
            yield name


def _look(name: str, home: Home, current: int) -> tuple[OldTemplate | None, tuple[str, Home] | None]:
    """The template if it is old, and its text with its home if it could be read."""
    if name.startswith("git+"):
        return (OldTemplate(name, name, is_local=False) if current > FIRST else None), None
    try:
        found = find(name, home)
        text = found.content(MAX_BYTES).decode("utf-8-sig")
        version = version_of(Document(text, found.label), current)
    except (DmlError, UnicodeDecodeError):
        return OldTemplate(name, name, is_local=False), None
    old = OldTemplate(name, found.label, found.is_local, version) if version < current else None
    return old, (text, found)
