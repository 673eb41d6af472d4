"""What a YAML parser complains of, in words for a person, at the place where the mistake was made.

A parser notices a mistake where it cannot go on, often a line too late: a space that is missing after a
colon makes the line a text that goes on in the next one. So the lines around are looked at as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from declarative_ml.core.errors import Problem
from declarative_ml.spec.letters import odd_letter, shortened

_GLUED = re.compile(r"\s*(?:- +)?([\w.+-]+):([^\s:/].*)")
_EQUALS = re.compile(r"\s*(?:- +)?([\w.-]+) *= *(\S.*)")
_ODD_COLON = re.compile(r"\s*(?:- +)?[\w.-]+(\uff1a|:[\u00a0\u2007\u202f\u200b\ufeff])")
_KEY_AND_VALUE = re.compile(r"\s*(?:- +)*[^\s#'\"{\[][^#]*?: +[^\s#]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff\ud800-\udfff]")

_MOST_SHOWN = 60
"""Characters of the spec that a message or hint repeats."""


@dataclass(frozen=True)
class _Fault:
    """The parser's complaint. Lines and columns count from 0; `start` is where the unfinished thing began."""

    lines: list[str]
    problem: str
    context: str
    line: int
    column: int
    start: tuple[int, int]

    @property
    def text(self) -> str:
        return self.lines[self.line]

    @property
    def letter(self) -> str:
        """The character that the parser stumbled over; "" at the end of a line."""
        return self.text[self.column : self.column + 1]

    def above(self, line: int) -> int | None:
        """The number of the nearest line above that says something."""
        said = (
            n for n in range(line - 1, -1, -1) if self.lines[n].strip() and not _is_comment(self.lines[n])
        )
        return next(said, None)


@dataclass(frozen=True)
class _Words:
    """What is said, and where: counted from 0, where the parser stumbled when None."""

    message: str
    hint: str
    line: int | None = None
    column: int | None = None
    width: int = 1


def syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """The problem behind a parser's complaint about `text`."""
    lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    line = min(line, len(lines) - 1)
    start = error.context_mark
    fault = _Fault(
        lines, str(error.problem), str(error.context), line, column,
        (min(start.line, len(lines) - 1), start.column) if start else (line, column),
    )  # fmt: skip
    found = (explain(fault) for explain in _EXPLANATIONS)
    words = next((each for each in found if each), None) or _Words(
        f"this is not valid YAML: {fault.problem}", "check the indentation, and quote texts with : # { [ & *"
    )
    line = fault.line if words.line is None else words.line
    column = fault.column if words.column is None else words.column
    return Problem(
        "DML003",
        words.message,
        file=file,
        line=line + 1,
        column=column + 1,
        width=words.width,
        hint=shortened(words.hint),
    )


def character_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """A character that YAML does not allow at all."""
    position = getattr(error, "position", None)
    bad = _CONTROL.search(text)
    index = bad.start() if bad else position if isinstance(position, int) else 0
    line = text.count("\n", 0, index)
    column = index - (text.rfind("\n", 0, index) + 1)
    name = f" (U+{ord(text[index]):04X})" if index < len(text) else ""
    hint = 'delete it, or write it as an escape in double quotes: "\\u0007"'
    return Problem(
        "DML003", f"a control character{name} is not allowed in YAML", file=file, line=line + 1,
        column=column + 1, hint=hint,
    )  # fmt: skip


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


# Explanations, from the surest to the most general. Each looks whether the fault is of its kind.


def _slashes(fault: _Fault) -> _Words | None:
    for number in range(fault.start[0], fault.line + 1):
        if fault.lines[number].lstrip().startswith("//"):
            column = _indent(fault.lines[number])
            return _Words("a comment begins with '#', not with '//'", "write # for //", number, column, 2)
    return None


def _tab(fault: _Fault) -> _Words | None:
    if not re.search("cannot start any token|tab", fault.problem):
        return None
    tab = re.match(r" *\t|.*[-:] *\t", fault.text)
    column = tab.end() - 1 if tab else fault.column
    if "\t" not in fault.text[: fault.column + 1]:
        return None
    return _Words("a tab stands where YAML wants spaces", "indent with spaces", column=column)


def _escape(fault: _Fault) -> _Words | None:
    if "escape" not in fault.problem and "hexdecimal" not in fault.problem:
        return None
    column = fault.text.rfind("\\", 0, fault.column + 1)
    written = fault.text[column : column + 2]
    hint = r"write \\ for a backslash, put the text in single quotes, or write a path with /"
    return _Words(f"in double quotes {written} has no meaning", hint, column=max(column, 0), width=2)


def _open_quote(fault: _Fault) -> _Words | None:
    if "quoted scalar" not in fault.context:
        return None
    line, column = fault.start
    return _Words("a quotation mark is opened and never closed", "close the quotation mark", line, column)


def _after_quote(fault: _Fault) -> _Words | None:
    before = fault.text[: fault.column].rstrip()
    expected = re.search(r"expected (key|<block end>|',' or)", fault.problem)
    if not expected or before[-1:] not in ("'", '"') or fault.letter in ("", "'", '"', "]", "}"):
        return None
    escaped = "''" if before[-1] == "'" else '\\"'
    kind = "an apostrophe" if before[-1] == "'" else "a quotation mark"
    hint = f"put the whole text in one pair of quotation marks; {kind} inside of it is written {escaped}"
    return _Words("text follows after the closing quotation mark", hint)


def _closing(fault: _Fault) -> _Words | None:
    if fault.letter not in ("]", "}") or "node content" in fault.problem:
        return None
    if "flow" not in fault.context:
        return _Words(f"this '{fault.letter}' closes nothing", "delete it")
    opened, closed = ("[", "]") if "sequence" in fault.context else ("{", "}")
    message = f"a '{fault.letter}' stands where the '{closed}' for the '{opened}' should be"
    return _Words(message, f"write '{closed}' here")


def _jinja(fault: _Fault) -> _Words | None:
    found = re.search(r"\{[{%]", fault.text)
    if not found:
        return None
    hint = "values from outside are written ${env:NAME}"
    return _Words(f"{found[0]} belongs to another tool's templates", hint, column=found.start(), width=2)


def _flow(fault: _Fault) -> _Words | None:
    """Inside of { } or [ ]: a comma or the end is missing."""
    if "flow" not in fault.context or "node" in fault.context:
        return None
    line, column = fault.start
    if "${" in fault.text:
        message = "a ${...} stands inside of { } or [ ] without quotation marks"
        return _Words(message, 'write "${...}"', column=fault.text.find("${"), width=2)
    opened, closed = ("[", "]") if "sequence" in fault.context else ("{", "}")
    if not _is_closed(fault.lines, line, column):
        return _Words(f"a '{opened}' is opened and never closed", f"close the '{closed}'", line, column)
    before = fault.text[: fault.column].rstrip()
    word = re.split(r"[\s,{}\[\]]", before[-_MOST_SHOWN:])[-1] if fault.letter == ":" else ""
    place = len(before) - len(word) if word else fault.column
    hint = "write ', ' between two entries, and quote a text that holds ': '"
    return _Words(f"a ',' is missing before {word or 'this'}", hint, column=place, width=max(len(word), 1))


def _is_closed(lines: list[str], line: int, column: int) -> bool:
    """Whether the bracket at this place has a closing one, quotation marks and comments left aside."""
    rest = "\n".join([lines[line][column:], *lines[line + 1 :]])
    rest = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"|(?<!\S)#.*", "", rest)
    depth = 0
    for letter in rest:
        depth += (letter in "{[") - (letter in "}]")
        if depth == 0:
            return True
    return False


def _gap(fault: _Fault) -> _Words | None:
    if "node content" not in fault.problem:
        return None
    if fault.letter == ",":
        return _Words("a value is missing before this ','", "delete one ',', or write \"\" for an empty text")
    return _Words("a value is missing here", "write one, or delete the ',' before it")


def _first_letter(fault: _Fault) -> _Words | None:
    """@, `, %, *, &, - or ? at the beginning of a value."""
    if re.search("cannot start any token|(entries|keys) are not allowed", fault.problem):
        column = fault.column
    elif "alphabetic or numeric" in fault.problem and fault.start[0] == fault.line:
        column = fault.start[1]
    else:
        return None
    letter = fault.text[column : column + 1]
    written = re.split(r"\s#|[,\]}]|$", fault.text[column:].rstrip(), maxsplit=1)[0].replace("'", "''")
    hint = f"put it in quotation marks: '{written}'"
    if letter == "-":
        hint += "; the items of a list begin on lines of their own"
    return _Words(f"a value cannot begin with {letter}", hint, column=column)


def _block_text(fault: _Fault) -> _Words | None:
    """Text on the line of `|` or `>`."""
    if "block scalar" not in fault.context:
        return None
    column = fault.start[1] if fault.start[0] == fault.line else fault.column
    sign = fault.text[column : column + 1]
    written = fault.text[column:].strip().replace("'", "''")
    hint = f"put it on the lines below, indented; or in quotation marks: '{written}'"
    return _Words(f"after {sign} no text can follow in the same line", hint, column=column)


def _glued(fault: _Fault, line: int | None) -> _Words | None:
    """A line that should be "key: value", and is a text for YAML."""
    if line is None or re.search(r":([ \t]|$)", fault.lines[line]):
        return None
    text = fault.lines[line]
    if found := _GLUED.match(text):
        hint = f"write '{found[1]}: {found[2].strip()}'"
        return _Words("a space is missing after ':'", hint, line, found.end(1))
    if found := _EQUALS.match(text):
        hint = f"write '{found[1]}: {found[2].strip()}'"
        return _Words("a key is followed by ':', not by '='", hint, line, text.find("="))
    if found := _ODD_COLON.match(text):
        where = "after the ':' stands" if found[1].startswith(":") else "in place of the ':' stands"
        return _Words(f"{where} {odd_letter(found[1])}", "type ': ' anew", line, found.start(1))
    return None


def _colon(fault: _Fault) -> _Words | None:
    """A ':' where the parser does not expect one."""
    if "mapping values are not allowed" not in fault.problem:
        return None
    above = fault.above(fault.line)
    if words := _glued(fault, above):
        return words
    message = "a ':' stands where no key can be"
    key, _, value = fault.text.strip().partition(": ")
    if re.search(r": ", fault.text[: fault.column]):
        quoted = value.replace("'", "''")
        if fault.text.rstrip().endswith(":") and fault.column == len(fault.text.rstrip()) - 1:
            return _Words(message, f"delete it, or quote the text: {key}: '{quoted}'")
        return _Words(message, f"quote the text: {key}: '{quoted}'")
    deeper = above is not None and _indent(fault.text) > _indent(fault.lines[above])
    if above is not None and deeper and _KEY_AND_VALUE.match(fault.lines[above]):
        column = _indent(fault.text)
        hint = f"let it begin in column {_indent(fault.lines[above]) + 1}, as line {above + 1} does"
        message = "this line is indented deeper than the line above, which has a value already"
        return _Words(message, hint, column=column)
    return _Words(message, "quote the text that contains ': ', or check the indentation")


def _lone_text(fault: _Fault) -> _Words | None:
    """A line without a colon among "key: value" lines. The parser stumbles over the line after it."""
    if "could not find expected ':'" not in fault.problem:
        return None
    line, column = fault.start
    if words := _glued(fault, line):
        return words
    above = fault.above(line)
    before = "" if above is None else fault.lines[above].rstrip()
    if re.search(r": *[|>][-+0-9]*$", before):
        message = f"the text after '{before[-1]}' must be indented deeper than its key"
        return _Words(message, f"indent this line by more than {_indent(before)} spaces", line, column)
    message = "this line is neither 'key: value' nor part of the value above"
    hint = "add ': ' after the key, or check the indentation"
    if before.endswith(":"):
        hint = f"indent it deeper than '{before.strip()}'"
    elif before.lstrip().startswith("- "):
        hint = "begin it with '- ', as the lines above"
    return _Words(message, hint, line, column, len(fault.lines[line].strip()))


def _document(fault: _Fault) -> _Words | None:
    if "document start" not in fault.problem:
        return None
    first = next(n for n, line in enumerate(fault.lines) if line.strip() and not _is_comment(line))
    if fault.lines[first].startswith("%"):
        return _Words("a line that begins with '%' is an instruction to YAML readers", "delete it", first, 0)
    if re.fullmatch(r"\[[\w. -]+\]\s*(#.*)?", fault.lines[first]):
        section = fault.lines[first].strip("[] ")
        hint = f"write '{section}:', and its keys indented below as 'key: value'"
        return _Words("this is TOML, and a spec is YAML", hint, first, 0, len(fault.lines[first].rstrip()))
    if fault.lines[first].startswith(("'", '"')):
        width = len(fault.lines[first].rstrip())
        message = "quotation marks make this line a single text"
        return _Words(message, "take them away, or put them around the value only", first, 0, width)
    ended = any(line.startswith("...") for line in fault.lines[: fault.line])
    hint = "delete the line '...' above" if ended else "check the indentation"
    return _Words("text follows after the end of the document", hint)


def _indentation(fault: _Fault) -> _Words | None:
    if "block" not in fault.context:
        return None
    text, column = fault.text.strip(), _indent(fault.text)
    if text.startswith("- ") and "block mapping" in fault.context and column == fault.start[1]:
        hint = "delete the '- ', or give the list a key of its own"
        return _Words("a list item stands among 'key: value' lines", hint)
    what = "items of one list" if text.startswith("- ") else "keys of one mapping"
    hint = f"indent the {what} by the same number of spaces"
    above = fault.above(fault.line)
    if above is not None and column != _indent(fault.lines[above]):
        hint += f": this line has {column}, line {above + 1} has {_indent(fault.lines[above])}"
    return _Words("the indentation does not fit the lines above", hint)


_EXPLANATIONS: tuple[Callable[[_Fault], _Words | None], ...] = (
    _slashes, _tab, _block_text, _escape, _open_quote, _first_letter, _after_quote, _closing, _jinja, _flow,
    _gap, _colon, _lone_text, _document, _indentation,
)  # fmt: skip
