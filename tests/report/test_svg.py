import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from declarative_ml.report.svg import Axis, Chart, percent_labels, spark_bars, tick_labels, tick_values


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 43_000.0, ["0", "10k", "20k", "30k", "40k"]),
        (-3_000.0, 3_000.0, ["-2,000", "0", "2,000"]),
        (0.31, 0.52, ["0.35", "0.40", "0.45", "0.50"]),
        (0.0, 3e9, ["0", "1,000M", "2,000M", "3,000M"]),
        (5.0, 5.0, ["5"]),
        (0.0, 4e-9, ["0", "1e-09", "2e-09", "3e-09", "4e-09"]),
    ],
)
def test_ticks_are_round_and_readable(low: float, high: float, ticks: list[str]) -> None:
    assert tick_labels(tick_values(low, high)) == ticks


def test_percent_labels_have_the_decimals_they_need() -> None:
    assert [text.replace("\u00a0", " ") for text in percent_labels([0.0, 0.005, 0.01])] == [
        "0.0 %",
        "0.5 %",
        "1.0 %",
    ]


@pytest.mark.parametrize("values", [[], [math.nan], [3.0], [0.0, 0.0], [-1.0, 5.0]])
def test_an_axis_always_has_room(values: list[float]) -> None:
    axis = Axis.around(values)
    assert axis.low < axis.high


def test_a_chart_is_xml_and_escapes_labels() -> None:
    chart = Chart(Axis(0, 1, "a < b"), Axis(0, 1, "<script>"), 'says "x" & <y>')
    chart.line([0, 0.5, math.nan, 1], [0, 2, 0.5, -5])
    chart.dots([0.1], [0.2])
    chart.bars([0, 0.5, 1], [0.3, 0.0])
    chart.vertical(0.9, "<b>")
    root = ElementTree.fromstring(chart.svg())
    assert root.attrib["aria-label"] == 'says "x" & <y>'
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "<script>", "<b>"} <= set(texts)


def test_marks_stay_within_the_frame() -> None:
    chart = Chart(Axis(0, 1), Axis(0, 1), "x")
    assert chart.place_x(-9) == chart.LEFT
    assert chart.place_x(9) == chart.width - chart.RIGHT
    assert chart.place_y(9) == chart.TOP
    assert chart.place_y(-9) == chart.height - chart.BOTTOM


def test_a_long_line_is_thinned_to_pixels() -> None:
    chart = Chart(Axis(0, 1), Axis(0, 1), "x")
    xs = np.linspace(0, 1, 100_000)
    chart.line(xs, xs)
    assert len(chart.svg()) < 15_000


def test_spark_bars_survive_empty_and_zero_counts() -> None:
    for counts in ([], [0, 0], [1, 0, 5]):
        ElementTree.fromstring(spark_bars(counts, "x"))
