import re
from collections.abc import Callable
from pathlib import Path

from declarative_ml.core.errors import Problem
from declarative_ml.spec.diagnostics import problems_as_json, render_problems

_TEXT = "name: x\nfeatures:\n  notes:\n    encodr: ngrams\n"
_PROBLEM = Problem(
    "DML012", "unknown key 'encodr' in features.notes (type text)", file="spec.yaml", line=4, column=5,
    width=6, path="features.notes.encodr", hint="did you mean 'encoder'?",
)  # fmt: skip


def render(problem: Problem, text: str = _TEXT, *, color: bool = False) -> str:
    return render_problems([problem], texts={"spec.yaml": text}, color=color)


def test_the_line_and_a_caret() -> None:
    assert render(_PROBLEM) == (
        "spec.yaml:4:5  error DML012  unknown key 'encodr' in features.notes (type text)\n"
        "   4 |     encodr: ngrams\n"
        "     |     ^^^^^^ did you mean 'encoder'?\n"
    )


def test_colour_only_adds_escapes() -> None:
    colored = render(_PROBLEM, color=True)
    assert "\x1b[1;31m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(_PROBLEM)


def test_a_problem_without_a_line() -> None:
    problem = Problem("DML012", "unknown key 'sed'", file="--set sed=1", hint="did you mean 'seed'?")
    assert render(problem) == "--set sed=1  error DML012  unknown key 'sed'\n     = did you mean 'seed'?\n"


def test_a_warning_without_a_hint() -> None:
    problem = Problem("DML109", "no effect", "warning", "spec.yaml", 1, 1, 4)
    assert render(problem) == "spec.yaml:1:1  warning DML109  no effect\n   1 | name: x\n     | ^^^^\n"


def test_wide_and_combining_characters_move_the_caret() -> None:
    problem = Problem("DML016", "m", file="spec.yaml", line=1, column=8, width=2)
    lines = render(problem, "漢字: e\u0301 ab\n").splitlines()
    assert lines[1] == "   1 | 漢字: e\u0301 ab"
    assert lines[2] == f"     | {' ' * 8}^^"


def test_tabs_and_control_characters_are_made_harmless() -> None:
    problem = Problem("DML003", "bad \x1b[31m", file="spec.yaml", line=1, column=2, width=1)
    rendered = render(problem, "\ta\x1b[2J\n")
    assert "\x1b" not in rendered
    assert rendered.splitlines()[1] == "   1 |  a\ufffd[2J"


def test_long_lines_are_cut_around_the_mistake() -> None:
    text = "a: [" + "x, " * 200 + "WRONG" + ", y" * 200 + "]"
    column = text.index("WRONG") + 1
    lines = render(
        Problem("DML016", "m", file="spec.yaml", line=1, column=column, width=5), text
    ).splitlines()
    assert len(lines[1]) < 130
    at = lines[2].index("^")
    assert lines[1][at : at + 5] == "WRONG"


def test_a_file_that_is_gone_still_renders() -> None:
    problem = Problem("DML012", "m", file="/nonexistent/spec.yaml", line=3, column=1)
    assert render_problems([problem]) == "/nonexistent/spec.yaml:3:1  error DML012  m\n"


def test_the_file_is_read_where_no_text_is_given(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\nsed: 1\r\n")
    problem = Problem("DML012", "m", file=str(path), line=2, column=1, width=3)
    assert render_problems([problem]).splitlines()[1:] == ["   2 | sed: 1", "     | ^^^"]


def test_json_has_the_promised_fields(problems: Callable[..., list[Problem]]) -> None:
    found = problems_as_json(problems("seeed: 7"))
    assert list(found) == ["problems"]
    fields = found["problems"][0]
    assert sorted(fields) == ["code", "column", "file", "hint", "line", "message", "path", "severity"]
    assert (fields["code"], fields["line"], fields["column"], fields["path"]) == ("DML012", 1, 1, "seeed")
