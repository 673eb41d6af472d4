"""The table of operators: what each ONNX operator on numbers is in torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Operator = Callable[["Node"], Any]
"""What an ONNX operator with one output is in torch: a tensor."""


@dataclass(frozen=True)
class Node:
    """One ONNX node with what it reads, on its way to torch."""

    torch: Any
    operator: str
    inputs: Sequence[Any]
    """Tensors; None for an input left out."""
    known: Sequence[np.ndarray | None]
    """The same where the graph holds a constant."""
    attributes: Mapping[str, Any]
    outputs: int

    def given(self, index: int) -> Any | None:
        """The input, None where the node leaves it out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def numbers(self, index: int) -> list[int] | None:
        """The whole numbers at this input, None where it is left out.

        Raises DataError where the graph computes them.
        """
        if self.given(index) is None:
            return None
        constant = self.known[index]
        if constant is None:
            raise DataError(f"torch: input {index} of {self.operator} must be a constant of the graph")
        return [int(value) for value in constant.reshape(-1)]

    def refuse(self, what: str) -> DataError:
        """The error for a form of the operator that is not translated."""
        return DataError(f"torch: no translation of {self.operator} with {what}")


def _plain(name: str) -> Operator:
    """One that takes its inputs as they are and needs no attribute."""
    return lambda node: getattr(node.torch, name)(*node.inputs)


def _over_all(name: str) -> Operator:
    return lambda node: functools.reduce(getattr(node.torch, name), node.inputs)


def _cast(node: Node) -> Any:
    from onnx import TensorProto

    torch = node.torch
    types = {
        TensorProto.FLOAT: torch.float32,
        TensorProto.DOUBLE: torch.float64,
        TensorProto.INT64: torch.int64,
        TensorProto.INT32: torch.int32,
        TensorProto.BOOL: torch.bool,
    }
    if node.attributes["to"] not in types:
        raise node.refuse(f"to={TensorProto.DataType.Name(node.attributes['to'])}")
    return node.inputs[0].to(types[node.attributes["to"]])


def _clip(node: Node) -> Any:
    """The upper end wins where it is below the lower one."""
    found = node.inputs[0]
    if node.given(1) is not None:
        found = node.torch.maximum(found, node.inputs[1])
    if node.given(2) is not None:
        found = node.torch.minimum(found, node.inputs[2])
    return found


def _concat(node: Node) -> Any:
    return node.torch.cat(list(node.inputs), dim=node.attributes["axis"])


def _div(node: Node) -> Any:
    """Whole numbers are cut towards zero, as in C."""
    whole = not node.inputs[0].is_floating_point()
    return node.torch.div(*node.inputs, rounding_mode="trunc" if whole else None)


def _pow(node: Node) -> Any:
    base, exponent = node.inputs
    if not base.is_floating_point():
        raise node.refuse("a base of whole numbers")
    return node.torch.pow(base, exponent.to(base.dtype))


def _gather(node: Node) -> Any:
    """A negative place counts from the end where it is a constant; a computed one is never negative."""
    torch, value, places = node.torch, node.inputs[0], node.inputs[1]
    axis = node.attributes.get("axis", 0) % value.dim()
    constant = node.known[1]
    if constant is not None and (constant < 0).any():
        places = torch.where(places < 0, places + value.shape[axis], places)
    found = torch.index_select(value, axis, places.reshape(-1))
    return found.reshape(*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])


def _gather_elements(node: Node) -> Any:
    torch, value, places = node.torch, *node.inputs
    return torch.gather(value, node.attributes.get("axis", 0), places.to(torch.int64))


def _gemm(node: Node) -> Any:
    attributes, (left, right) = node.attributes, node.inputs[:2]
    left = left.t() if attributes.get("transA", 0) else left
    weights = right if attributes.get("transB", 0) else right.t()
    added, alpha, beta = node.given(2), attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    if alpha == beta == 1.0 and added is not None and added.dim() == 1:
        return node.torch.nn.functional.linear(left, weights, added)
    found = node.torch.nn.functional.linear(left, weights) * alpha
    return found if added is None else found + added * beta


def _gelu(node: Node) -> Any:
    approximate = node.attributes.get("approximate", "none")
    return node.torch.nn.functional.gelu(node.inputs[0], approximate=approximate)


def _over_axis(name: str) -> Operator:
    return lambda node: getattr(node.torch, name)(node.inputs[0], dim=node.attributes.get("axis", -1))


def _layer_normalization(node: Node) -> Any:
    value, attributes = node.inputs[0], node.attributes
    if node.outputs > 1:
        raise node.refuse("the outputs Mean and InvStdDev")
    shape = value.shape[attributes.get("axis", -1) % value.dim() :]
    scale, shift = node.inputs[1], node.given(2)
    return node.torch.nn.functional.layer_norm(value, shape, scale, shift, attributes.get("epsilon", 1e-5))


def _arg_max(node: Node) -> Any:
    if node.attributes.get("select_last_index", 0):
        raise node.refuse("select_last_index=1")
    axis, keep = node.attributes.get("axis", 0), bool(node.attributes.get("keepdims", 1))
    return node.torch.argmax(node.inputs[0], dim=axis, keepdim=keep)


def _reduce(name: str) -> Operator:
    def translated(node: Node) -> Any:
        value, axes = node.inputs[0], node.numbers(1)
        if not axes and node.attributes.get("noop_with_empty_axes", 0):
            return value
        axes = axes or list(range(value.dim()))
        return getattr(node.torch, name)(value, dim=axes, keepdim=bool(node.attributes.get("keepdims", 1)))

    return translated


def _reshape(node: Node) -> Any:
    """0 keeps what stands at its place, unless `allowzero`."""
    value, wanted = node.inputs[0], node.numbers(1) or []
    if not node.attributes.get("allowzero", 0):
        wanted = [value.shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    return value.reshape(wanted)


def _sign(node: Node) -> Any:
    """torch gives 0 for NaN."""
    value = node.inputs[0]
    return node.torch.where(node.torch.isnan(value), value, node.torch.sign(value))


def _slice(node: Node) -> Any:
    value = node.inputs[0]
    starts, ends, axes, steps = (node.numbers(index) for index in range(1, 5))
    assert starts is not None
    assert ends is not None
    cut = [slice(None)] * value.dim()
    for place, start in enumerate(starts):
        step = 1 if steps is None else steps[place]
        if step < 0:
            raise node.refuse("steps backwards")
        cut[place if axes is None else axes[place]] = slice(start, min(ends[place], 2**31 - 1), step)
    return value[tuple(cut)]


def _squeeze(node: Node) -> Any:
    axes = node.numbers(1)
    if axes is None:
        raise node.refuse("no axes")
    return node.torch.squeeze(node.inputs[0], axes)


def _unsqueeze(node: Node) -> Any:
    value, axes = node.inputs[0], node.numbers(1) or []
    rank = value.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        value = value.unsqueeze(axis)
    return value


def _transpose(node: Node) -> Any:
    value, axes = node.inputs[0], node.attributes.get("perm")
    return value.permute(list(range(value.dim()))[::-1] if axes is None else axes.tolist())


OPERATORS: Mapping[str, Operator] = {
    **{
        name: _plain(function)
        for name, function in {
            "Abs": "abs",
            "Add": "add",
            "And": "logical_and",
            "Cos": "cos",
            "Equal": "eq",
            "Erf": "erf",
            "Exp": "exp",
            "Floor": "floor",
            "Greater": "gt",
            "GreaterOrEqual": "ge",
            "Identity": "clone",
            "IsNaN": "isnan",
            "Less": "lt",
            "LessOrEqual": "le",
            "Log": "log",
            "MatMul": "matmul",
            "Mul": "mul",
            "Neg": "neg",
            "Not": "logical_not",
            "Or": "logical_or",
            "Relu": "relu",
            "Sigmoid": "sigmoid",
            "Sin": "sin",
            "Sqrt": "sqrt",
            "Sub": "sub",
            "Tanh": "tanh",
            "Where": "where",
        }.items()
    },
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Div": _div,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _over_axis("log_softmax"),
    "Max": _over_all("maximum"),
    "Min": _over_all("minimum"),
    "Pow": _pow,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "Reshape": _reshape,
    "Sign": _sign,
    "Slice": _slice,
    "Softmax": _over_axis("softmax"),
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
