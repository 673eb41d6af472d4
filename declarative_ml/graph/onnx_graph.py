"""A small builder for the one ONNX graph: names, constants, and a closed list of operators.

Feature types and models add nodes through `OnnxGraph.add`, which refuses operators outside
`FEATURE_OPS | MODEL_OPS`: converters for other formats implement these operators, never features.
All tensors are two-dimensional, [rows, width], but for those inside of `each_row`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.graph.core import tensors_read
from declarative_ml.graph.loops import join_loops

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

OPSET = 20
_OURS = "//"
"""In front of every tensor name that is not a column's: a column may be called t1."""
ML_OPSET = 5
IR_VERSION = 10

FEATURE_OPS = frozenset(
    [
        "Add",
        "And",
        "Cast",
        "Clip",
        "Compress",
        "Concat",
        "Cos",
        "Div",
        "Equal",
        "Floor",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsNaN",
        "LabelEncoder",
        "Less",
        "LessOrEqual",
        "Log",
        "Loop",
        "Mod",
        "Mul",
        "Not",
        "Or",
        "ReduceSum",
        "RegexFullMatch",
        "Reshape",
        "Shape",
        "Sign",
        "Sin",
        "Sqrt",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "Sub",
        "Tokenizer",
        "Unique",
        "Where",
        "Abs",
        "Pow",
        "Slice",
        "Max",
        "Min",
    ]
)
MODEL_OPS = frozenset(
    [
        "Gemm",
        "MatMul",
        "Relu",
        "Gelu",
        "Erf",
        "Tanh",
        "Sigmoid",
        "Softmax",
        "LogSoftmax",
        "LayerNormalization",
        "TreeEnsemble",
        "Exp",
        "Neg",
        "ArgMax",
        "Unsqueeze",
        "Squeeze",
        "ReduceMean",
        "Transpose",
    ]
)
_DOMAINS = {"LabelEncoder": "ai.onnx.ml", "TreeEnsemble": "ai.onnx.ml", "Tokenizer": "com.microsoft"}
"""Of operators outside of the standard's main domain; com.microsoft is ONNX Runtime's own."""


class OnnxGraph:
    """A graph under construction. Tensor names are strings; constants are deduplicated by value."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._types: list[Any] = []
        self._domains: set[str] = set()
        self._rows_of: dict[str, str] = {}
        self._count = 0

    def input(self, name: str, dtype: str) -> str:
        """Declare the raw column `name` as a graph input [N, 1] of `float32`, `int64` or `string`."""
        from onnx import helper

        self._inputs.append(helper.make_tensor_value_info(name, _element_type(dtype), ["N", 1]))
        return name

    def output(self, tensor: str, name: str, dtype: str, width: int | None = 1) -> None:
        """Expose `tensor` as the graph output `name`, [N, width] (or [N] when width is None)."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        shape: list[str | int] = ["N"] if width is None else ["N", width]
        self._outputs.append(helper.make_tensor_value_info(name, _element_type(dtype), shape))

    def constant(self, value: Any, dtype: str | None = None) -> str:
        """A constant tensor; lists of str become string tensors. Equal constants share one name."""
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
        if array.dtype.kind in "UO":
            flat = [str(item) for item in array.ravel()]
            key: tuple[Any, ...] = ("string", array.shape, tuple(flat))
        else:
            key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = f"{_OURS}const_{len(self._constants)}"
            if array.dtype.kind in "UO":
                encoded = [item.encode() for item in flat]
                tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, encoded)
            else:
                tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            self._initializers.append(tensor)
            self._constants[key] = name
        return self._constants[key]

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        outputs: int = 1,
        result: tuple[str, Sequence[int | None]] | None = None,
        **attributes: Any,
    ) -> str:
        """Append one node and return the name of its first output (`name:i` style names for the rest).

        `result` states dtype and shape of the first output, which the checker cannot know for operators
        outside of the standard. Raises ValueError for an operator outside the closed list.
        """
        from onnx import helper

        name = self.add_many(operator, inputs, outputs=outputs, **attributes)[0]
        if result is not None:
            dtype, shape = result
            self._types.append(helper.make_tensor_value_info(name, _element_type(dtype), shape))
        return name

    def add_many(self, operator: str, inputs: Sequence[str], *, outputs: int, **attributes: Any) -> list[str]:
        """Append one node and return the names of all its outputs."""
        from onnx import helper

        if operator not in FEATURE_OPS | MODEL_OPS:
            raise ValueError(f"operator {operator!r} is not on the closed list of graph operators")
        self._count += 1
        names = [f"{_OURS}t{self._count}_{index}" for index in range(outputs)]
        domain = _DOMAINS.get(operator, "")
        self._domains.add(domain)
        self._nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names

    # The shorthands below keep feature fragments readable.

    def cast(self, tensor: str, dtype: str) -> str:
        """Cast to `float32`, `float64`, `int64`, `bool` or `string`."""
        return self.add("Cast", [tensor], to=_element_type(dtype))

    def concat(self, tensors: Sequence[str]) -> str:
        """Join columns: [N, a], [N, b] -> [N, a + b]."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", tensors, axis=1)

    def take(self, tensor: str, columns: Sequence[int]) -> str:
        """The given columns of `tensor` [N, W], in that order."""
        return self.add("Gather", [tensor, self.constant(list(columns), "int64")], axis=1)

    def gather(self, table: Any, codes: str) -> str:
        """Look rows of `table` [L, W] float32 up by int64 `codes` [N, 1]: -> [N, W]."""
        import numpy as np

        values = np.asarray(table, dtype=np.float32)
        found = self.add("Gather", [self.constant(values), codes], axis=0)  # [N, 1, W]
        shape = self.constant(np.array([-1, values.shape[1]], dtype=np.int64))
        return self.add("Reshape", [found, shape])

    def each_row(self, tensor: str, width: int, body: Callable[[str], str]) -> str:
        """Do `body` with each row of `tensor` [N, 1] by itself: -> [N, width] float32.

        `body` adds nodes that read a tensor [1] and constants, and returns the name of one with `width`
        values. What several bodies do with the same rows is done once.
        """
        from onnx import helper

        number, go, end = (f"{_OURS}{part}_{self._count}" for part in ("row", "go", "end"))
        outer = self._nodes, self._types
        self._nodes, self._types = [helper.make_node("Identity", [go], [end])], []
        row = self.add("Gather", [tensor, number], axis=0)
        found = self.add("Reshape", [body(row), self.constant([width], "int64")])
        loop = helper.make_graph(
            self._nodes,
            "each_row",
            [_value(number, "int64", []), _value(go, "bool", [])],
            [_value(end, "bool", []), _value(found, "float32", [width])],
            value_info=self._types,
        )
        self._nodes, self._types = outer
        rows = self.add("Shape", [tensor], start=0, end=1)
        times = self.add("Reshape", [rows, self.constant([], "int64")])
        looped = self.add("Loop", [times, self.constant(True)], body=loop)
        self._rows_of[looped] = tensor
        return looped

    def build(self, name: str, metadata: dict[str, str]) -> ModelProto:
        """The finished, checked model, without what no output needs; the inputs stay all.

        Raises onnx.checker.ValidationError when it is malformed.
        """
        from onnx import checker, helper

        self._nodes = join_loops(self._needed()[0], self._rows_of, self.constant)
        nodes, needed = self._needed()
        constants = [tensor for tensor in self._initializers if tensor.name in needed]
        types = [value for value in self._types if value.name in needed]
        graph = helper.make_graph(nodes, name, self._inputs, self._outputs, constants, value_info=types)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        if "com.microsoft" in self._domains:
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="declarative-ml"
        )
        helper.set_model_props(model, metadata)
        checker.check_model(model, full_check=True)
        return model

    def _needed(self) -> tuple[list[Any], set[str]]:
        """The nodes that the outputs depend on, in order, and the names of all tensors that these read."""
        needed = {output.name for output in self._outputs}
        nodes = []
        for node in reversed(self._nodes):
            if not needed.isdisjoint(node.output):
                nodes.append(node)
                needed.update(tensors_read(node))
        return nodes[::-1], needed


def _value(name: str, dtype: str, shape: Sequence[int]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, _element_type(dtype), shape)


def _element_type(dtype: str) -> int:
    from onnx import TensorProto

    types: dict[str, int] = {
        "float32": TensorProto.FLOAT,
        "float64": TensorProto.DOUBLE,
        "int64": TensorProto.INT64,
        "bool": TensorProto.BOOL,
        "string": TensorProto.STRING,
    }
    return types[dtype]


def constant_array(values: Sequence[float]) -> np.ndarray:
    """A [1, n] float32 row, ready to broadcast over [N, n]."""
    import numpy as np

    return np.asarray(values, dtype=np.float32).reshape(1, -1)
