"""Loops over the same rows become one, and say the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from declarative_ml.graph.core import all_nodes
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.text.graph import read_texts, weigh_texts
from declarative_ml.text.projection import Projection
from declarative_ml.text.vocabulary import Vocabulary

TEXTS = ["one two three", "", "two two", "a b c d e", " ".join(["one two"] * 40)]


def lengths(graph: OnnxGraph, tensor: str, factor: float, width: int) -> str:
    """`width` times the number of words of each text, times a factor."""

    def read(row: str) -> str:
        words = graph.add_many("StringSplit", [row], outputs=2, delimiter=" ")[1]
        found = graph.add("Mul", [graph.cast(words, "float32"), graph.constant([factor], "float32")])
        return graph.concat([graph.add("Reshape", [found, graph.constant([1, 1], "int64")])] * width)

    return graph.each_row(tensor, width, read)


def answers(graph: OnnxGraph, texts: list[str]) -> tuple[list[np.ndarray], list[str]]:
    """The outputs, and the kinds of all nodes."""
    model = graph.build("loops", {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = {value.name: np.array(texts, dtype=object).reshape(-1, 1) for value in session.get_inputs()}
    return session.run(None, columns), [node.op_type for node in all_nodes(model.graph)]


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], []])
def test_loops_over_the_same_rows_are_one(texts: list[str]) -> None:
    graph = OnnxGraph()
    x, y = graph.input("x", "string"), graph.input("y", "string")
    for name, tensor, factor, width in (("a", x, 1.0, 1), ("b", x, 2.0, 3), ("c", y, 1.0, 1)):
        graph.output(lengths(graph, tensor, factor, width), name, "float32", width)
    (a, b, c), kinds = answers(graph, texts)
    words = np.array([len(text.split()) for text in texts], dtype=np.float32).reshape(-1, 1)
    assert kinds.count("Loop") == 2
    assert kinds.count("StringSplit") == 2, "the texts of x are split once"
    assert np.array_equal(a, words) and np.array_equal(c, words)
    assert np.array_equal(b, np.tile(2 * words, 3))


def test_a_loop_that_no_output_needs_is_not_joined() -> None:
    graph = OnnxGraph()
    x = graph.input("x", "string")
    lengths(graph, x, 1.0, 1)
    graph.output(lengths(graph, x, 2.0, 2), "b", "float32", 2)
    _, kinds = answers(graph, TEXTS)
    assert kinds.count("Loop") == 1 and "Slice" not in kinds


def test_what_trees_and_weights_see_of_a_text_is_read_once() -> None:
    vocabulary = Vocabulary(("one", "three", "two"), (np.array([1 * 4 + 3]),), np.array([3, 1, 2, 2]))
    idf = np.array([1.0, 2.0, 1.5, 1.2], dtype=np.float32)
    table = np.arange(8, dtype=np.int16).reshape(4, 2)
    projection = Projection((idf * 16).astype(np.int64), table, np.array([0.5, 2.0], dtype=np.float32))
    weights = np.array([[1.0], [-2.0], [0.5], [3.0]], dtype=np.float32)

    def graph_of(*parts: str) -> OnnxGraph:
        graph = OnnxGraph()
        x = graph.input("x", "string")
        if "numbers" in parts:
            words, numbers = read_texts(graph, x, vocabulary, projection)
            graph.output(words, "words", "float32")
            graph.output(numbers or "", "numbers", "float32", 2)
        if "margins" in parts:
            graph.output(weigh_texts(graph, x, vocabulary, idf, weights), "margins", "float32")
        return graph

    both, kinds = answers(graph_of("numbers", "margins"), TEXTS)
    assert [kinds.count(kind) for kind in ("Loop", "Tokenizer", "Unique", "LabelEncoder")] == [1, 1, 1, 2]
    alone = [*answers(graph_of("numbers"), TEXTS)[0], *answers(graph_of("margins"), TEXTS)[0]]
    for joined, expected in zip(both, alone, strict=True):
        assert np.array_equal(joined, expected)
    assert np.abs(both[2]).max() > 0
