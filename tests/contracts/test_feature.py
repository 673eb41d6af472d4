"""What every feature type on the shelf promises."""

import json
import warnings
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.features import FEATURES
from declarative_ml.graph.onnx_graph import OnnxGraph

HUGE_TEXT = "x" * 100_000
NASTY_NUMBERS = [
    None,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e38,
    -1e38,
    3.4e38,
    0.0,
    -0.0,
    1e-45,
    1.5,
    -7.0,
    16_777_217.0,
]
NASTY_TEXTS = [
    None,
    "",
    " ",
    "yes",
    "YES",
    "Yes",
    "no",
    "never seen",
    "É",
    "é",
    "日本",
    "\U0001f600",
    HUGE_TEXT,
    "nan",
    "0",
    "1",
    "a\nb",
    "2024-02-29",
    "2023-02-30",
    "2024-02-29T23:59:59",
    "2024-02-29 23:59:59",
    "2024-13-01",
    "0000-01-01",
    "9999-12-31",
    "1969-12-31T00:00:00",
    "2024-02-29\n",
    "2024-2-9",
    "２０２４-01-01",
    "--",
    "T::",
]
OPTIONS = [
    {"type": "number"},
    {"type": "number", "missing": "mean", "scale": "quantile"},
    {"type": "number", "missing": "zero", "scale": "standard"},
    {"type": "number", "missing": -2.5, "scale": "minmax"},
    {"type": "number", "scale": "none"},
    {"type": "category"},
    {"type": "category", "max_levels": 2, "min_count": 1, "unseen": "missing"},
    {"type": "binary"},
    {"type": "date"},
    {"type": "text"},
    {"type": "text", "ngrams": 3, "max_terms": 4, "min_count": 5, "components": 2},
]


def training_values(kind, rows=300):
    """A column with missing values that suits the feature type."""
    random = np.random.default_rng(7)
    if kind == "number":
        values = np.exp(3 * random.standard_normal(rows)).astype(np.float32)
        values[::11] = np.nan
        return pa.array(values)
    if kind == "date":
        days = random.integers(-4_000, 20_000, rows)
        texts = [str(np.datetime64(int(day), "D")) for day in days]
        texts[5] = texts[5] + "T07:30:15"
    else:
        levels = ["no", "yes"] if kind == "binary" else ["no", "yes", "É", "日本", "nan", "0"]
        texts = [levels[int(index)] for index in random.integers(0, len(levels), rows)]
        if kind == "category":
            texts[1] = texts[2] = HUGE_TEXT
    texts[::13] = [None if number % 2 else "" for number in range(len(texts[::13]))]
    return pa.array(texts, pa.string())


def nasty_values(feature):
    if feature.raw_dtype == "float32":
        return pa.array(NASTY_NUMBERS, pa.float32())
    return pa.array(NASTY_TEXTS, pa.string())


def gather(feature, values, hashes, chunks=1):
    """The statistics of the values in so many chunks: half updated in place, half merged."""
    bounds = np.linspace(0, len(values), chunks + 1).astype(int)
    total = feature.accumulator()
    for number, (start, stop) in enumerate(pairwise(bounds)):
        part = total if number % 2 else feature.accumulator()
        part.update(values.slice(start, stop - start), hashes[start:stop])
        if part is not total:
            total.merge(part)
    return total


def run_graph(feature, state, values):
    """The three tensors that the feature's fragment computes, None where it has none."""
    import onnxruntime

    graph = OnnxGraph()
    names = feature.to_onnx(graph, graph.input("a column", feature.raw_dtype), state)
    layout = feature.layout("a column", state)
    asked = [kind for kind in ("raw", "scaled", "codes") if getattr(names, kind) is not None]
    for kind in asked:
        dtype = "int64" if kind == "codes" else "float32"
        graph.output(getattr(names, kind), kind, dtype, len(getattr(layout, kind)))
    session = onnxruntime.InferenceSession(graph.build("feature", {}).SerializeToString())
    if feature.raw_dtype == "float32":
        tensor = values.to_numpy(zero_copy_only=False).astype(np.float32)[:, None]
    else:
        tensor = np.array([value or "" for value in values.to_pylist()], dtype=object)[:, None]
    found = session.run(asked, {"a column": tensor})
    return dict.fromkeys(("raw", "scaled", "codes")) | dict(zip(asked, found, strict=True))


def fitted(options):
    feature = FEATURES.parse(options)
    values = training_values(feature.type)
    hashes = np.random.default_rng(3).integers(0, 2**63, len(values)).astype(np.uint64)
    statistics = gather(feature, values, hashes)
    return feature, statistics, feature.fit(statistics), values, hashes


def test_options_cover_the_shelf():
    assert {options["type"] for options in OPTIONS} == set(FEATURES)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("chunks", [3, 7])
def test_state_and_reference_do_not_depend_on_the_chunks(options, chunks):
    feature, statistics, state, values, hashes = fitted(options)
    other = gather(feature, values, hashes, chunks)
    assert feature.fit(other) == state
    assert feature.reference(other, state) == feature.reference(statistics, state)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_encoding_does_not_depend_on_the_chunks(options):
    feature, _, state, values, _ = fitted(options)
    whole = feature.encode(values, state)
    for kind in ("raw", "scaled", "codes"):
        parts = [getattr(feature.encode(values.slice(start, 50), state), kind) for start in range(0, 300, 50)]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(whole, kind))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("which", ["training", "nasty"])
def test_graph_computes_what_encode_does(options, which):
    feature, _, state, values, _ = fitted(options)
    values = values if which == "training" else nasty_values(feature)
    encoded = feature.encode(values, state)
    tensors = run_graph(feature, state, values)
    for kind in ("raw", "scaled"):
        if tensors[kind] is not None:
            np.testing.assert_allclose(tensors[kind], getattr(encoded, kind), rtol=1e-6, atol=1e-6)
    if tensors["codes"] is not None:
        np.testing.assert_array_equal(tensors["codes"], encoded.codes)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_terms_are_as_the_layout_says_and_as_the_graph_weighs_them(options):
    feature, _, state, values, _ = fitted(options)
    sizes = [column.size for column in feature.layout("a column", state).terms]
    digests = feature.term_digests(state)
    assert len(sizes) <= 1 and all(sizes)
    assert (digests.dtype, len(digests)) == (np.uint64, sum(sizes))
    for given in (values, nasty_values(feature), values.slice(0, 0)):
        terms = feature.encode(given, state).terms
        assert (terms is None) is (not sizes)
        if terms is not None:
            assert (terms.shape, terms.dtype) == ((len(given), sizes[0]), np.float32)
            weights = np.random.default_rng(0).normal(size=(sizes[0], 2)).astype(np.float32)
            np.testing.assert_allclose(weigh(feature, state, given, weights), terms @ weights, atol=2e-6)


def weigh(feature, state, values, weights):
    """What the graph computes as terms @ weights."""
    import onnxruntime

    graph = OnnxGraph()
    (add_product,) = feature.to_onnx(graph, graph.input("a column", "string"), state).terms
    graph.output(add_product(graph, weights), "product", "float32", weights.shape[1])
    session = onnxruntime.InferenceSession(graph.build("terms", {}).SerializeToString())
    given = np.array([value or "" for value in values.to_pylist()], dtype=object).reshape(-1, 1)
    return session.run(["product"], {"a column": given})[0]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_no_rows_in_no_rows_out(options):
    feature, _, state, values, _ = fitted(options)
    nothing = values.slice(0, 0)
    layout, encoded, tensors = (
        feature.layout("a column", state),
        feature.encode(nothing, state),
        run_graph(feature, state, nothing),
    )
    for kind, tensor in tensors.items():
        assert getattr(encoded, kind).shape == (0, len(getattr(layout, kind)))
        assert tensor is None or tensor.shape == (0, len(getattr(layout, kind)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_encoded_arrays_fit_the_layout(options):
    feature, _, state, _, _ = fitted(options)
    values = nasty_values(feature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded = feature.encode(values, state)
    layout = feature.layout("a column", state)
    assert encoded.raw.shape == (len(values), len(layout.raw))
    assert encoded.scaled.shape == (len(values), len(layout.scaled))
    assert encoded.codes.shape == (len(values), len(layout.codes))
    assert (encoded.raw.dtype, encoded.scaled.dtype, encoded.codes.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )
    assert np.isfinite(encoded.scaled).all()
    assert not np.isinf(encoded.raw).any()
    for number, column in enumerate(layout.codes):
        assert encoded.codes[:, number].min() >= 0
        assert encoded.codes[:, number].max() < column.cardinality
    assert len({*layout.raw}) == len(layout.raw)
    assert len({*layout.scaled}) == len(layout.scaled)


@pytest.mark.parametrize(
    "options", [options for options in OPTIONS if options.get("scale") != "none"], ids=str
)
def test_scaled_values_are_bounded(options):
    feature, _, state, _, _ = fitted(options)
    assert np.abs(feature.encode(nasty_values(feature), state).scaled).max(initial=0.0) <= 8.0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_and_state_survive_json(options):
    feature, statistics, state, values, _ = fitted(options)
    assert FEATURES.parse(json.loads(json.dumps(feature.options(), allow_nan=False))) == feature
    again = json.loads(json.dumps(state, allow_nan=False))
    assert again == state
    np.testing.assert_array_equal(feature.encode(values, again).scaled, feature.encode(values, state).scaled)
    json.dumps([feature.field(state), feature.reference(statistics, state)], allow_nan=False)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_reference_counts_every_training_row(options):
    feature, statistics, state, values, _ = fitted(options)
    reference = feature.reference(statistics, state)
    assert sum(reference["counts"]) + reference.get("other", 0) + reference["missing"] == len(values)
    assert reference["rows"] == len(values)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_field_is_a_nullable_schema_with_examples(options):
    feature, _, state, _, _ = fitted(options)
    field = feature.field(state)
    assert field["type"] == [{"float32": "number", "string": "string"}[feature.raw_dtype], "null"]
    assert field["examples"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_rows_without_any_value_are_survived(options):
    feature = FEATURES.parse(options)
    nothing = pa.nulls(5, pa.float32() if feature.raw_dtype == "float32" else pa.string())
    statistics = gather(feature, nothing, np.arange(5, dtype=np.uint64))
    state = feature.fit(statistics)
    assert feature.reference(statistics, state)["missing"] == 5
    values = nasty_values(feature)
    encoded = feature.encode(values, state)
    tensors = run_graph(feature, state, values)
    for kind in ("raw", "scaled", "codes"):
        if tensors[kind] is not None:
            np.testing.assert_allclose(tensors[kind], getattr(encoded, kind), rtol=1e-6, atol=1e-6)
        else:
            assert getattr(encoded, kind).shape[1] == 0
    json.dumps([state, feature.field(state)], allow_nan=False)
