"""What a document is made of, before it is Markdown or a page: plain text in a few kinds of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    kind = "words"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]
    kind = "points"


@dataclass(frozen=True)
class Grid:
    """A table. Without column titles it lists facts: a name and what it is."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    """The columns that hold numbers."""
    kind = "grid"


@dataclass(frozen=True)
class Code:
    """Something to copy."""

    language: str
    text: str
    kind = "code"


Block = Words | Points | Grid | Code


@dataclass(frozen=True)
class Chapter:
    """A part of the document with its heading."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
