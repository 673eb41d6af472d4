"""The table of operators: what each ONNX operator on numbers is in TensorFlow."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from declarative_ml.formats.tf.texts import TEXT_OPERATORS
from declarative_ml.formats.tf.trees import tree_ensemble

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.formats.tf.node import Node, Operator


def operators(tf: Any) -> Mapping[str, Operator]:
    """Every operator that is translated, by its ONNX name."""
    return {**_elementwise(tf), **_WITH_ATTRIBUTES, **TEXT_OPERATORS, "TreeEnsemble": tree_ensemble}


def _elementwise(tf: Any) -> dict[str, Operator]:
    """Those that take their inputs as they are and need no attribute."""
    found = {
        "Abs": tf.abs,
        "Add": tf.add,
        "And": tf.logical_and,
        "Cos": tf.cos,
        "Equal": tf.equal,
        "Exp": tf.exp,
        "Floor": tf.floor,
        "Greater": tf.greater,
        "GreaterOrEqual": tf.greater_equal,
        "Identity": tf.identity,
        "Less": tf.less,
        "LessOrEqual": tf.less_equal,
        "Log": tf.math.log,
        "MatMul": tf.matmul,
        "Max": _over_all(tf.maximum),
        "Min": _over_all(tf.minimum),
        "Mul": tf.multiply,
        "Neg": tf.negative,
        # TensorFlow would turn the comparison in front of `logical_not` around, which is wrong for NaN.
        "Not": lambda value: tf.not_equal(value, True),
        "Or": tf.logical_or,
        "Relu": tf.nn.relu,
        "Sigmoid": tf.sigmoid,
        "Sign": tf.sign,
        "Sin": tf.sin,
        "Sqrt": tf.sqrt,
        "Sub": tf.subtract,
        "Tanh": tf.tanh,
        "Where": tf.where,
    }
    return {name: _on_tensors(function) for name, function in found.items()}


def _on_tensors(function: Callable[..., Any]) -> Operator:
    def translated(node: Node) -> Any:
        return function(*[node.tensor(index) for index in range(len(node.inputs))])

    return translated


def _over_all(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *tensors: functools.reduce(function, tensors)


def _cast(node: Node) -> Any:
    from onnx import TensorProto

    tf, value = node.tf, node.tensor(0)
    types = {
        TensorProto.FLOAT: tf.float32,
        TensorProto.DOUBLE: tf.float64,
        TensorProto.INT64: node.integer,
        TensorProto.INT32: tf.int32,
        TensorProto.BOOL: tf.bool,
    }
    if node.attributes["to"] == TensorProto.STRING:
        if not value.dtype.is_integer:
            raise node.refuse(f"{value.dtype.name} as text")
        return tf.strings.as_string(value)
    if node.attributes["to"] not in types:
        raise node.refuse(f"to={TensorProto.DataType.Name(node.attributes['to'])}")
    wanted = types[node.attributes["to"]]
    return tf.strings.to_number(value, wanted) if value.dtype == tf.string else tf.cast(value, wanted)


def _clip(node: Node) -> Any:
    """The upper end wins where it is below the lower one."""
    found = node.tensor(0)
    if node.given(1) is not None:
        found = node.tf.maximum(found, node.tensor(1))
    if node.given(2) is not None:
        found = node.tf.minimum(found, node.tensor(2))
    return found


def _compress(node: Node) -> Any:
    """A condition that is too short takes nothing of the rest."""
    tf, value, kept = node.tf, node.tensor(0), node.tensor(1)
    axis = node.attributes.get("axis")
    if axis is None:
        value, axis = tf.reshape(value, [-1]), 0
    return tf.gather(value, tf.where(kept)[:, 0], axis=axis)


def _concat(node: Node) -> Any:
    return node.tf.concat([node.tensor(index) for index in range(len(node.inputs))], node.attributes["axis"])


def _div(node: Node) -> Any:
    """Whole numbers are cut towards zero, as in C."""
    whole = node.tensor(0).dtype.is_integer
    return (node.tf.truncatediv if whole else node.tf.divide)(node.tensor(0), node.tensor(1))


def _mod(node: Node) -> Any:
    """The sign of the divisor, with `fmod` that of the dividend."""
    divide = node.tf.truncatemod if node.attributes.get("fmod", 0) else node.tf.math.floormod
    return divide(node.tensor(0), node.tensor(1))


def _pow(node: Node) -> Any:
    tf, base, exponent = node.tf, node.tensor(0), node.tensor(1)
    if base.dtype == exponent.dtype:
        return tf.pow(base, exponent)
    if base.dtype.is_integer:
        return tf.cast(tf.pow(tf.cast(base, tf.float64), tf.cast(exponent, tf.float64)), base.dtype)
    return tf.pow(base, tf.cast(exponent, base.dtype))


def _is_nan(node: Node) -> Any:
    """TensorFlow Lite has no operator for it, and only NaN differs from itself."""
    value = node.tensor(0)
    return node.tf.not_equal(value, value) if node.lite else node.tf.math.is_nan(value)


def _gather(node: Node) -> Any:
    """A negative place counts from the end."""
    import numpy as np

    tf, value, places = node.tf, node.tensor(0), node.inputs[1]
    axis = node.attributes.get("axis", 0)
    size = value.shape[axis]
    if isinstance(places, np.ndarray) and size is not None:
        places = np.where(places < 0, places + size, places).astype(np.int32)
    elif not node.lite:
        size = tf.shape(value, out_type=places.dtype)[axis]
        places = tf.where(places < 0, places + size, places)
    return tf.gather(value, places, axis=axis)


def _gemm(node: Node) -> Any:
    attributes = node.attributes
    found = node.tf.matmul(
        node.tensor(0),
        node.tensor(1),
        transpose_a=bool(attributes.get("transA", 0)),
        transpose_b=bool(attributes.get("transB", 0)),
    )
    if attributes.get("alpha", 1.0) != 1.0:
        found = found * attributes["alpha"]
    if node.given(2) is None:
        return found
    added, beta = node.tensor(2), attributes.get("beta", 1.0)
    return found + (added if beta == 1.0 else added * beta)


def _erf(node: Node) -> Any:
    return _error_function(node, node.tensor(0))


def _error_function(node: Node, value: Any) -> Any:
    """For TensorFlow Lite, which lacks it: 7.1.26 of Abramowitz and Stegun (1964), within 1.5e-7."""
    tf = node.tf
    if not node.lite:
        return tf.math.erf(value)
    size = tf.abs(value)
    t = 1.0 / (1.0 + 0.3275911 * size)
    series: Any = 1.061405429
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + factor
    return tf.sign(value) * (1.0 - series * t * tf.exp(-size * size))


def _gelu(node: Node) -> Any:
    tf, value = node.tf, node.tensor(0)
    if node.attributes.get("approximate", "none") == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (value + 0.044715 * value * value * value)
        return 0.5 * value * (1.0 + tf.tanh(inner))
    return 0.5 * value * (1.0 + _error_function(node, value * math.sqrt(0.5)))


def _softmax(node: Node) -> Any:
    return node.tf.nn.softmax(node.tensor(0), axis=node.attributes.get("axis", -1))


def _log_softmax(node: Node) -> Any:
    return node.tf.nn.log_softmax(node.tensor(0), axis=node.attributes.get("axis", -1))


def _layer_normalization(node: Node) -> Any:
    tf, value = node.tf, node.tensor(0)
    if node.outputs > 1:
        raise node.refuse("the outputs Mean and InvStdDev")
    rank = len(value.shape)
    axes = list(range(node.attributes.get("axis", -1) % rank, rank))
    centred = value - tf.reduce_mean(value, axes, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axes, keepdims=True)
    found = centred / tf.sqrt(variance + node.attributes.get("epsilon", 1e-5)) * node.tensor(1)
    return found if node.given(2) is None else found + node.tensor(2)


def _arg_max(node: Node) -> Any:
    tf, attributes = node.tf, node.attributes
    if attributes.get("select_last_index", 0):
        raise node.refuse("select_last_index=1")
    axis = attributes.get("axis", 0)
    found = tf.argmax(node.tensor(0), axis, output_type=node.integer)
    return tf.expand_dims(found, axis) if attributes.get("keepdims", 1) else found


def _reduce(name: str) -> Operator:
    def translated(node: Node) -> Any:
        axes = node.static(1)
        if axes is None or not axes.size:
            if node.attributes.get("noop_with_empty_axes", 0):
                return node.tf.identity(node.tensor(0))
            axes = None
        function = getattr(node.tf, name)
        return function(node.tensor(0), _numbers(axes), keepdims=bool(node.attributes.get("keepdims", 1)))

    return translated


def _shape(node: Node) -> Any:
    found = node.tf.shape(node.tensor(0), out_type=node.integer)
    return found[node.attributes.get("start", 0) : node.attributes.get("end")]


def _reshape(node: Node) -> Any:
    """0 keeps what stands at its place, unless `allowzero`."""
    tf, value, wanted = node.tf, node.tensor(0), _numbers(node.static(1)) or []
    if 0 in wanted and not node.attributes.get("allowzero", 0):
        now = tf.shape(value)
        wanted = [now[place] if size == 0 else size for place, size in enumerate(wanted)]
    return tf.reshape(value, wanted)


def _slice(node: Node) -> Any:
    value = node.tensor(0)
    starts, ends, axes, steps = (_numbers(node.static(index)) for index in range(1, 5))
    assert starts is not None
    assert ends is not None
    cut = [slice(None)] * len(value.shape)
    for place, start in enumerate(starts):
        axis = place if axes is None else axes[place]
        step = 1 if steps is None else steps[place]
        cut[axis] = _bounds(start, ends[place], step)
    return value[tuple(cut)]


def _bounds(start: int, end: int, step: int) -> slice:
    """Ends beyond int32 mean: to the end."""
    open_end = end >= 2**31 - 1 if step > 0 else end <= -(2**31)
    return slice(start, None if open_end else end, step)


def _squeeze(node: Node) -> Any:
    return node.tf.squeeze(node.tensor(0), _numbers(node.static(1)))


def _unsqueeze(node: Node) -> Any:
    value, axes = node.tensor(0), _numbers(node.static(1)) or []
    rank = len(value.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        value = node.tf.expand_dims(value, axis)
    return value


def _transpose(node: Node) -> Any:
    return node.tf.transpose(node.tensor(0), _numbers(node.attributes.get("perm")))


def _unique(node: Node) -> Any:
    """Of numbers, all dimensions taken as one: the values, where each is first, which each is, how often."""
    tf, value = node.tf, node.tensor(0)
    if "axis" in node.attributes or value.dtype == tf.string:
        raise node.refuse("an axis" if "axis" in node.attributes else "texts")
    flat = tf.reshape(value, [-1])
    found, which, counts = tf.unique_with_counts(flat, out_idx=tf.int64)
    number = tf.size(found, out_type=tf.int64)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(flat, out_type=tf.int64)), which, number)
    if not node.attributes.get("sorted", 1):
        return [found, first, which, counts]
    order = tf.argsort(found)
    ranks = tf.argsort(order)
    return [
        tf.gather(found, order),
        tf.gather(first, order),
        tf.cast(tf.gather(ranks, which), tf.int64),
        tf.gather(counts, order),
    ]


def _loop(node: Node) -> Any:
    """A body that is done a known number of times and only collects: once for each row."""
    import numpy as np

    tf, body = node.tf, node.attributes["body"]
    go = node.given(1)
    if len(node.inputs) != 2 or not (isinstance(go, np.ndarray) and bool(go)) or len(body.output) != 2:
        raise node.refuse("values carried from turn to turn")
    number, condition = (value.name for value in body.input)

    def turn(place: Any) -> Any:
        inner = node.translation.inside({number: place, condition: tf.constant(True)})
        return inner.run(body)[1]

    result = body.output[1].type.tensor_type
    shape = [dim.dim_value or None for dim in result.shape.dim]
    places = tf.range(tf.cast(node.tensor(0), tf.int64))
    return tf.map_fn(turn, places, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def _numbers(array: np.ndarray | None) -> list[int] | None:
    return None if array is None else [int(value) for value in array.reshape(-1)]


_WITH_ATTRIBUTES: dict[str, Operator] = {
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Clip": _clip,
    "Compress": _compress,
    "Concat": _concat,
    "Div": _div,
    "Erf": _erf,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "IsNaN": _is_nan,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _log_softmax,
    "Loop": _loop,
    "Mod": _mod,
    "Pow": _pow,
    "ReduceMean": _reduce("reduce_mean"),
    "ReduceSum": _reduce("reduce_sum"),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unique": _unique,
    "Unsqueeze": _unsqueeze,
}
