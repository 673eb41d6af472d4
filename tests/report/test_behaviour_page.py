from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from declarative_ml.behaviour.base import Case, Outcome
from declarative_ml.report.behaviour import behaviour_note, behaviour_table
from declarative_ml.report.content import ReportContent
from declarative_ml.report.page import render_report

MakeReport = Callable[..., ReportContent]
CASE: dict[str, Any] = {
    "row": 1_234,
    "failed": True,
    "changed": {"town": ("<Bern>", None)},
    "values": {"town": "<Bern>", "age": 41.5, "note": "x" * 200, "member": True, "gone": None},
    "of_class": "yes",
    "before": 0.25,
    "after": 0.75,
}


def outcome(**fields: Any) -> Outcome:
    standard: dict[str, Any] = {
        "name": "<fair>",
        "type": "invariance",
        "words": "Another value of town must not move the probability of yes by more than 0.01.",
        "part": "test",
        "rows": 500,
        "failures": 25,
        "share": 0.95,
        "needed": 0.99,
        "passed": False,
        "largest": 0.5,
        "other_labels": 12,
        "cases": [Case(**CASE), Case(**{**CASE, "row": 7, "failed": False})],
    }
    return Outcome(**{**standard, **fields})


def test_the_page_shows_each_test_and_the_worst_rows_of_those_that_failed(make_report: MakeReport) -> None:
    html = render_report(make_report(tests=[outcome(), outcome(name="other", passed=True)]))
    assert "<h2>Tests</h2>" in html and "1 of 2 failed." in html
    assert "&lt;fair&gt;: the worst rows" in html and "other: the worst rows" not in html
    assert "town: &lt;Bern&gt; → missing" in html
    assert "age: 41.5; note: " + "x" * 79 + "…; member: true" in html
    assert "gone" not in html and "<Bern>" not in html
    assert "The label of 12 rows changes." in html


def test_without_tests_there_is_no_section(make_report: MakeReport) -> None:
    assert "<h2>Tests</h2>" not in render_report(make_report())


@pytest.mark.parametrize(
    ("fields", "cells"),
    [
        ({"part": "training"}, {"part": "training rows"}),
        ({"part": "new.csv", "largest": None}, {"part": "new.csv", "largest": "–"}),
        ({"largest": -0.2, "other_labels": 1}, {"largest": "0", "note": "The label of one row changes."}),
        ({"note": "Many columns: 20 rows were tried.", "other_labels": 0},
         {"note": "Many columns: 20 rows were tried.", "share": "95\u00a0%", "needed": "99\u00a0%"}),
    ],
)  # fmt: skip
def test_the_cells_of_a_test(fields: dict[str, Any], cells: dict[str, Any], make_report: MakeReport) -> None:
    table = behaviour_table(make_report(tests=[outcome(**fields)]))
    assert table is not None
    (row,) = table["rows"]
    assert {name: row[name] for name in cells} == cells


def test_rows_that_the_spec_gives_are_shown_with_what_was_expected(make_report: MakeReport) -> None:
    given = {"row": None, "changed": {}, "of_class": None}
    case = Case(**{**CASE, **given, "before": None, "after": "no (0.75)", "expected": "yes"})
    html = render_report(make_report(tests=[outcome(type="expect", cases=[case], part="given")]))
    assert "<td>yes</td><td>no (0.75)</td>" in html
    assert "known answers" in html


def test_the_note_at_the_top_names_what_failed() -> None:
    assert behaviour_note([outcome(passed=True)]) == []
    assert behaviour_note([outcome()]) == ["One behavioural test of 1 failed: <fair>. See Tests."]
    assert behaviour_note([outcome(), outcome(name="b")]) == [
        "2 behavioural tests of 2 failed: <fair>, b. See Tests."
    ]
