"""From an older version of the spec's format to the current one, on the text itself.

A migration is one entry of the table below: the version it leads to, what changes in words, and a function
that edits a layer. A new version is a new entry at the end, and `CURRENT` in spec/format_version.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from declarative_ml.core.errors import Problem, SpecError
from declarative_ml.spec.format_version import FIRST, version_fault
from declarative_ml.spec.migrations.document import Document
from declarative_ml.spec.migrations.layer import Layer


@dataclass(frozen=True)
class Migration:
    """The step to one version from the one before it."""

    to: int
    title: str
    """What changes, for a person: "model.rounds is called model.trees"."""
    apply: Callable[[Layer], None]


MIGRATIONS: tuple[Migration, ...] = ()
"""In order, from version 1 up. Empty, because there is only version 1."""


@dataclass(frozen=True)
class Migrated:
    """A spec's text in the current version."""

    text: str
    found: int
    """The version before."""
    current: int
    steps: tuple[str, ...]
    """What has changed, in words: one entry for each migration that changed more than the version."""


def current_version(migrations: Sequence[Migration]) -> int:
    """The version that the table leads to. Raises ValueError for a table with a gap."""
    wanted = list(range(FIRST + 1, FIRST + 1 + len(migrations)))
    if [migration.to for migration in migrations] != wanted:
        raise ValueError(f"migrations must lead to {wanted} in this order")
    return FIRST + len(migrations)


def migrate_text(text: str, file: str, migrations: Sequence[Migration] | None = None) -> Migrated:
    """Bring the text of a spec or template to the current version; untouched lines stay as they are.

    A text without `version` has version 1. Raises SpecError for what is not YAML, for a version that is
    not known, and for what a person has to change.
    """
    table = MIGRATIONS if migrations is None else migrations
    current = current_version(table)
    document = Document(text, file)
    found = version_of(document, current)
    steps = []
    for migration in table[found - FIRST :]:
        before = document.text
        for layer in _layers(document):
            migration.apply(layer)
        if document.text != before:
            steps.append(migration.title)
        _set_version(document, migration.to)
    return Migrated(document.text, found, current, tuple(steps))


def version_of(document: Document, current: int) -> int:
    """The version that the document says, from 1 to `current`. Raises SpecError for any other."""
    if not document.has(("version",)):
        return FIRST
    node = document.positions.nodes["version",]
    value = node.value
    if type(value) is int and FIRST <= value <= current:
        return value
    fault = version_fault(node.plain(), node.text, current)
    assert fault is not None
    place = document.positions.value(("version",))
    problem = Problem(
        "DML030", fault[0], file=place.file, line=place.line, column=place.column, width=place.width,
        path="version", hint=fault[1],
    )  # fmt: skip
    raise SpecError([problem])


def _layers(document: Document) -> list[Layer]:
    """The spec, and each of its profiles."""
    profiles = document.value(("profiles",)) if document.has(("profiles",)) else None
    names = profiles if isinstance(profiles, dict) else {}
    return [Layer(document), *(Layer(document, ("profiles", name)) for name in names)]


def _set_version(document: Document, version: int) -> None:
    for layer in _layers(document):
        if layer.has(("version",)):
            layer.put(("version",), version)
    if not document.has(("version",)):
        document.put_first("version", version)
