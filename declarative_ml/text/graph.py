"""The same reading of texts inside of the graph: tokens, terms, and the sum of their table rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.text.tokens import pattern

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.text.projection import Projection
    from declarative_ml.text.vocabulary import Vocabulary


def read_texts(
    graph: OnnxGraph, tensor: str, vocabulary: Vocabulary, projection: Projection
) -> tuple[str, str | None]:
    """From texts [N, 1]: how many words they have [N, 1], and `Projection.apply` [N, K], float32.

    None instead of the numbers where K is 0. Texts are read one by one, so that a long one costs
    neither memory nor time in every other row of its batch.
    """
    if not projection.width:
        return graph.each_row(tensor, 1, lambda row: _count(graph, tokens_of(graph, row))), None

    def read(row: str) -> str:
        tokens = tokens_of(graph, row)
        terms, counts = _terms(graph, tokens, vocabulary)
        sums = _weighted(graph, terms, counts, projection)
        return graph.concat([_count(graph, tokens), *sums])

    joined = graph.each_row(tensor, 2 + projection.width, read)
    words, squares = (columns(graph, joined, place, place + 1) for place in (0, 1))
    sums = columns(graph, joined, 2, 2 + projection.width)
    norms = graph.add("Sqrt", [graph.add("Max", [squares, graph.constant([[1.0]], "float32")])])
    factors = graph.constant(projection.factors.reshape(1, -1), "float32")
    return words, graph.add("Div", [graph.add("Mul", [sums, factors]), norms])


def weigh_texts(
    graph: OnnxGraph, tensor: str, vocabulary: Vocabulary, idf: np.ndarray, weights: np.ndarray
) -> str:
    """From texts [N, 1]: `term_weights` [N, V] @ `weights` [V, K], float32 [N, K].

    The sparse matrix never exists: each text looks up the weights of its own terms.
    """
    table = graph.constant(weights, "float32")
    frequencies = graph.constant(idf, "float32")
    one, least = graph.constant([1], "int64"), graph.constant([[1.0]], "float32")

    def read(row: str) -> str:
        terms, counts = _terms(graph, tokens_of(graph, row), vocabulary)
        places = graph.add("Sub", [terms, one])
        damped = graph.add("Log", [graph.cast(counts, "float32")])
        damped = graph.add("Add", [damped, graph.constant([1.0], "float32")])
        strengths = graph.add("Mul", [damped, graph.add("Gather", [frequencies, places], axis=0)])
        strengths = graph.add("Reshape", [strengths, graph.constant([1, -1], "int64")])
        squares = graph.add("ReduceSum", [graph.add("Mul", [strengths, strengths]), one], keepdims=1)
        norm = graph.add("Sqrt", [graph.add("Max", [squares, least])])
        product = graph.add("MatMul", [strengths, graph.add("Gather", [table, places], axis=0)])
        return graph.add("Div", [product, norm])

    return graph.each_row(tensor, weights.shape[1], read)


def columns(graph: OnnxGraph, tensor: str, start: int, stop: int) -> str:
    """The columns from `start` to before `stop` of a tensor [N, W]."""
    bounds = [graph.constant([place], "int64") for place in (start, stop, 1)]
    return graph.add("Slice", [tensor, *bounds])


def tokens_of(graph: OnnxGraph, row: str) -> str:
    """The tokens [T] of one text [1]. In the locale "C", which is everywhere, only A-Z become a-z."""
    lower = graph.add("StringNormalizer", [row], case_change_action="LOWER", is_case_sensitive=1, locale="C")
    tokens = graph.add(
        "Tokenizer", [lower], tokenexp=pattern(), mincharnum=1, mark=0, pad_value="",
        result=("string", (None, None)),
    )  # fmt: skip
    return graph.add("Reshape", [tokens, graph.constant([-1], "int64")])


def _count(graph: OnnxGraph, tokens: str) -> str:
    """How many tokens: float32 [1, 1]."""
    shape = graph.constant([1, 1], "int64")
    return graph.cast(graph.add("Reshape", [graph.add("Shape", [tokens]), shape]), "float32")


def _terms(graph: OnnxGraph, tokens: str, vocabulary: Vocabulary) -> tuple[str, str]:
    """The different known terms of the tokens [T] in ascending order, and how often each occurs."""
    numbers = graph.add(
        "LabelEncoder",
        [tokens],
        keys_strings=list(vocabulary.tokens),
        values_int64s=list(range(1, vocabulary.base)),
        default_int64=0,
    )
    first, one, last, end = (graph.constant([place], "int64") for place in (0, 1, -1, 2**62))
    base = graph.constant([vocabulary.base], "int64")
    found, current, tails = [numbers], numbers, numbers
    for start, keys in zip(vocabulary.starts[1:], vocabulary.keys, strict=True):
        if not len(keys):
            break
        heads = graph.add("Slice", [current, first, last, first])
        tails = graph.add("Slice", [tails, one, end, first])
        current = graph.add(
            "LabelEncoder",
            [graph.add("Add", [graph.add("Mul", [heads, base]), tails])],
            keys_int64s=keys.tolist(),
            values_int64s=list(range(start, start + len(keys))),
            default_int64=0,
        )
        found.append(current)
    every = found[0] if len(found) == 1 else graph.add("Concat", found, axis=0)
    known = graph.add("Compress", [every, graph.add("Greater", [every, first])])
    different, _, _, counts = graph.add_many("Unique", [known], outputs=4, sorted=1)
    return different, counts


def _weighted(graph: OnnxGraph, terms: str, counts: str, projection: Projection) -> tuple[str, str]:
    """The squared norm [1, 1] and the sums [1, K] of the terms' rows, times their counts."""
    import numpy as np

    row = graph.constant([1, -1], "int64")
    weights = graph.add("Reshape", [graph.cast(counts, "float32"), row])
    places = graph.add("Sub", [terms, graph.constant([1], "int64")])
    table = graph.constant(np.asarray(projection.table, dtype=np.int16))
    rows = graph.cast(graph.add("Gather", [table, places], axis=0), "float32")
    idf = graph.add("Gather", [graph.constant(projection.idf.astype(np.float32)), places], axis=0)
    scaled = graph.add("Mul", [weights, graph.add("Reshape", [idf, row])])
    squares = graph.add("Mul", [scaled, scaled])
    axes = graph.constant([1], "int64")
    return graph.add("ReduceSum", [squares, axes], keepdims=1), graph.add("MatMul", [weights, rows])
