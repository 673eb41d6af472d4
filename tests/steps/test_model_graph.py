"""The encoding of a whole table in the graph."""

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from declarative_ml.core.schema import ColumnRule
from declarative_ml.features import FEATURES
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.steps.model_graph import encode_columns
from declarative_ml.steps.raw import Column

ROWS = 40
NUMBERS = [
    {"type": "number"},
    {"type": "number", "scale": "none"},
    {"type": "number", "missing": -2.5, "scale": "minmax"},
    {"type": "number", "missing": "zero", "scale": "quantile"},
]
TEXTS = [
    {"type": "category"},
    {"type": "binary"},
    {"type": "category", "unseen": "missing"},
    {"type": "date"},
    {"type": "text"},
]


def column(name, options, values):
    feature = FEATURES.parse(options)
    statistics = feature.accumulator()
    statistics.update(values.slice(0, ROWS // 2), np.arange(ROWS // 2, dtype=np.uint64))
    return Column(name, feature, feature.fit(statistics), {}, ColumnRule(type="text"))


def values_of(options, random):
    if options["type"] == "number":
        numbers = (random.normal(size=ROWS) * 10.0 ** random.integers(0, 6)).astype(np.float32)
        if random.random() < 0.5:
            numbers[::7] = np.nan
        return pa.array(numbers if random.random() < 0.8 else np.full(ROWS, 3, np.float32))
    if options["type"] == "date":
        return pa.array([f"2024-{month % 12 + 1:02}-11" for month in range(ROWS)])
    levels = ["no", "yes"] if options["type"] == "binary" else ["a", "1:a", ":", f"l{random.integers(9)}"]
    texts = [levels[number % len(levels)] for number in random.permutation(ROWS)]
    texts[3] = None
    texts[ROWS - 1] = "unseen"
    return pa.array(texts)


@pytest.mark.parametrize("seed", range(6))
def test_columns_of_a_type_together_are_encoded_as_each_alone(seed):
    random = np.random.default_rng(seed)
    wanted = [*NUMBERS, *TEXTS] * 5
    random.shuffle(wanted)
    values = {f"column {number}": values_of(options, random) for number, options in enumerate(wanted)}
    columns = [column(name, options, values[name]) for name, options in zip(values, wanted, strict=True)]
    graph = OnnxGraph()
    names = encode_columns(graph, columns)
    encoded = [item.feature.encode(values[item.name], item.state) for item in columns]
    expected = {
        kind: np.concatenate([getattr(part, kind) for part in encoded], axis=1)
        for kind in ("raw", "scaled", "codes")
    }
    for kind, array in expected.items():
        dtype = "int64" if kind == "codes" else "float32"
        graph.output(getattr(names, kind), kind, dtype, array.shape[1])
    session = onnxruntime.InferenceSession(graph.build("features", {}).SerializeToString())
    feed = {
        item.name: values[item.name].to_numpy(zero_copy_only=False).reshape(-1, 1)
        if item.feature.raw_dtype == "float32"
        else np.array([text or "" for text in values[item.name].to_pylist()], dtype=object).reshape(-1, 1)
        for item in columns
    }
    for kind, found in zip(expected, session.run(list(expected), feed), strict=True):
        np.testing.assert_allclose(found, expected[kind], rtol=2e-6, atol=2e-6, err_msg=kind)
    assert len(names.terms) == sum(item.feature.type == "text" for item in columns)


def test_the_graph_holds_nothing_that_no_output_needs():
    graph = OnnxGraph()
    tensor = graph.input("x", "float32")
    used = graph.add("Add", [tensor, graph.constant([[1.0]], "float32")])
    graph.add("Mul", [used, graph.constant([[5.0]], "float32")])
    kept = graph.constant([[2.0]], "float32")
    looped = graph.each_row(tensor, 1, lambda row: graph.add("Add", [row, kept]))
    graph.output(graph.add("Add", [used, looped]), "sum", "float32")
    model = graph.build("small", {})
    assert [node.op_type for node in model.graph.node].count("Mul") == 0
    assert kept in [constant.name for constant in model.graph.initializer]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"x": np.array([[1.0], [4.0]], dtype=np.float32)})
    np.testing.assert_allclose(found, [[5.0], [11.0]])
