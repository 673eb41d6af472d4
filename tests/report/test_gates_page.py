from collections.abc import Callable

import pytest

from declarative_ml.report.content import GatePart, GateResult, ReportContent
from declarative_ml.report.gates import gate_table
from declarative_ml.report.page import render_report

MakeReport = Callable[..., ReportContent]

GOOD = GateResult(
    "good-<enough>",
    "metric",
    "roc_auc at least 0.8",
    True,
    "roc_auc is 0.9",
    "roc_auc",
    0.9,
    0.8,
    "min",
    (0.85, 0.95),
)
WORSE = GateResult(
    "not-worse", "beats", "roc_auc: not worse", False, "shown to be below 0", "roc_auc", -0.02, 0.0,
    "min", (-0.03, -0.01), 0.88, 0.9, "test", "city = Paris", 300,
    [
        GatePart("city = Rome", 200, 0.01, (-0.02, 0.03), 0.91, 0.9, True, "fine"),
        GatePart("city = Paris", 300, -0.02, (-0.03, -0.01), 0.88, 0.9, False, "shown"),
        GatePart("city = Bonn", 3, reason="3 test rows are fewer than 30"),
    ],
)  # fmt: skip
QUICK = GateResult(
    "quick", "latency", "one row in 1ms at most", True, "", "microseconds", 250.0, 1000.0, "max"
)
NOBODY = GateResult("first", "beats", "not worse", True, "there is no champion", "roc_auc", limit=0.0)


def test_failed_gates_come_first_with_their_reason(make_report: MakeReport) -> None:
    html = render_report(make_report(gates=[GOOD, WORSE, QUICK], champion="version 3 of 'churn'"))
    assert "1 of 3 gates failed: the model was not converted, registered or promoted." in html
    assert "The champion: version 3 of &#39;churn&#39;." in html
    assert html.index("not-worse") < html.index("good-&lt;enough&gt;") < html.index(">quick<")
    assert '<p class="reason">shown to be below 0</p>' in html
    assert "roc_auc is 0.9</p>" not in html, "a passed gate needs no sentence"
    assert "Worst: city = Paris" in html
    assert "3 test rows are fewer than 30" in html
    assert "250 µs" in html and "≤ 1.0 ms" in html and "≥ 0.8" in html


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        ([GOOD], "The model passed its gate."),
        ([GOOD, QUICK], "The model passed all 2 gates."),
        ([WORSE], "The gate failed: the model was not converted"),
    ],
)
def test_the_verdict(gates: list[GateResult], sentence: str, make_report: MakeReport) -> None:
    table = gate_table(make_report(gates=gates))
    assert table is not None and table["sentence"].startswith(sentence)


def test_places_on_a_scale_of_its_own(make_report: MakeReport) -> None:
    table = gate_table(make_report(gates=[GOOD, WORSE, QUICK, NOBODY]))
    assert table is not None
    worse, good, quick, nobody = table["rows"]
    assert 0 < good["mark"] < good["low"] < good["at"] < good["high"] < 100
    assert 0 < worse["low"] < worse["at"] < worse["high"] < worse["mark"] < 100
    assert quick["low"] is None and 0 < quick["at"] < quick["mark"] < 100
    assert nobody["at"] is None and nobody["reason"] == "there is no champion"
    (details,) = table["details"]
    assert [row["name"] for row in details["rows"]] == ["city = Paris", "city = Rome", "city = Bonn"]


def test_the_limit_itself_has_a_place(make_report: MakeReport) -> None:
    even = GateResult("even", "beats", "", True, "", "roc_auc", 0.0, 0.0, "min", (0.0, 0.0))
    table = gate_table(make_report(gates=[even]))
    assert table is not None and table["rows"][0]["at"] == table["rows"][0]["mark"]


def test_without_gates_the_page_says_nothing_of_them(make_report: MakeReport) -> None:
    assert gate_table(make_report()) is None
    assert "<h2>Gates</h2>" not in render_report(make_report())
