import os
import random

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.features.text import Text, default_components
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.statistics import ColumnProfiler
from declarative_ml.steps.profile import infer_feature
from declarative_ml.text import lexicon

SENTENCE = "The parcel number {} came two days late and the box was broken"
SCRIPTS = [
    "the sea",
    "la mer",
    "das Meer!",
    "море",
    "海です",
    "البحر",
    "🌊🌊",
    "e\u0301te\u0301",
    "x_1",
    "$5",
    "",
    "\x00",
    "…",
]


def fit(feature, values):
    statistics = feature.accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return feature.fit(statistics), statistics


def profile(values):
    profiler = ColumnProfiler("x", pa.string())
    profiler.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return profiler.profile()


def mixed(rows, seed=0):
    """Texts of several scripts, with nulls, empty ones and strange characters."""
    source = random.Random(seed)

    def text():
        parts = source.choices(SCRIPTS, k=source.randrange(12))
        if not source.randrange(4):
            parts.append(chr(source.randrange(0xE000, 0x110000)))
        return source.choice((" ", ", ", "\n", "")).join(parts)

    return [None if not row % 29 else text() for row in range(rows)]


def weigh_in_graph(feature, state, values, weights):
    """What the graph computes as terms @ weights."""
    import onnxruntime

    graph = OnnxGraph()
    (weigh,) = feature.to_onnx(graph, graph.input("x", "string"), state).terms
    graph.output(weigh(graph, weights), "sums", "float32", weights.shape[1])
    session = onnxruntime.InferenceSession(graph.build("text", {}).SerializeToString())
    given = np.array([value or "" for value in values], dtype=object).reshape(-1, 1)
    return session.run(["sums"], {"x": given})[0]


def run_graph(feature, state, values):
    import onnxruntime

    graph = OnnxGraph()
    names = feature.to_onnx(graph, graph.input("x", "string"), state)
    layout = feature.layout("x", state)
    for kind in ("raw", "scaled"):
        graph.output(getattr(names, kind), kind, "float32", len(getattr(layout, kind)))
    session = onnxruntime.InferenceSession(graph.build("text", {}).SerializeToString())
    given = np.array([value or "" for value in values], dtype=object)[:, None]
    return session.run(["raw", "scaled"], {"x": given})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([SENTENCE.format(number) for number in range(100)], "text"),
        ([SENTENCE.format(number) if number % 3 else None for number in range(100)], "text"),
        ([f"not so good {number}" for number in range(100)], "text"),
        ([f"这家餐厅的服务非常好{number}" for number in range(100)], "text"),
        ([SENTENCE.format(number) for number in range(10)], None),  # too few rows
        ([SENTENCE.format(number % 5) for number in range(100)], "category"),
        ([f"Smith, Mr. John {number}" for number in range(100)], None),
        ([f"Anna Lee {number}" for number in range(100)], None),
        ([f"{number} Clairmont St" for number in range(100)], None),
        ([f"anna.lee.{number}@example.com" for number in range(100)], None),
        ([f"https://example.com/a/b/c/d/e-f-g-{number}" for number in range(100)], None),
        ([f"AB-{number}-CD-12-x" for number in range(100)], None),
        ([f"张伟{number}" for number in range(100)], None),
    ],
)
def test_inference(values, kind):
    options, reason = infer_feature(profile(values))
    assert (options["type"] if options else None) == kind
    assert bool(reason) is (kind is None)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "bert"}, {"ngrams": 0}, {"ngrams": 4}, {"max_terms": 0}, {"min_count": 0},
        {"components": 0}, {"components": 2_000}, {"vocabulary": 3},
    ],
)  # fmt: skip
def test_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Text(**options)


@pytest.mark.parametrize(
    ("texts", "components"),
    [(0, 16), (100, 16), (1_000, 125), (5_000, 480), (65_536, 480), (131_072, 256), (10_000_000, 64)],
)
def test_default_components(texts, components):
    assert default_components(texts) == components


@pytest.mark.parametrize(
    "options", [{}, {"ngrams": 1}, {"ngrams": 3, "components": 40, "min_count": 1}], ids=str
)
def test_graph_computes_what_encode_does_to_the_last_bit(options):
    """Sums of whole numbers have no order; only the logarithm of the words may differ, by a rounding."""
    feature = Text(**options)
    state, _ = fit(feature, mixed(2_000))
    values = mixed(5_000, seed=1)
    encoded = feature.encode(pa.array(values, pa.string()), state)
    raw, scaled = run_graph(feature, state, values)
    np.testing.assert_array_equal(raw, encoded.raw)
    np.testing.assert_array_equal(scaled[:, 1:], encoded.scaled[:, 1:])
    np.testing.assert_allclose(scaled[:, 0], encoded.scaled[:, 0], atol=2e-6)


@pytest.mark.parametrize("options", [{}, {"ngrams": 1}, {"ngrams": 3, "min_count": 1}], ids=str)
@pytest.mark.parametrize("width", [1, 3])
def test_graph_weighs_the_terms_that_encode_finds(options, width):
    feature = Text(**options)
    state, _ = fit(feature, mixed(2_000))
    (column,) = feature.layout("x", state).terms
    weights = np.random.default_rng(0).normal(size=(column.size, width)).astype(np.float32)
    for values in (
        mixed(3_000, seed=1),
        ["the sea " * 20_000, "", None, "x" * 100_000, "no known term"],
        ["the sea"],
        [],
    ):
        encoded = feature.encode(pa.array(values, pa.string()), state).terms
        assert encoded.shape == (len(values), column.size)
        found = weigh_in_graph(feature, state, values, weights)
        np.testing.assert_allclose(found, encoded @ weights.astype(np.float64), rtol=1e-5, atol=2e-6)


def test_terms_are_told_by_their_words():
    states = [fit(Text(min_count=1), texts)[0] for texts in (["a b", "c"], ["c d", "a b"])]
    digests = [Text().term_digests(state) for state in states]
    assert [len(found) for found in digests] == [4, 6]  # a b c "a b", and a b c d "a b" "c d"
    assert set(digests[0].tolist()) < set(digests[1].tolist())


@pytest.mark.skipif(lexicon.compiled() is None, reason="built without a compiler")
def test_without_a_compiler_everything_is_the_same(monkeypatch):
    feature, values = Text(ngrams=3), pa.array(mixed(500, seed=1), pa.string())
    state, statistics = fit(feature, mixed(2_000))
    encoded, reference = feature.encode(values, state), feature.reference(statistics, state)
    monkeypatch.setattr(lexicon, "_COMPILED", None)
    assert fit(feature, mixed(2_000))[0] == state
    assert feature.reference(statistics, state) == reference
    for kind in ("raw", "scaled"):
        np.testing.assert_array_equal(getattr(feature.encode(values, state), kind), getattr(encoded, kind))
    assert (feature.encode(values, state).terms != encoded.terms).nnz == 0


@pytest.mark.skipif(
    not os.environ.get("CI"), reason="a machine may lack a compiler; that of the tests must not"
)
def test_the_fast_reader_was_built():
    assert lexicon.compiled() is not None


def test_long_texts_beside_short_ones():
    feature = Text(min_count=1)
    state, _ = fit(feature, mixed(500))
    values = ["the sea " * 50_000, "", "море", "x" * 100_000]
    encoded = feature.encode(pa.array(values), state)
    raw, scaled = run_graph(feature, state, values)
    np.testing.assert_allclose(raw, encoded.raw, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaled, encoded.scaled, rtol=1e-5, atol=2e-6)
    assert raw[:, 0].tolist() == [100_000, 0, 1, 1]


def test_columns():
    feature = Text(components=3, min_count=1)
    state, _ = fit(feature, ["a b", "a c", "b c", "c d e", None])
    layout = feature.layout("x", state)
    assert layout.raw == ("x.words", "x.1", "x.2", "x.3")
    assert layout.scaled == ("x.words", "x.1", "x.2", "x.3", "x.missing")
    (terms,) = layout.terms
    assert (terms.name, terms.size, terms.summary) == ("x", len(state["idf"]), ("x.1", "x.2", "x.3"))
    encoded = feature.encode(pa.array(["A b!", "", None]), state)
    assert encoded.raw[:, 0].tolist() == [3, 0, 0]
    assert encoded.scaled[:, -1].tolist() == [0, 1, 1]
    assert not encoded.raw[1:, 1:].any()
    assert np.diff(encoded.terms.indptr).tolist() == [3, 0, 0]  # a, b, and both
    assert encoded.raw[0, 1:].any()


def test_trees_see_the_first_components_only():
    source = random.Random(0)
    texts = [" ".join(f"w{source.randrange(400)}" for _ in range(20)) for _ in range(400)]
    feature = Text(components=150)
    state, _ = fit(feature, texts)
    layout = feature.layout("x", state)
    assert (len(layout.raw), len(layout.scaled)) == (1 + 128, 1 + 150)


def test_case_matters_for_letters_beyond_a_to_z_only():
    feature = Text(min_count=1)
    state, _ = fit(feature, ["Sea ÉTÉ", "sea été", "SEA"])
    assert state["tokens"] == ["sea", "ÉtÉ", "été"]


def test_no_text_holds_a_known_term():
    feature = Text()
    state, statistics = fit(feature, ["one", "two", "…"])
    assert feature.layout("x", state).raw == ("x.words",)
    assert feature.layout("x", state).terms == ()
    assert feature.encode(pa.array(["one"]), state).terms is None
    assert len(feature.term_digests(state)) == 0
    raw, scaled = run_graph(feature, state, ["one two", ""])
    assert raw.tolist() == [[2.0], [0.0]]
    np.testing.assert_allclose(scaled, feature.encode(pa.array(["one two", ""]), state).scaled, atol=1e-6)
    assert feature.reference(statistics, state)["terms"] == []
    assert feature.field(state)["examples"] == ["a text"]


def test_field_shows_no_training_text():
    state, _ = fit(Text(), ["secret plan one", "secret plan two", "another plan"])
    assert Text().field(state) == {
        "type": ["string", "null"],
        "description": "free text",
        "examples": ["plan secret"],
    }


def test_reference_tells_lengths_and_terms():
    feature = Text(min_count=1)
    state, statistics = fit(feature, ["a b", "a", "a b c", "", None])
    found = feature.reference(statistics, state)
    assert (found["kind"], found["rows"], found["missing"], sum(found["counts"])) == ("text", 5, 2, 3)
    assert found["terms"][:3] == ["a", "b", "a b"]
    assert found["shares"][:3] == [1.0, 0.666667, 0.666667]
