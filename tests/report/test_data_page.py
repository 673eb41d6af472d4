"""The part of the page on the data: what is shown of relations and suspicions, and what is not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from test_page import Checker

from declarative_ml.learning.relations import Relations, Stretch, TargetRelation
from declarative_ml.learning.statistics import ColumnProfile, Lengths
from declarative_ml.learning.suspicions import Suspicion
from declarative_ml.learning.task import Task
from declarative_ml.report.content import ReportContent
from declarative_ml.report.heat import heat_map
from declarative_ml.report.page import render_report

MakeReport = Callable[..., ReportContent]

TARGET = (
    TargetRelation(
        column="age",
        measure="rank correlation",
        value=-0.62,
        auc=0.2,
        along=(
            Stretch(low=17.0, high=30.0, rows=50, mean=0.75),
            Stretch(low=31.0, high=31.0, rows=50, mean=0.5),
            Stretch(low=32.0, high=90.0, rows=50, mean=0.125),
        ),
    ),
    TargetRelation(
        column="city",
        measure="Cramér's V",
        value=0.41,
        along=(Stretch(level="Rome", rows=60, mean=0.2), Stretch(level="Oslo & Co", rows=50, mean=0.9)),
    ),
    TargetRelation(column="joined", is_length=True, measure="rank correlation", value=0.05),
    TargetRelation(column="id", measure="Cramér's V", value=None),
)
RELATIONS = Relations(
    rows=5_000,
    of=16_000,
    target=TARGET,
    columns=("income", "age", "city", "joined"),
    values=((), (-0.62,), (0.41, 0.3), (0.05, 0.8, None)),
)
SUSPICIONS = (
    Suspicion(kind="leak", columns=("age",), reason="it is the target 'income' in other numbers"),
    Suspicion(kind="same", columns=("age", "city"), reason="age and city say the same (0.990 of 1)"),
)


def test_relations_and_suspicions_on_the_page(make_report: MakeReport) -> None:
    html = render_report(make_report(relations=RELATIONS, suspicions=SUSPICIONS))
    shown = Checker(html).words
    for words in (
        "Look at these first",
        "age leak It is the target 'income' in other numbers",
        "age, city same age and city say the same (0.990 of 1)",
        "name it under exclude",
        "From 5,000 of 16,000 training rows, drawn at random.",
        "with a minus sign the share of yes falls when the column rises",
        "age rank correlation · alone a ROC AUC of 0.80 −0.62",
        "share of yes, along the column",
        "12 % (32 … 90) to 75 % (17 … 30)",
        "20 % (Rome) to 90 % (Oslo & Co)",
        "length of joined",
        "What goes together",
        "one falls when the other rises",
    ):
        assert words in shown, words
    assert shown.index("Look at these first") < shown.index("Left out") < shown.index("Every column")
    assert html.count('class="bar falls" style="width:62.0%"') == 1


def test_a_page_without_findings_has_no_empty_parts(make_report: MakeReport) -> None:
    shown = Checker(render_report(make_report())).words
    for words in ("Look at these first", "What goes with", "What goes together"):
        assert words not in shown
    harmless = Checker(render_report(make_report(suspicions=SUSPICIONS[1:]))).words
    assert "name it under exclude" not in harmless


@pytest.mark.parametrize(
    ("task", "words", "absent"),
    [
        (
            Task(target="income", type="number"),
            ["mean income, along the column", "the target falls"],
            "ROC AUC of",
        ),
        (Task(target="income", type="multiclass", classes=("a", "b", "c")), ["0.62"], "along the column"),
    ],
    ids=["number", "multiclass"],
)
def test_what_other_targets_show(make_report: MakeReport, task: Task, words: list[str], absent: str) -> None:
    plain = [
        item.model_copy(update={"auc": None, "along": item.along if task.type == "number" else ()})
        for item in TARGET
    ]
    relations = RELATIONS.model_copy(update={"target": tuple(plain)})
    shown = Checker(render_report(make_report(task, relations=relations))).words
    data = shown[shown.index("What goes with") : shown.index("Every column")]
    assert all(word in data for word in words)
    assert absent not in data


def test_a_heat_map_names_every_pair_once() -> None:
    svg = heat_map(["y", "a <b>", "c"], [[], [-0.734], [0.02, None]])
    assert svg.count("<rect") == 3
    assert "<title>y and a &lt;b&gt;: -0.73</title>" in svg
    assert "<title>a &lt;b&gt; and c: not defined</title>" in svg
    assert re.findall(r'<text class="value[^>]*>([^<]*)<', svg) == ["−.73"]
    assert 'class="minus"' in svg and 'class="none"' in svg


def test_cards_of_texts_dates_and_two_values(make_report: MakeReport) -> None:
    known = {"rows": 200, "missing": 50, "distinct_exact": True, "unique": False, "constant": False}
    note = ColumnProfile(
        name="note",
        dtype="string",
        distinct=140,
        mean_length=31.0,
        lengths=Lengths(quantiles=tuple(range(20, 41)), edges=(19.5, 29.5, 39.5), counts=(100, 50)),
        **known,
    )
    flag = ColumnProfile(
        name="flag",
        dtype="int64",
        distinct=2,
        top=(("0", 120), ("1", 30)),
        edges=(-0.5, 0.5, 1.5),
        counts=(120, 30),
        min=0.0,
        max=1.0,
        mean=0.2,
        std=0.4,
        **known,
    )
    html = render_report(make_report(profile=[note, flag], features={}, dropped={}, importance=[]))
    shown = Checker(html).words
    assert "20 characters 39 median 30 characters · 140 values 25 % missing" in shown
    assert "flag int64 0 80 % 1 20 % 2 values 25 % missing" in shown
    assert 'aria-label="Lengths of note from 20 to 39 characters"' in html


def test_many_columns_are_folded_away_the_strongest_first(make_report: MakeReport) -> None:
    plain = {
        "rows": 10,
        "missing": 0,
        "distinct": 5,
        "distinct_exact": True,
        "unique": False,
        "constant": False,
    }
    profile = [ColumnProfile(name=f"c{place:03d}", dtype="int64", **plain) for place in range(230)]
    target = tuple(
        TargetRelation(column=f"c{place:03d}", measure="rank correlation", value=place / 1000)
        for place in range(230)
    )
    relations = Relations(rows=10, of=10, target=target[::-1])
    html = render_report(make_report(profile=profile, relations=relations, importance=[], dropped={}))
    shown = Checker(html).words
    assert html.count('<article class="card"') == 200
    assert "176 more columns" in shown and "30 further columns have no card." in shown
    assert shown.index("c229", shown.index("Every column")) < shown.index("c228", shown.index("Every column"))
    assert "From all 10 training rows." in shown
    assert "218 more columns follow, with 0.22 at most." in shown
