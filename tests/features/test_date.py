import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.features.date import Date
from declarative_ml.learning.statistics import ColumnProfiler


def fit(values):
    statistics = Date().accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return Date().fit(statistics), statistics


def columns(values, state):
    """Every encoded column by name."""
    layout, encoded = Date().layout("d", state), Date().encode(pa.array(values, pa.string()), state)
    raw = {name: encoded.raw[:, number].tolist() for number, name in enumerate(layout.raw)}
    scaled = {name: encoded.scaled[:, number] for number, name in enumerate(layout.scaled)}
    return raw, scaled


@pytest.mark.parametrize(
    ("dtype", "inferred"),
    [(pa.date32(), True), (pa.timestamp("us"), True), (pa.int64(), False), (pa.string(), False)],
)
def test_infer(dtype, inferred):
    profiler = ColumnProfiler("x", dtype)
    profiler.update(pa.nulls(2, dtype), np.arange(2, dtype=np.uint64))
    assert (Date.infer(profiler.profile()) is not None) is inferred


def test_raw_parts():
    state, _ = fit(["2023-01-31T05:00:00", "2024-12-01"])
    raw, _ = columns(["2024-02-29T18:00:00", None], state)
    expected = {
        "days": 19_782.75,
        "year": 2024,
        "month": 2,
        "day": 29,
        "weekday": 3,
        "yearday": 60,
        "hour": 18,
    }
    assert {name: values[0] for name, values in raw.items()} == {
        f"d.{part}": n for part, n in expected.items()
    }
    assert np.isnan([values[1] for values in raw.values()]).all()


@pytest.mark.parametrize(
    ("training", "parts"),
    [
        (["2024-01-01", "2024-01-02"], ["days", "day", "weekday", "yearday"]),
        (["2024-01-01T05:00:00", "2024-01-01T06:00:00"], ["days", "hour"]),
        (["2024-01-01T05:00:00", "2024-01-01T05:00:01"], ["days"]),
        (["2024-01-01", "2024-01-01"], []),
    ],
)
def test_constant_parts_are_left_out(training, parts):
    state, _ = fit(training)
    assert state["parts"] == parts
    layout = Date().layout("d", state)
    assert layout.raw == tuple(f"d.{part}" for part in parts)
    assert not {name for name in layout.scaled if name.split(".")[1] not in parts}


def test_scaled_columns():
    state, _ = fit(["2023-01-01", "2024-12-31", None])
    _, scaled = columns(["2024-07-01", "", "2900-01-01", "0001-01-01"], state)
    assert scaled["d.month.sin"][0] == pytest.approx(np.sin(2 * np.pi * 7 / 12), abs=1e-6)
    assert scaled["d.month.cos"][0] == pytest.approx(np.cos(2 * np.pi * 7 / 12), abs=1e-6)
    assert scaled["d.days"].tolist()[1:] == [0.0, 4.0, -4.0]
    assert scaled["d.missing"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert all(values[1] == 0.0 for name, values in scaled.items() if name != "d.missing")


def test_field_and_reference():
    state, statistics = fit(["2024-01-01", "2024-01-03", "x"])
    assert Date().field(state) == {
        "type": ["string", "null"],
        "description": "YYYY-MM-DD",
        "examples": ["2024-01-03"],
    }
    assert Date().reference(statistics, state) == {
        "kind": "date",
        "edges": [19_723.0, 19_725.0, 19_725.0],
        "counts": [1, 1],
        "missing": 1,
        "rows": 3,
    }


def test_field_of_moments_shows_the_time():
    state, _ = fit(["2024-01-01T10:20:30"])
    assert Date().field(state)["examples"] == ["2024-01-01T10:20:30"]


def test_a_monotone_date_is_its_days_alone():
    statistics = Date().accumulator()
    values = pa.array(["2023-01-31T05:00:00", "2024-12-01", None], pa.string())
    statistics.update(values, np.arange(3, dtype=np.uint64))
    feature = Date(monotone="increasing")
    layout = feature.layout("d", feature.fit(statistics))
    assert layout.raw == ("d.days",)
    assert layout.scaled == ("d.days", "d.missing")


def test_the_graph_holds_every_part_of_every_month():
    """Every day of common and leap years, of turns of centuries, and of the ends of what can be written."""
    import onnxruntime

    from declarative_ml.features.date_graph import DateGraph
    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.iso_dates import PARTS, date_parts

    years = [0, 1, 3, 4, 99, 100, 400, 1582, 1899, 1900, 1969, 1970, 1999, 2000, 2023, 2024, 2100, 9999]
    clocks = ["", "T00:00:00", "T23:59:59", "T07:05:01"]
    texts = [
        f"{year:04}-{month:02}-{day:02}{clocks[(month + day) % 4]}"
        for year in years
        for month in range(1, 13)
        for day in range(1, 32)
    ]
    texts += ["", "2024-13-01", "2024-01-01T24:00:00", "2024-01-01T10:00", "2024-01-01 10:00:00"]
    graph = OnnxGraph()
    graph.input("x", "string")
    date = DateGraph(graph, "x")
    graph.output(graph.cast(date.valid, "float32"), "valid", "float32")
    graph.output(date.parts(PARTS), "parts", "float64", len(PARTS))
    model = graph.build("dates", {}).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    valid, parts = session.run(None, {"x": np.array(texts, dtype=object).reshape(-1, 1)})
    expected, known = date_parts(pa.array(texts))
    assert valid[:, 0].tolist() == known.tolist()
    assert (parts[known] == expected[known]).all()
