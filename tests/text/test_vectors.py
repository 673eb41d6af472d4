"""Vectors in readings: as they are written, as they are read, and the same numbers in the graph."""

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from declarative_ml.features.text import TREE_AXES, Text
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.text.vectors import (
    ReadingStatistics,
    joined,
    learn_axes,
    parse_vectors,
    split_readings,
    write_vectors,
)

WORDS = ["the ships sail to oslo", "the dogs bark", "we bake bread today", "oslo , today !", ""]


def readings(rows=200, width=80, seed=0):
    source = np.random.default_rng(seed)
    vectors = source.standard_normal((rows, width)) * np.geomspace(1, 0.02, width) + 0.1
    vectors[3::10] = 0  # no word has a vector
    words = [WORDS[row % 5] for row in range(rows)]
    found = joined(words, write_vectors(vectors))
    return [text if row % 20 else "" for row, text in enumerate(found)]


def fit(feature, values):
    statistics = feature.accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return feature.fit(statistics)


def run(feature, state, values):
    graph = OnnxGraph()
    names = feature.to_onnx(graph, graph.input("text", "string"), state)
    layout = feature.layout("text", state)
    for kind in ("raw", "scaled"):
        graph.output(getattr(names, kind), f"{kind}_out", "float32", len(getattr(layout, kind)))
    session = onnxruntime.InferenceSession(graph.build("test", {}).SerializeToString())
    return session.run(["raw_out", "scaled_out"], {"text": np.array(values, object).reshape(-1, 1)})


def test_a_vector_is_written_as_its_direction():
    assert write_vectors(np.array([[3.0, -4, 0], [0, 0, 0], [0, 0, -2]])) == ["0.6 -0.8 0", "", "0 0 -1"]
    assert write_vectors(np.array([[1.0, -1e-9, 0.00004]])) == ["1 0 0"]  # and no -0
    assert write_vectors(np.zeros((2, 0))) == ["", ""]


def test_a_reading_is_words_and_numbers():
    assert joined(["a b", "", "a", ""], ["1 0", "0 1", "", ""]) == ["a b\t1 0", "\t0 1", "a", " "]
    words, numbers = split_readings(pa.array(["a b\t1 0", "\t0 1", "a", "", None, " "]))
    assert words.to_pylist() == ["a b", "", "a", "", "", " "]
    assert numbers.to_pylist() == ["1 0", "0 1", "", "", "", ""]
    rows, vectors = parse_vectors(numbers)
    assert rows.tolist() == [0, 1] and vectors.tolist() == [[1, 0], [0, 1]]


def test_axes_are_the_widest_directions_and_keep_their_lengths():
    vectors = np.random.default_rng(0).standard_normal((500, 6)) * [1, 8, 2, 1, 4, 0]
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    numbers = pa.array(write_vectors(vectors))
    axes = learn_axes(numbers, None)
    found = axes.apply(numbers)
    assert axes.width == 5  # one direction has no width
    assert np.abs(axes.directions).argmax(axis=0)[0] == 1
    spread = np.square(found).mean(axis=0)
    assert (np.diff(spread) < 0).all() and spread.mean() == pytest.approx(1, abs=1e-4)
    distances = np.linalg.norm(found[1:] - found[:-1], axis=1) / np.linalg.norm(
        vectors[1:] - vectors[:-1], axis=1
    )
    assert distances.max() - distances.min() < 1e-3 * distances.max()
    assert learn_axes(numbers, 2).width == 2
    restored = type(axes).from_json(axes.as_json())
    assert np.array_equal(restored.apply(numbers), found)


@pytest.mark.parametrize("options", [{}, {"ngrams": 0}, {"components": 5}, {"ngrams": 1}])
def test_the_graph_gives_the_same_numbers(options):
    feature = Text(encoder="embedding", model="somewhere", **options)
    values = readings()
    state = fit(feature, values)
    nasty = [
        *values[:40],
        "",
        " ",
        "only words",
        values[7].partition("\t")[2],
        "\t" + values[7].partition("\t")[2],
    ]
    nasty[-2] = "été\u3000👍 " * 50 + "\t" + values[7].partition("\t")[2]
    encoded = feature.encode(pa.array(nasty, pa.string()), state)
    layout = feature.layout("text", state)
    assert encoded.raw.shape[1] == len(layout.raw) and encoded.scaled.shape[1] == len(layout.scaled)
    for made, expected in zip(run(feature, state, nasty), (encoded.raw, encoded.scaled), strict=True):
        assert np.abs(made - expected).max() < 2e-5
    for alone, row in (("", 40), (nasty[41], 41)):  # no row of the batch has a vector
        assert np.abs(run(feature, state, [alone])[1] - encoded.scaled[row]).max() < 2e-5
    vectors = [name for name in layout.scaled if name.startswith("text.vector.")]
    assert len(vectors) == min(80, options.get("components", 80))
    assert sum(name.startswith("text.vector.") for name in layout.raw) == min(len(vectors), TREE_AXES)
    assert bool(layout.terms) == (options.get("ngrams") != 0)
    places = [layout.scaled.index(name) for name in vectors]
    assert not encoded.scaled[[40, 41, 42]][:, places].any()
    assert encoded.scaled[-1, places].any()


def test_statistics_do_not_depend_on_how_the_rows_are_cut():
    values, hashes = pa.array(readings(), pa.string()), np.arange(200, dtype=np.uint64)[::-1].copy()
    whole, first, second = (ReadingStatistics() for _ in range(3))
    whole.update(values, hashes)
    first.update(values.slice(0, 70), hashes[:70])
    second.update(values.slice(70), hashes[70:])
    second.merge(first)
    feature = Text(encoder="embedding", model="somewhere")
    assert feature.fit(whole) == feature.fit(second)
    assert feature.reference(whole, feature.fit(whole)) == feature.reference(second, feature.fit(second))
    assert (whole.missing, whole.rows) == (10, 200)


def test_texts_of_which_none_has_a_vector():
    feature = Text(encoder="embedding", model="somewhere")
    state = fit(feature, ["we sail", "they bake", " ", ""] * 5)
    encoded = feature.encode(pa.array(["we sail", "", "they\t0.6 0.8"]), state)
    assert np.abs(run(feature, state, ["we sail", "", "they\t0.6 0.8"])[1] - encoded.scaled).max() < 1e-5
