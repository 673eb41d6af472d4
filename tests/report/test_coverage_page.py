from collections.abc import Callable

import pytest

from declarative_ml.learning.task import Task
from declarative_ml.report.content import IntervalGroup, IntervalResult, ReportContent
from declarative_ml.report.coverage import coverage_table
from declarative_ml.report.page import render_report

PRICE = Task(target="<price>", type="number")
MakeReport = Callable[..., ReportContent]


def result(coverage: tuple[float, float, float], groups: int = 5) -> IntervalResult:
    fifths = [IntervalGroup(80, 10.0 * (place + 1), 0.86 + 0.02 * place) for place in range(groups)]
    return IntervalResult(0.9, 400, coverage, (1234.5, 1200.0, 1270.0), 0.04, 0.055, fifths)


@pytest.mark.parametrize(
    ("coverage", "judgement"),
    [
        ((0.905, 0.87, 0.93), "That is what was promised, as far as so many rows can tell."),
        ((0.8, 0.76, 0.84), "That is fewer than promised"),
        ((0.97, 0.95, 0.98), "That is more than promised"),
    ],
)
def test_the_page_says_whether_the_promise_was_kept(
    coverage: tuple[float, float, float], judgement: str, make_report: MakeReport
) -> None:
    html = render_report(make_report(PRICE, interval=result(coverage)))
    assert judgement in html
    assert "of the values of &lt;price&gt; are to lie between lower and upper: of 400 test rows" in html
    assert "The mean width is 1,234" in html and "widest fifth" in html
    assert "<price>" not in html


def test_each_group_has_its_place_on_the_scale(make_report: MakeReport) -> None:
    table = coverage_table(make_report(PRICE, interval=result((0.9, 0.88, 0.92))))
    assert table is not None
    places = [row["at"] for row in table["rows"]]
    assert places == sorted(places) and places[0] >= 0 and places[-1] <= 100
    assert places[2] == table["mark"], "the middle group covers just what was asked for"
    few = coverage_table(make_report(PRICE, interval=result((0.9, 0.88, 0.92), groups=2)))
    assert few is not None and [row["name"] for row in few["rows"]] == ["group 1", "group 2"]


def test_without_intervals_the_page_says_nothing_of_them(make_report: MakeReport) -> None:
    assert coverage_table(make_report(PRICE)) is None
    assert "Prediction intervals" not in render_report(make_report(PRICE))
