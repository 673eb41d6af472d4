"""The graph's operators over expressions of SQL: a tensor is an array of them, of one row.

Every operator sees arrays whose first axis is the row, of length 1, as the graph sees [N, W]. Elements that
do not depend on the row are plain numbers and texts, so that constants fold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.formats.sqltext.expressions import (
    Dtype,
    Expression,
    Value,
    chained,
    identifier,
    literal,
    number,
    text_literal,
)
from declarative_ml.formats.sqltext.tensors import ARRAYS, Unsupported, each, has_expressions, single
from declarative_ml.formats.sqltext.trees import add_trees
from declarative_ml.formats.sqltext.values import FLOATS, Values, shortest

if TYPE_CHECKING:
    import numpy as np
    from onnx import NodeProto

_MOST_PIECES = 3
"""Pieces of a split text: those of dates and times."""
_LARGEST_FLOAT32 = 3.4028234663852886e38
_NAMES: Mapping[int, Dtype] = {1: "float32", 7: "int64", 8: "string", 9: "bool", 11: "float64"}


class Operators(Values):
    """What each operator of the closed list becomes in a dialect."""

    def input(self, name: str, dtype: Dtype) -> np.ndarray:
        """A column of the source table as the graph takes it, [1, 1]."""
        column = f'"dml source".{identifier(name)}'
        if dtype == "string":
            return single(Expression((f"COALESCE(CAST({column} AS VARCHAR), '')",), "string", column=True))
        double, ends = self.dialect.double, number(_LARGEST_FLOAT32)
        # Beyond float32 a value is its largest, as where rows are parsed; infinity is left as it is.
        value = f"NULLIF(CAST({column} AS {double}), {self.dialect.not_a_number})"
        infinity = literal(math.inf, "float64", self.dialect)
        cut = f"CASE WHEN ABS({value}) < {infinity} THEN GREATEST(LEAST({value}, {ends}), -{ends})"
        text = f"CAST(CAST({cut} ELSE {value} END AS REAL) AS {double})"
        return single(Expression((text,), "float32", nullable=True, column=True))

    def run(self, node: NodeProto, inputs: Sequence[Any], dtypes: Sequence[Dtype]) -> list[np.ndarray]:
        """The outputs of a node. Raises Unsupported."""
        from onnx import helper

        options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        name = node.op_type
        if name == "TreeEnsemble":
            return [add_trees(self, inputs[0], options)]
        if name in ARRAYS:
            return [ARRAYS[name](list(inputs), options)]
        if name in _ELEMENTS:
            method = _ELEMENTS[name]
            return [each(lambda *values: method(self, dtypes[0], *values), *inputs)]
        special: Callable[..., Any] | None = (
            getattr(self, f"_{name.lower()}", None) if name in _SPECIAL else None
        )
        if special is None:
            raise Unsupported(f"the graph has the operator {name}, which has no form in SQL here")
        return [special(list(inputs), options, dtypes)]

    def _where(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        dtype = dtypes[1]

        def choose(condition: Value, a: Value, b: Value) -> Value:
            if not isinstance(condition, Expression):
                return a if condition else b
            tested = condition.tested
            pieces = (
                "CASE WHEN ",
                condition,
                " THEN ",
                self.text(a, dtype),
                " ELSE ",
                self.text(b, dtype),
                " END",
            )
            nullable = _is_nullable(a) or (_is_nullable(b) and not (tested is not None and tested is b))
            exact = all(not isinstance(value, Expression) or value.exact for value in (a, b))
            return self.make(dtype, *pieces, nullable=nullable, exact=exact)

        return each(choose, *inputs)

    def _isnan(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        def test(value: Value) -> Value:
            if not isinstance(value, Expression):
                return math.isnan(float(value))
            origin = value.difference_of
            if origin is not None:
                # Infinity less infinity is NaN, which in SQL is a value unlike 0.
                pieces = ("COALESCE(", value, " <> 0, TRUE)")
                return self.make("bool", *pieces, nullable=False, tested=origin)
            absent = ("(", value, " IS NULL OR ", value, f" = {self.dialect.not_a_number})")
            return self.make("bool", *absent, nullable=False, tested=value)

        return each(test, inputs[0])

    def _cast(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        wanted = _NAMES.get(options["to"])
        if wanted is None:
            raise Unsupported("the graph casts to a type that it does not use elsewhere")
        return each(lambda value: self._cast_one(value, dtypes[0], wanted), inputs[0])

    def _cast_one(self, value: Value, given: Dtype, wanted: Dtype) -> Value:
        if not isinstance(value, Expression):
            kinds = {"string": str, "int64": int, "bool": bool}
            converted: Value = kinds.get(wanted, float)(value)
            return converted
        double = self.dialect.double
        if given == wanted:
            return value
        if given == "bool":
            one, zero = (literal(number, wanted, self.dialect) for number in (1, 0))
            choices = (0, 1) if wanted == "int64" else None
            pieces = ("CASE WHEN ", value, f" THEN {one} ELSE {zero} END")
            return self.make(wanted, *pieces, nullable=False, exact=True, choices=choices)
        if wanted == "float32":
            return self.make(wanted, "CAST(CAST(", value, f" AS REAL) AS {double})", exact=True)
        if wanted == "float64":
            return self.make(wanted, "CAST(", self.rounded(value), f" AS {double})")
        if given == "string" and wanted == "int64":
            return self.make(wanted, "CAST(", value, " AS BIGINT)")
        if wanted == "int64":
            return self.make(wanted, "CAST(TRUNC(", value, ") AS BIGINT)")
        raise Unsupported(f"the graph casts {given} to {wanted}, which has no form in SQL here")

    def _labelencoder(
        self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]
    ) -> np.ndarray:
        keys = options.get("keys_strings", options.get("keys_int64s"))
        kinds: Mapping[str, Dtype] = {"int64": "int64", "float": "float32", "string": "string"}
        kind = next((kind for kind in kinds if f"values_{kind}s" in options), None)
        if keys is None or kind is None:
            raise Unsupported("the graph has a LabelEncoder of another kind than this package writes")
        dtype, key_type = kinds[kind], dtypes[0]
        plain = [_decoded(key) for key in keys]
        values = [_decoded(value) for value in options[f"values_{kind}s"]]
        default = _decoded(options.get(f"default_{kind}", {"int64": -1, "float": 0.0, "string": ""}[kind]))
        table = dict(zip(plain, values, strict=True))

        def look_up(value: Value) -> Value:
            if not isinstance(value, Expression):
                plain_entry: Value = table.get(value, default)
                return plain_entry
            if value.front is None:
                return self.case(value, table, key_type, default, dtype)
            front, behind = value.front
            part = {key.removeprefix(front): entry for key, entry in table.items() if key.startswith(front)}
            return self.case(behind, part, key_type, default, dtype)

        return each(look_up, inputs[0])

    def _gather(self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]) -> np.ndarray:
        import numpy as np

        data, places = inputs
        if not has_expressions(places):
            found: np.ndarray = np.take(data, places.astype(np.int64), axis=options.get("axis", 0))
            return found
        if options.get("axis", 0) != 0 or has_expressions(data):
            raise Unsupported("the graph picks columns by what is in a row, which has no form in SQL here")
        out: np.ndarray = np.empty((*places.shape, *data.shape[1:]), dtype=object)
        for at in np.ndindex(*places.shape):
            for within in np.ndindex(*data.shape[1:]):
                out[at + within] = self._entry(places[at], data[(slice(None), *within)], dtypes[0])
        return out

    def _entry(self, place: Value, column: np.ndarray, dtype: Dtype) -> Value:
        if not isinstance(place, Expression):
            return column[int(place)]  # type: ignore[no-any-return]
        reached = place.choices if place.choices is not None else range(len(column))
        table = {number: column[number] for number in reached}
        if len(set(table.values())) == 1:
            return next(iter(table.values()))  # type: ignore[no-any-return]
        # The most frequent entry is what is left when all others are listed.
        entries = list(table.values())
        default = max(entries, key=entries.count)
        table = {number: value for number, value in table.items() if value != default}
        return self.case(place, table, "int64", default, dtype)

    def _stringconcat(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        def join(a: Value, b: Value) -> Value:
            if not isinstance(a, Expression) and not isinstance(b, Expression):
                return f"{a}{b}"
            front = (a, b) if isinstance(a, str) and isinstance(b, Expression) else None
            return self.make(
                "string", "(", self.text(a, "string"), " || ", self.text(b, "string"), ")", front=front
            )

        return each(join, *inputs)

    def _regexfullmatch(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        pattern = text_literal(options["pattern"].decode())
        before, _, behind = self.dialect.full_match.partition("{0}")
        return each(lambda value: self.make("bool", before, value, behind.replace("{1}", pattern)), inputs[0])

    def _stringsplit(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        import numpy as np

        delimiter = text_literal(options["delimiter"].decode())
        pieces = np.empty((len(inputs[0]), _MOST_PIECES), dtype=object)
        for row, piece in np.ndindex(*pieces.shape):
            value = self.text(inputs[0][row], "string")
            pieces[row, piece] = self.make("string", "split_part(", value, f", {delimiter}, {piece + 1})")
        return pieces

    def _clip(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        found: np.ndarray = inputs[0]
        for function, end in zip(("GREATEST", "LEAST"), inputs[1:]):
            if end is not None:
                found = each(lambda a, b, name=function: self.extreme(name, dtypes[0], a, b), found, end)
        return found

    def _reducesum(
        self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]
    ) -> np.ndarray:
        axes = [int(axis) for axis in inputs[1].ravel()] if len(inputs) > 1 else []
        if len(axes) != 1 or axes[0] == 0:
            raise Unsupported("the graph sums over rows, or over several axes")
        return self._reduced(inputs[0], axes[0], bool(options.get("keepdims", 1)), dtypes[0])

    def _reduced(self, tensor: np.ndarray, axis: int, keep: bool, dtype: Dtype) -> np.ndarray:
        import numpy as np

        moved = np.moveaxis(tensor, axis, -1)
        out: np.ndarray = np.empty(moved.shape[:-1], dtype=object)
        for at in np.ndindex(*out.shape):
            out[at] = self.total(list(moved[at]), dtype)
        return np.expand_dims(out, axis) if keep else out

    def _matmul(self, inputs: list[Any], options: Any, dtypes: Sequence[Dtype]) -> np.ndarray:
        a, b = inputs
        if a.ndim != 2 or b.ndim != 2 or has_expressions(b):
            raise Unsupported("the graph multiplies matrices that both depend on the row")
        return self._weighted(a, b, None, dtypes[0])

    def _gemm(self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]) -> np.ndarray:
        a, b = inputs[:2]
        plain = options.get("alpha", 1.0) == options.get("beta", 1.0) == 1.0 and not options.get("transA", 0)
        if not plain or has_expressions(b):
            raise Unsupported("the graph has a Gemm of another kind than this package writes")
        bias = inputs[2] if len(inputs) > 2 else None
        return self._weighted(a, b.T if options.get("transB", 0) else b, bias, dtypes[0])

    def _weighted(
        self, a: np.ndarray, weights: np.ndarray, bias: np.ndarray | None, dtype: Dtype
    ) -> np.ndarray:
        import numpy as np

        short = weights
        if weights.size and dtype in FLOATS:
            short = np.vectorize(shortest, otypes=[object])(weights)
        out: np.ndarray = np.empty((len(a), weights.shape[1]), dtype=object)
        starts = np.broadcast_to(0.0 if bias is None else bias, out.shape)
        for row, target in np.ndindex(*out.shape):
            terms = [self.product(value, weight, dtype) for value, weight in zip(a[row], short[:, target])]
            out[row, target] = self.total([*terms, starts.item(row, target)], dtype)
        return out

    def _softmax(self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]) -> np.ndarray:
        tensor = inputs[0]
        if tensor.ndim != 2 or options.get("axis", -1) not in (1, -1):
            raise Unsupported("the graph has a Softmax along another axis than the last")
        out: np.ndarray = tensor.copy()
        for row in range(len(tensor)):
            largest = self.largest("float64", list(tensor[row]))
            powers = [
                self.exponential(self.arithmetic("-", "float64", value, largest)) for value in tensor[row]
            ]
            whole = self.total(powers, "float64")
            out[row] = [self.quotient("float32", power, whole) for power in powers]
        return out

    def _argmax(self, inputs: list[Any], options: Mapping[str, Any], dtypes: Sequence[Dtype]) -> np.ndarray:
        tensor = inputs[0]
        if tensor.ndim != 2 or options.get("axis", 0) != 1 or not options.get("keepdims", 1):
            raise Unsupported("the graph has an ArgMax of another kind than this package writes")
        width = tensor.shape[1]
        rounded = each(self.rounded, tensor)
        out: np.ndarray = tensor[:, :1].copy()
        for row in range(len(tensor)):
            pieces: list[object] = ["CASE"]
            for place in range(width - 1):
                wins = [
                    self.compare(">=", "float32", rounded[row, place], rounded[row, other])
                    for other in range(place + 1, width)
                ]
                terms = chained(
                    [(win,) if isinstance(win, Expression) else (str(win),) for win in wins], " AND "
                )
                pieces += [" WHEN ", terms, f" THEN {place}"]
            choices = tuple(range(width))
            out[row, 0] = self.make(
                "int64", *pieces, f" ELSE {width - 1} END", nullable=False, choices=choices
            )
        return out


def _is_nullable(value: Value) -> bool:
    return value.nullable if isinstance(value, Expression) else isinstance(value, float) and math.isnan(value)


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _remainder(operators: Operators, dtype: Dtype, a: Value, b: Value) -> Value:
    if isinstance(b, Expression) or dtype != "int64" or b <= 0:  # type: ignore[operator]
        raise Unsupported("the graph has a Mod by something else than a positive whole number")
    if not isinstance(a, Expression):
        return a % b  # type: ignore[operator]
    # SQL's remainder has the sign of the dividend, the graph's that of the divisor.
    return operators.make("int64", "(((", a, f" % {b}) + {b}) % {b})")


_ELEMENTS: Mapping[str, Callable[..., Value]] = {
    "Abs": lambda s, t, x: s.function("ABS", t, x, abs),
    "Add": lambda s, t, a, b: s.arithmetic("+", t, a, b),
    "And": lambda s, t, a, b: s.logic("AND", a, b),
    "Cos": lambda s, t, x: s.function("COS", t, x, math.cos),
    "Div": lambda s, t, a, b: s.quotient(t, a, b),
    "Equal": lambda s, t, a, b: s.compare("=", t, a, b),
    "Exp": lambda s, t, x: s.exponential(x),
    "Floor": lambda s, t, x: s.function("FLOOR", t, x, math.floor),
    "Gelu": lambda s, t, x: s.gelu(t, x),
    "Greater": lambda s, t, a, b: s.compare(">", t, a, b),
    "GreaterOrEqual": lambda s, t, a, b: s.compare(">=", t, a, b),
    "Less": lambda s, t, a, b: s.compare("<", t, a, b),
    "LessOrEqual": lambda s, t, a, b: s.compare("<=", t, a, b),
    "Log": lambda s, t, x: s.function("LN", t, x, math.log),
    "Max": lambda s, t, a, b: s.extreme("GREATEST", t, a, b),
    "Min": lambda s, t, a, b: s.extreme("LEAST", t, a, b),
    "Mod": _remainder,
    "Mul": lambda s, t, a, b: s.arithmetic("*", t, a, b),
    "Neg": lambda s, t, x: s.product(x, -1.0, t),
    "Not": lambda s, t, x: s.make("bool", "(NOT ", s.text(x, "bool"), ")"),
    "Or": lambda s, t, a, b: s.logic("OR", a, b),
    "Relu": lambda s, t, x: s.extreme("GREATEST", t, x, 0.0),
    "Sigmoid": lambda s, t, x: s.sigmoid(t, x),
    "Sign": lambda s, t, x: s.function("SIGN", t, x, lambda value: (value > 0) - (value < 0)),
    "Sin": lambda s, t, x: s.function("SIN", t, x, math.sin),
    "Sqrt": lambda s, t, x: s.function("SQRT", t, x, math.sqrt),
    "Sub": lambda s, t, a, b: s.arithmetic("-", t, a, b),
    "Tanh": lambda s, t, x: s.function("TANH", t, x, math.tanh),
}
_SPECIAL = frozenset(
    [
        "ArgMax",
        "Cast",
        "Clip",
        "Gather",
        "Gemm",
        "IsNaN",
        "LabelEncoder",
        "MatMul",
        "ReduceSum",
        "RegexFullMatch",
        "Softmax",
        "StringConcat",
        "StringSplit",
        "Where",
    ]
)
