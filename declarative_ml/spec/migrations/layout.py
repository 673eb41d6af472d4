"""Lines, indentation and comments around a value of a YAML text."""

from __future__ import annotations

import re
from itertools import pairwise

from declarative_ml.spec.migrations.parts import Entry, Parts

_BREAK = re.compile(r"\r\n|\r|\n")


def newline(text: str) -> str:
    """How the text ends its lines, by the first of them."""
    found = _BREAK.search(text)
    return found[0] if found else "\n"


def line_start(text: str, offset: int) -> int:
    """Where the line of `offset` begins."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def line_end(text: str, offset: int) -> int:
    """Where the line of `offset` ends, its line break included."""
    found = _BREAK.search(text, offset)
    return found.end() if found else len(text)


def column(text: str, offset: int) -> int:
    """How far `offset` is indented."""
    return offset - line_start(text, offset)


def begins_line(text: str, entry: Entry) -> bool:
    """Whether nothing but blanks stands before the key; something does in `- key: value`."""
    return not text[line_start(text, entry.start) : entry.start].strip()


def block(text: str, entry: Entry) -> tuple[int, int]:
    """The lines of an entry, with the comments below it that are indented deeper than its key."""
    indent = column(text, entry.start)
    end = line_end(text, entry.stop)
    while end < len(text):
        line = text[end : line_end(text, end)]
        if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) <= indent:
            break
        end += len(line)
    return line_start(text, entry.start), end


def comments_above(text: str, entry: Entry) -> int:
    """Where the comment right above a key begins, or its line. The head of the file is nobody's comment."""
    own = start = line_start(text, entry.start)
    indent = text[own : entry.start]
    while start > 0:
        above = line_start(text, start - 1)
        if above == start - 1 and text[above - 1 : start] == "\r\n":
            above = line_start(text, above - 1)
        if not text[above:start].startswith(f"{indent}#"):
            return start
        start = above
    return own


def comments_in(text: str, parts: Parts, start: int, end: int) -> list[str]:
    """The comments between two offsets."""
    inside = [(a, b) for a, b in parts.scalars if a >= start and b <= end]
    gaps = pairwise([start, *(offset for span in inside for offset in span), end])
    found = [re.findall(r"#[^\r\n]*", text[a:b]) for number, (a, b) in enumerate(gaps) if number % 2 == 0]
    return [comment.rstrip() for comments in found for comment in comments]


def shifted(lines: str, by: int) -> str:
    """The lines, each indented by so many blanks more (or less, as far as it has them)."""

    def shift(line: str) -> str:
        if not line.strip():
            return line
        return " " * by + line if by > 0 else line[min(-by, len(line) - len(line.lstrip(" "))) :]

    return "".join(shift(line) for line in re.split(r"(?<=\n)", lines))


def comma(text: str, start: int, end: int) -> int:
    """The first comma between two offsets that stands in no comment; -1 when there is none."""
    plain = re.sub(r"#[^\r\n]*", lambda found: " " * len(found[0]), text[start:end])
    found = plain.find(",")
    return found if found < 0 else start + found
