"""Operators on numbers in torch, held against ONNX Runtime: cases are those of the TensorFlow translation."""

import numpy as np
import pytest
from test_tf_graph import CASES, NAN, SPREADING, feed, graph_of, random_tree

from declarative_ml.core.errors import DataError
from declarative_ml.formats.rewrite.plain_trees import without_tree_ensembles
from declarative_ml.formats.torch_graph.module import to_torch, untranslated
from declarative_ml.formats.torch_graph.operators import OPERATORS
from declarative_ml.graph.onnx_graph import FEATURE_OPS, MODEL_OPS, OnnxGraph
from declarative_ml.models.tree_graph import add_tree_ensemble
from declarative_ml.scoring.session import open_session

torch = pytest.importorskip("torch", reason="torch is not installed")

ELSEWHERE = {
    "Compress", "LabelEncoder", "Loop", "Mod", "RegexFullMatch", "Shape", "StringConcat", "StringNormalizer",
    "StringSplit", "Tokenizer", "TreeEnsemble", "Unique",
}  # fmt: skip
"""Operators of encoders; trees are spelled out before."""
REFUSED = {
    "Gather rows",
    "Pow whole",
    "Slice from the end",
    "Cast to string",
    "Cast of string",
    "Equal texts",
}
"""Forms that no core has, computed places below zero among them."""
NUMERIC = [case for case in CASES if case.split()[0] not in ELSEWHERE and case not in REFUSED]


def both(model, rows):
    session = open_session(model.SerializeToString())
    expected = session.run([model.graph.output[0].name], rows)[0]
    tensors = [torch.from_numpy(rows[value.name]) for value in model.graph.input]
    return expected, to_torch(model)(*tensors).numpy()


def test_every_operator_of_a_core_is_translated():
    assert OPERATORS.keys() == (FEATURE_OPS | MODEL_OPS | {"GatherElements"}) - ELSEWHERE


@pytest.mark.parametrize("case", NUMERIC)
def test_an_operator_gives_what_onnx_runtime_gives(case):
    kind, build = CASES[case]
    expected, found = both(graph_of({case: build}, kind), {"x": feed(kind)})
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if case in SPREADING | {"Gelu", "Gelu tanh"}:
        finite = (np.abs(expected) < 1e30).all(axis=1)
        assert finite.any()
        found, expected = found[finite], expected[finite]
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("splits", "trees", "width"), [(1, 1, 1), (31, 40, 1), (15, 12, 3)])
def test_trees_that_are_spelled_out_reach_the_same_leaves(splits, trees, width):
    random = np.random.default_rng(splits)
    grown = [random_tree(random, 4, splits, sets=True) for _ in range(trees)]
    graph = OnnxGraph()
    columns = graph.concat([graph.input(name, "float32") for name in "abcd"])
    graph.output(add_tree_ensemble(graph, columns, grown, width), "y", "float32", width)
    model = graph.build("t", {})
    assert untranslated(model) == ["TreeEnsemble"]
    table = np.round(random.normal(size=(200, 4)), 1).astype(np.float32)
    table[:, -1] = random.integers(-2, 9, 200)
    table[random.random(table.shape) < 0.2] = NAN
    rows = {name: table[:, [place]].copy() for place, name in enumerate("abcd")}
    expected = open_session(model.SerializeToString()).run(None, rows)[0]
    _, found = both(without_tree_ensembles(model), rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("Pow whole", "no translation of Pow with a base of whole numbers"),
        ("Slice from the end", "no translation of Slice with steps backwards"),
        ("Cast to string", "no translation of Cast with to=STRING"),
        ("Shape", "no translation of the operator Shape"),
    ],
)
def test_what_has_no_translation_is_named(case, message):
    kind, build = CASES[case]
    model = graph_of({"y": build}, kind)
    with pytest.raises(DataError, match=message):
        to_torch(model)(torch.from_numpy(feed(kind)))


def test_what_the_graph_computes_cannot_be_a_shape():
    graph = OnnxGraph()
    values = graph.input("x", "int64")
    shape = graph.add("Squeeze", [values, graph.constant([1], "int64")])
    graph.output(graph.add("Reshape", [values, shape]), "y", "int64", None)
    with pytest.raises(DataError, match="input 1 of Reshape must be a constant"):
        to_torch(graph.build("t", {}))(torch.zeros(2, 1, dtype=torch.int64))
