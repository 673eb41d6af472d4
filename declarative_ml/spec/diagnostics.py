"""Problems as people and machines read them: with the line and a caret, or as JSON."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import Problem

_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}
_BOLD, _FAINT, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_MAX_LINE = 110
_IN_CLEAR = "DML026"
"""The problem of a secret in a spec: its line is shown up to the secret only."""
_BREAKS = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


def problems_as_json(problems: Iterable[Problem]) -> dict[str, Any]:
    """What `dml validate --format json` prints."""
    return {"problems": [problem.as_dict() for problem in problems]}


def render_problems(
    problems: Iterable[Problem], *, texts: Mapping[str, str] | None = None, color: bool = False
) -> str:
    """All problems as text, each with its line and a caret where the place is known.

    `texts` holds the contents of files by name; the others are read from disk. Control characters are
    shown as a replacement, so that a spec cannot drive the terminal.
    """
    problems = list(problems)
    lines = _Lines(texts or {}, [problem for problem in problems if problem.code == _IN_CLEAR])
    return "".join(f"{_render(problem, lines, color)}\n" for problem in problems)


class _Lines:
    """Lines of the files that problems point into."""

    def __init__(self, texts: Mapping[str, str], secrets: Iterable[Problem]) -> None:
        self._files = {name: _BREAKS.split(text) for name, text in texts.items()}
        self._secrets: dict[tuple[str, int], int] = {}
        for problem in secrets:
            place = (problem.file, problem.line)
            self._secrets[place] = min(problem.column, self._secrets.get(place, problem.column))

    def line(self, file: str, number: int) -> str | None:
        if file not in self._files:
            self._files[file] = self._read(file)
        lines = self._files[file]
        if not 0 < number <= len(lines):
            return None
        shown = self._secrets.get((file, number))
        # Nobody knows where in the rest of the line the secret ends.
        return lines[number - 1] if shown is None else f"{lines[number - 1][: shown - 1]}***"

    @staticmethod
    def _read(file: str) -> list[str]:
        try:
            return _BREAKS.split(Path(file).read_text(encoding="utf-8-sig", errors="replace"))
        except OSError:
            return []


def _render(problem: Problem, lines: _Lines, color: bool) -> str:
    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    severity = paint(_COLORS.get(problem.severity, ""), f"{problem.severity} {problem.code}")
    head = f"{paint(_BOLD, _visible(place))}  {severity}  {_visible(problem.message)}".lstrip()
    source = lines.line(problem.file, problem.line) if problem.line else None
    hint = _visible(problem.hint or "")
    if source is None:
        return f"{head}\n     {paint(_FAINT, '=')} {hint}" if hint else head
    shown, column = _window(source, problem.column)
    before, marked = shown[: column - 1], shown[column - 1 : column - 1 + problem.width]
    caret = "^" * max(_width(marked), 1)
    gutter = paint(_FAINT, f"{problem.line:4} |")
    empty = paint(_FAINT, "     |")
    pointer = f"{' ' * _width(before)}{paint(_COLORS.get(problem.severity, ''), caret)} {hint}".rstrip()
    return f"{head}\n{gutter} {shown}\n{empty} {pointer}"


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around `column`, and the column within it."""
    line = _visible(line).rstrip()
    if len(line) <= _MAX_LINE:
        return line, column
    start = max(0, column - 1 - _MAX_LINE // 2)
    part = line[start : start + _MAX_LINE]
    left, right = "…" if start else "", "…" if start + _MAX_LINE < len(line) else ""
    return f"{left}{part}{right}", column - start + len(left)


def _visible(text: str) -> str:
    """One character for each: tabs as blanks, other control characters as a replacement."""
    if text.isprintable():
        return text
    return "".join(" " if c == "\t" else c if c.isprintable() else "\ufffd" for c in text)


def _width(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
