"""Markdown as GitHub reads it: what users wrote stays text, tables stay tables."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from declarative_ml.report.blocks import Chapter, Code, Grid, Points, Words
from declarative_ml.report.markdown import markdown, plain

RENDER = MarkdownIt("gfm-like", {"linkify": False}).render


@pytest.mark.parametrize(
    "text",
    [
        "a | b",
        "<script>alert(1)</script>",
        "[a](javascript:b) and ![c](d)",
        "*bold* _italic_ __init__ ~~gone~~ `code`",
        "snake_case_name of roc_auc",
        "# heading",
        "- item",
        "> quote",
        "1. first",
        "0.825",
        "-0.5 and +3",
        "---",
        "a \\ b \\| c",
        "&lt; &amp; R&D",
        "Ärger & Ölpreis – 3 %",
    ],
)
def test_text_reads_as_it_was_written(text: str) -> None:
    shown = RENDER(plain(text)).strip()
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert shown == f"<p>{escaped}</p>"


def test_lines_become_one() -> None:
    assert plain("one\n\n# two\r\nthree") == "one # two three"


def test_a_table_keeps_its_cells_whatever_is_in_them() -> None:
    grid = Grid(("Name", "Value|s"), [("a|b", "1"), ("`c", ""), ("d\ne", "<b>")], frozenset({1}))
    page = RENDER(markdown("t", [Chapter("c", [grid])]))
    assert page.count("<tr>") == 4
    assert page.count("<th") - page.count("<thead") == 2
    assert page.count("<td") == 6
    assert "<td>a|b</td>" in page
    assert "text-align:right" in page
    assert "<b>" not in page


def test_a_document_has_its_parts_in_order() -> None:
    facts = Grid((), [("Name", "x")])
    chapters = [
        Chapter("One", [Words("w"), Points(["p", "q"])]),
        Chapter("Two", [facts, Code("sh", "ls ```")]),
    ]
    text = markdown("Title", chapters)
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Title", "## One", "## Two"]
    page = RENDER(text)
    assert "<li>p</li>\n<li>q</li>" in page
    assert '<code class="language-sh">ls ```\n</code>' in page
    assert "<td>Name</td>" in page
