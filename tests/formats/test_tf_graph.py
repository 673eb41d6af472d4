import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import installed
from declarative_ml.graph.onnx_graph import FEATURE_OPS, MODEL_OPS, OnnxGraph
from declarative_ml.models.tree_graph import Tree, add_tree_ensemble
from declarative_ml.scoring.session import open_session
from declarative_ml.text.graph import tokens_of

pytestmark = [
    pytest.mark.skipif(not installed("tensorflow"), reason="tensorflow is not installed"),
    # TensorFlow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

NAN, INF = math.nan, math.inf
FLOATS = [
    [0.0, 1.5],
    [-0.0, -1.5],
    [NAN, 2.0],
    [INF, -INF],
    [3e38, -3e38],
    [0.5, NAN],
    [7.0, -7.0],
    [1e-3, 88.0],
]
WHOLES = [[0, 1], [-1, 7], [-7, 3], [2**40, -(2**40)], [400, -399], [5, 5], [12, -12], [1, 2]]
TEXTS = [["a"], [""], ["Köln"], ["2024-02-29"], ["日本 語!?"], ["A b  c"], ["\x01x"], ["'quoted' \"text\""]]
KINDS: dict[str, Any] = {"float32": FLOATS, "int64": WHOLES, "string": TEXTS}

Build = Callable[[OnnxGraph, str], str]


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> Any:
    import warnings

    from declarative_ml.formats.tf.runtime import tensorflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tensorflow()


def convert(model: Any, **options: Any) -> Any:
    from declarative_ml.formats.tf.graph import to_tensorflow

    return to_tensorflow(model, **options)


def feed(kind: str) -> np.ndarray:
    return np.array(KINDS[kind], dtype={"string": object}.get(kind, kind))


def graph_of(cases: dict[str, Build], kind: str) -> Any:
    """A graph from one input of the kind to an output for each of the cases."""
    from onnx import helper, shape_inference

    graph = OnnxGraph()
    values = graph.input("x", kind)
    graph._inputs[0].type.tensor_type.shape.dim[1].dim_value = len(KINDS[kind][0])
    names = {case: build(graph, values) for case, build in cases.items()}
    parts = (graph._nodes, "t", graph._inputs, [], graph._initializers)
    opsets = [helper.make_opsetid(*item) for item in (("", 20), ("ai.onnx.ml", 5), ("com.microsoft", 1))]
    model = helper.make_model(
        helper.make_graph(*parts, value_info=graph._types), opset_imports=opsets, ir_version=10
    )
    types = {value.name: value for value in shape_inference.infer_shapes(model).graph.value_info}
    for case, name in names.items():
        model.graph.node.append(helper.make_node("Identity", [name], [case]))
        model.graph.output.append(types[name])
        model.graph.output[-1].name = case
    return model


def both(model: Any, rows: dict[str, np.ndarray], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The first output by ONNX Runtime and by TensorFlow."""
    (expected, *_) = open_session(model.SerializeToString()).run(None, rows)
    found = convert(model, **options).compute(**rows)[model.graph.output[0].name]
    return expected, plain(found.numpy())


def op(
    name: str, *constants: Any, dtype: str | None = None, outputs: int = 1, take: int = 0, **attributes: Any
) -> Build:
    def build(graph: OnnxGraph, values: str) -> str:
        inputs = [values, *(graph.constant(item, dtype) for item in constants)]
        return graph.add_many(name, inputs, outputs=outputs, **attributes)[take]

    return build


def cast(dtype: str) -> Build:
    return lambda graph, values: graph.cast(values, dtype)


def after(first: Build, second: Build) -> Build:
    return lambda graph, values: second(graph, first(graph, values))


def mask(number: float) -> Build:
    return op("Less", [[number]], dtype="float32")


ROW, SMALL = [[2.0, -3.0]], [[3, -3]]
CASES: dict[str, tuple[str, Build]] = {
    **{name: ("float32", op(name)) for name in (
        "Abs", "Cos", "Exp", "Erf", "Floor", "Gelu", "Identity", "IsNaN", "Log", "LogSoftmax", "Neg", "Relu",
        "Sigmoid", "Sign", "Sin", "Softmax", "Sqrt", "Tanh",
    )},
    **{name: ("float32", op(name, ROW, dtype="float32")) for name in (
        "Add", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mul", "Pow",
        "Sub",
    )},
    **{f"{name} whole": ("int64", op(name, SMALL, dtype="int64")) for name in (
        "Add", "Div", "Equal", "Greater", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Sub",
    )},
    "Mod fmod": ("int64", op("Mod", SMALL, dtype="int64", fmod=1)),
    "Pow whole": ("int64", after(op("Clip", -12, 12, dtype="int64"), op("Pow", [[2.0]], dtype="float32"))),
    "Gelu tanh": ("float32", op("Gelu", approximate="tanh")),
    "And": ("float32", lambda g, x: g.add("And", [mask(1.0)(g, x), mask(-1.0)(g, x)])),
    "Or": ("float32", lambda g, x: g.add("Or", [mask(1.0)(g, x), mask(-1.0)(g, x)])),
    # `not x < 1` holds for NaN, `x >= 1` does not: TensorFlow's optimiser mixes them up.
    "Not": ("float32", after(mask(1.0), op("Not"))),
    "Not LessOrEqual": ("float32", after(op("LessOrEqual", [[1.0]], dtype="float32"), op("Not"))),
    "Where": ("float32", lambda g, x: g.add("Where", [mask(1.0)(g, x), x, g.constant([[9.0]], "float32")])),
    "Clip": ("float32", op("Clip", -1.0, 2.0, dtype="float32")),
    "Clip crossed": ("float32", op("Clip", 2.0, -1.0, dtype="float32")),
    "Clip whole": ("int64", op("Clip", -5, 6, dtype="int64")),
    "Cast bool": ("float32", cast("bool")),
    "Cast int64": ("float32", after(op("Clip", -9.9, 9.9, dtype="float32"), after(
        lambda g, x: g.add("Where", [g.add("IsNaN", [x]), g.constant([[0.0]], "float32"), x]),
        cast("int64")))),
    "Cast float64": ("float32", cast("float64")),
    "Cast float32": ("int64", cast("float32")),
    "Cast of bool": ("float32", after(mask(1.0), cast("float32"))),
    "Cast to string": ("int64", cast("string")),
    "Cast of string": ("int64", after(cast("string"), cast("int64"))),
    "Concat": ("float32", lambda g, x: g.add(
        "Concat", [x, x, g.constant(np.zeros((8, 1), np.float32))], axis=1)),
    "Compress": ("float32", op("Compress", [True, False, True], axis=0)),
    "Compress flat": ("float32", op("Compress", [False, True, True])),
    "Gather": ("float32", op("Gather", [1, 0, -1], dtype="int64", axis=1)),
    "Gather rows": ("int64", lambda g, x: g.add("Gather", [
        g.constant(np.arange(12.0, dtype=np.float32).reshape(6, 2)), g.add("Clip", [
            x, g.constant(-6, "int64"), g.constant(5, "int64")])], axis=0)),
    "Gemm": ("float32", op("Gemm", [[1.0, 2, 3], [4, 5, 6]], [1.0, 1, 1], dtype="float32")),
    "Gemm turned": ("float32", op(
        "Gemm", [[1.0, 2], [3, 4], [5, 6]], [1.0, 1, 1], dtype="float32", transB=1, alpha=0.5, beta=2.0)),
    "MatMul": ("float32", op("MatMul", [[1.0], [4.0]], dtype="float32")),
    "LayerNormalization": ("float32", after(op("Clip", -99.0, 99.0, dtype="float32"), op(
        "LayerNormalization", [1.0, 2.0], [0.5, 0.5], dtype="float32"))),
    "ArgMax": ("float32", after(op("Clip", -9.0, 9.0, dtype="float32"), after(
        lambda g, x: g.add("Where", [g.add("IsNaN", [x]), g.constant([[0.0]], "float32"), x]),
        op("ArgMax", axis=1, keepdims=1)))),
    "ArgMax flat": ("int64", op("ArgMax", axis=1, keepdims=0)),
    "ReduceSum": ("float32", op("ReduceSum", [1], dtype="int64", keepdims=0)),
    "ReduceSum all": ("int64", op("ReduceSum")),
    "ReduceSum none": ("int64", op("ReduceSum", noop_with_empty_axes=1)),
    "ReduceMean": ("float32", op("ReduceMean", [-1], dtype="int64", keepdims=1)),
    "Reshape": ("float32", op("Reshape", [4, -1], dtype="int64")),
    "Reshape kept": ("float32", op("Reshape", [0, 2, 1], dtype="int64")),
    "Shape": ("float32", op("Shape")),
    "Shape part": ("float32", op("Shape", start=1, end=2)),
    "Slice": ("float32", op("Slice", [1], [2**62], [0], dtype="int64")),
    "Slice from the end": ("float32", op("Slice", [-1], [-9], [0], [-2], dtype="int64")),
    "Slice to the end": ("float32", op("Slice", [0, 0], [-1, 1], dtype="int64")),
    "Unsqueeze": ("float32", op("Unsqueeze", [2, 0], dtype="int64")),
    "Squeeze": ("float32", after(op("Unsqueeze", [2], dtype="int64"), op("Squeeze", [2], dtype="int64"))),
    "Transpose": ("float32", op("Transpose", perm=[1, 0])),
    **{f"Unique {part}": ("int64", op("Unique", outputs=4, take=part, sorted=1)) for part in range(4)},
    **{f"Unique as found {part}": ("int64", op("Unique", outputs=4, take=part, sorted=0))
       for part in range(4)},
    "LabelEncoder floats": ("string", op(
        "LabelEncoder", keys_strings=["", "Köln", "a"], values_floats=[1.0, NAN, 3.0], default_float=-1.0)),
    "LabelEncoder codes": ("string", op(
        "LabelEncoder", keys_strings=["a", "日本 語!?"], values_int64s=[5, 6], default_int64=1)),
    "LabelEncoder names": ("int64", op(
        "LabelEncoder", keys_int64s=[0, 1, 2], values_strings=["nein", "ja", ""], default_string="?")),
    "LabelEncoder far": ("int64", op(
        "LabelEncoder", keys_int64s=[2**40, -7], values_int64s=[1, 2], default_int64=0)),
    "LabelEncoder twice": ("string", op(
        "LabelEncoder", keys_strings=["a", "a"], values_int64s=[5, 6], default_int64=1)),
    "RegexFullMatch": ("string", op("RegexFullMatch", pattern="[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}")),
    "StringConcat": ("string", op("StringConcat", [["T1", ""]])),
    "Equal texts": ("string", op("Equal", [["a"]])),
    **{f"StringSplit {part}": ("string", op("StringSplit", outputs=2, take=part, delimiter=" "))
       for part in (0, 1)},
    **{f"StringSplit words {part}": ("string", op("StringSplit", outputs=2, take=part)) for part in (0, 1)},
    "StringNormalizer": ("string", after(op("Reshape", [-1], dtype="int64"), op(
        "StringNormalizer", case_change_action="LOWER", is_case_sensitive=1, locale="C"))),
    "Loop": ("string", lambda g, x: g.each_row(x, 1, lambda row: g.cast(
        g.add("Reshape", [g.add("Shape", [tokens_of(g, row)]), g.constant([1], "int64")]), "float32"))),
}  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What ONNX Runtime and TensorFlow give, by case: one graph for each kind of input."""
    found = {}
    for kind in KINDS:
        cases = {name: build for name, (of_kind, build) in CASES.items() if of_kind == kind}
        model, rows = graph_of(cases, kind), {"x": feed(kind)}
        expected = open_session(model.SerializeToString()).run(list(cases), rows)
        computed = convert(model).compute(**rows)
        for case, wanted in zip(cases, expected, strict=True):
            found[case] = wanted, plain(computed[case].numpy())
    return found


def plain(values: np.ndarray) -> np.ndarray:
    """Texts as str."""
    if values.dtype != object:
        return values
    return np.array([text.decode() for text in values.ravel()], dtype=object).reshape(values.shape)


SPREADING = {"Softmax", "LogSoftmax", "Gemm", "Gemm turned", "MatMul"}
"""How NaN and infinities spread through sums is the kernel's affair; our cores feed these finite numbers."""


@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_what_onnx_runtime_gives(
    answers: dict[str, tuple[np.ndarray, np.ndarray]], case: str
) -> None:
    expected, found = answers[case]
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if case in SPREADING:
        finite = np.isfinite(expected).all(axis=1)
        assert finite.any()
        found, expected = found[finite], expected[finite]
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)


def test_the_tokens_of_texts() -> None:
    graph = OnnxGraph()
    row = graph.input("x", "string")
    del graph._inputs[0].type.tensor_type.shape.dim[1]
    tokens = tokens_of(graph, row)
    graph.output(graph.cast(graph.add("Shape", [tokens]), "float32"), "count", "float32", None)
    graph.output(tokens, "y", "string", None)
    model = graph.build("t", {})
    session, module = open_session(model.SerializeToString()), convert(model)
    for text in [
        "Don't pay $5!",
        "",
        "日本語 ÄÖ é́ 😀x",
        "a\x01b \x02",
        "\\1 \\0 [x]",
        "x" * 5_000,
        "\u2028tab\there",
    ]:
        (expected,) = session.run(["y"], {"x": np.array([text], dtype=object)})
        found = module.compute(x=np.array([text], dtype=object))["y"].numpy()
        assert [token.decode() for token in found] == expected.tolist(), text


def test_the_table_holds_the_whole_closed_list(tensorflow: Any) -> None:
    from declarative_ml.formats.tf.operators import operators

    assert operators(tensorflow).keys() == FEATURE_OPS | MODEL_OPS
    tested = {case.split()[0] for case in CASES} | {"Tokenizer", "TreeEnsemble"}
    assert tested == FEATURE_OPS | MODEL_OPS


def random_tree(random: np.random.Generator, features: int, splits: int, sets: bool) -> Tree:
    """A tree grown at random; the last feature is split by sets."""
    left, right, places = [], [], {0: None}
    for split in range(splits):
        leaf = int(random.choice(list(places)))
        place: Any = places.pop(leaf)
        left.append(~leaf)
        right.append(~(split + 1))
        if place is not None:
            (left if place[1] == 0 else right)[place[0]] = split
        places |= {leaf: (split, 0), split + 1: (split, 1)}  # type: ignore[dict-item]
    feature = random.integers(0, features, splits)
    members = tuple(
        np.append(np.flatnonzero(random.random(6) < 0.5), 6) if sets and number == features - 1 else None
        for number in feature
    )
    threshold = np.round(random.normal(size=splits), 1)
    missing = random.random(splits) < 0.5
    leaves = random.normal(size=splits + 1)
    return Tree(
        feature, np.ones(splits), threshold, members, missing, np.array(left), np.array(right), leaves
    )


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize(
    ("splits", "trees", "width", "sets"),
    [
        (1, 1, 1, False),
        (7, 3, 1, True),
        (31, 300, 1, True),
        (15, 12, 3, True),
        (40, 2, 1, False),
        (1, 2, 2, True),
    ],
)
def test_trees_reach_the_same_leaves(splits: int, trees: int, width: int, sets: bool, lite: bool) -> None:
    random, features = np.random.default_rng(splits), 4
    grown = [random_tree(random, features, splits, sets) for _ in range(trees)]
    graph = OnnxGraph()
    columns = [graph.input(name, "float32") for name in "abcd"]
    graph.output(add_tree_ensemble(graph, graph.concat(columns), grown, width), "y", "float32", width)
    table = np.round(random.normal(size=(200, features)), 1).astype(np.float32)
    table[:, -1] = random.integers(-2, 9, 200)
    table[random.random(table.shape) < 0.2] = NAN
    table[:6] = [[INF] * 4, [-INF] * 4, [3.4e38] * 4, [NAN] * 4, [0.5] * 4, [1e20] * 4]
    rows = {name: table[:, [place]] for place, name in enumerate("abcd")}
    expected, found = both(graph.build("t", {}), rows, lite=lite)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_tree_whose_leaves_have_different_targets() -> None:
    """Not what our models make, but ai.onnx.ml allows it."""
    from onnx import numpy_helper

    def floats(*values: float) -> Any:
        return numpy_helper.from_array(np.array(values, dtype=np.float32), "t")

    graph = OnnxGraph()
    attributes = {
        "tree_roots": [0], "nodes_featureids": [0], "nodes_splits": floats(1.0),
        "nodes_modes": numpy_helper.from_array(np.array([0], dtype=np.uint8), "t"),
        "nodes_truenodeids": [0], "nodes_falsenodeids": [1], "nodes_trueleafs": [1], "nodes_falseleafs": [1],
        "leaf_targetids": [0, 1], "leaf_weights": floats(5.0, 7.0), "n_targets": 2, "aggregate_function": 1,
    }  # fmt: skip
    graph.output(graph.add("TreeEnsemble", [graph.input("a", "float32")], **attributes), "y", "float32", 2)
    expected, found = both(graph.build("t", {}), {"a": np.array([[0.0], [2.0], [NAN]], dtype=np.float32)})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (op("ArgMax", axis=1, select_last_index=1), "no translation of ArgMax with select_last_index=1"),
        (cast("string"), "no translation of Cast with float32 as text"),
        (
            op("LabelEncoder", keys_floats=[0.5], values_floats=[1.0]),
            "LabelEncoder with keys that are fractions",
        ),
    ],
)
def test_a_form_without_translation_is_named(build: Build, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert(graph_of({"y": build}, "float32"))


def test_an_operator_without_translation_is_named() -> None:
    model = graph_of({"y": op("Abs")}, "float32")
    model.graph.node[0].op_type = "Elu"
    with pytest.raises(DataError, match="no translation of the operator Elu"):
        convert(model)


def test_what_the_graph_computes_cannot_be_a_shape() -> None:
    graph = OnnxGraph()
    values = graph.input("x", "float32")
    graph.output(graph.add("Reshape", [values, graph.add("Shape", [values])]), "y", "float32", 1)
    with pytest.raises(DataError, match="input 1 of Reshape must be a constant"):
        convert(graph.build("t", {}))


def test_names_that_tensorflow_forbids() -> None:
    from declarative_ml.formats.tf.graph import argument_names

    assert argument_names(["age", "Fare €", "class", "input_1", "a b", "self", "_x", ""]) == [
        "age", "input_1_", "input_2", "input_1", "input_4", "input_5", "input_6", "input_7",
    ]  # fmt: skip
    assert argument_names(["Age", "age", "Input_0"]) == ["input_0_", "input_1", "Input_0"]
    graph = OnnxGraph()
    total = graph.add("Sub", [graph.input("Fare €", "float32"), graph.input("a b", "float32")])
    graph.output(total, "y", "float32")
    module = convert(graph.build("t", {}))
    one, two = np.float32([[1.0]]), np.float32([[2.0]])
    assert module.compute(**{"a b": two, "Fare €": one})["y"].numpy().tolist() == [[-1.0]]
    assert module.arguments == ("input_0", "input_1")


def test_lite_has_whole_numbers_in_32_bits(tensorflow: Any) -> None:
    graph = OnnxGraph()
    codes = graph.input("codes", "int64")
    table = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    graph.output(graph.gather(table, codes), "y", "float32", 2)
    module = convert(graph.build("t", {}), lite=True)
    assert module.concrete.structured_input_signature[1]["codes"].dtype == tensorflow.int32
    types = {
        tensor.dtype for operation in module.concrete.graph.get_operations() for tensor in operation.outputs
    }
    assert tensorflow.int64 not in types
    assert module.compute(codes=np.array([[2], [0]], dtype=np.int32))["y"].numpy().tolist() == [
        [4, 5],
        [0, 1],
    ]


def test_the_error_function_of_lite_is_close() -> None:
    for case in ("Erf", "Gelu"):
        expected, found = both(graph_of({"y": CASES[case][1]}, "float32"), {"x": feed("float32")}, lite=True)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
