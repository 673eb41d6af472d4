"""What a migration works on: the spec itself, or one of its profiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from declarative_ml.spec.migrations.document import Document
from declarative_ml.spec.positions import Path


@dataclass(frozen=True)
class Layer:
    """One layer of a file. Paths begin at it, so that a migration is written once for specs and profiles.

    What is not there is left alone: specs say what they need, and profiles and templates only a part of it.
    Shorthands stand as they were written: `model` may be a text. `key+` of a profile follows its key.
    Edits raise SpecError where they cannot be made safely.
    """

    document: Document
    start: Path = ()

    def has(self, path: Path) -> bool:
        """Whether something is written at `path`."""
        return self.document.has((*self.start, *path))

    def get(self, path: Path) -> Any:
        """The value at `path` in plain dicts, lists and scalars; None when there is none."""
        return self.document.value((*self.start, *path)) if self.has(path) else None

    def matches(self, pattern: Path) -> Iterator[Path]:
        """The paths that are there and fit `pattern`, in which "*" stands for any key or position."""
        if "*" not in pattern:
            yield from [pattern] if self.has(pattern) else []
            return
        star = pattern.index("*")
        value = self.get(pattern[:star])
        names = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        for name in names:
            yield from self.matches((*pattern[:star], name, *pattern[star + 1 :]))

    def rename(self, path: Path, name: str) -> None:
        """Call the key at `path` `name`."""
        self.move(path, (*path[:-1], name))

    def move(self, path: Path, to: Path) -> None:
        """Take the key at `path` to `to`, the last key there, with its comments. An emptied mapping stays."""
        for old, plus in self._forms(path):
            self.document.move(old, (*self.start, *to[:-1], f"{to[-1]}{plus}"))

    def put(self, path: Path, value: Any) -> None:
        """Set the value at `path`, whether something is there or not."""
        self.document.put((*self.start, *path), value)

    def remove(self, path: Path) -> None:
        """Take out the key at `path`."""
        for old, _ in self._forms(path):
            self.document.remove(old)

    def _forms(self, path: Path) -> list[tuple[Path, str]]:
        """The key itself and its `key+`, as far as they are there."""
        whole = (*self.start, *path)
        forms = [((*whole[:-1], f"{whole[-1]}{plus}"), plus) for plus in ("", "+")]
        return [form for form in forms if self.document.has(form[0])]
