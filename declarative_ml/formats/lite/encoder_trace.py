"""Follow each column of each tensor of an encoder through the nodes of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from declarative_ml.graph.core import tensors_read

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, NodeProto

    from declarative_ml.formats.base import Rows

Cell = tuple[Any, ...]
"""A column of a tensor as an expression: ("in", name), ("sub", Cell, Cell), ("?", columns), …"""

_PLAIN = {
    "Sub": "sub",
    "Where": "where",
    "IsNaN": "isnan",
    "Max": "max",
    "Min": "min",
    "Mul": "mul",
    "Add": "add",
    "Cast": "cast",
    "Identity": "same",
}
"""Operators that treat every column by itself."""


def trace(encoder: ModelProto, rows: Rows) -> dict[str, list[Cell]]:
    """The columns of every tensor; `rows` show how wide tensors are where the graph does not say."""
    return _Trace(encoder, rows).cells()


def run_encoder(encoder: ModelProto, rows: Rows) -> dict[str, np.ndarray]:
    """The tensors that the encoder makes of `rows`, by name."""
    from declarative_ml.scoring.session import open_session

    session = open_session(encoder.SerializeToString(), name="encoder.onnx")
    names = [value.name for value in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    found = session.run(names, {name: values for name, values in rows.items() if name in wanted})
    return dict(zip(names, found, strict=True))


def columns_of(cell: Any) -> set[str]:
    """The raw columns that an expression reads."""
    if not isinstance(cell, tuple) or not cell or cell[0] in ("const", "text"):
        return set()
    if cell[0] == "in":
        return {cell[1]}
    if cell[0] == "?":
        return set(cell[1])
    return set().union(*(columns_of(part) for part in cell[1:]))


class _Trace:
    """Follows each column of each tensor through the nodes of a graph."""

    def __init__(self, encoder: ModelProto, rows: Rows) -> None:
        from onnx import numpy_helper

        self._encoder = encoder
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in encoder.graph.initializer}
        self._cells: dict[str, list[Cell]] = {
            value.name: [("in", value.name)] for value in encoder.graph.input
        }
        self._deep: set[str] = set()
        """Tensors [N, k, segments]."""
        self._widths = _widths(encoder, rows)

    def cells(self) -> dict[str, list[Cell]]:
        """The columns of every tensor."""
        for node in self._encoder.graph.node:
            self._follow(node)
        return self._cells

    def _follow(self, node: NodeProto) -> None:
        found = self._known(node)
        width = self._widths.get(node.output[0])
        if found is None or (width is not None and len(found) != width):
            found = self._unknown(node, width or 1)
        self._cells[node.output[0]] = found
        for other in node.output[1:]:
            self._cells[other] = self._unknown(node, self._widths.get(other) or 1)

    def _unknown(self, node: NodeProto, width: int) -> list[Cell]:
        names = {
            name
            for tensor in tensors_read(node)
            for cell in self._cells.get(tensor, ())
            for name in columns_of(cell)
        }
        return [("?", frozenset(names))] * width

    def _known(self, node: NodeProto) -> list[Cell] | None:
        """The columns that a node makes; None where it is not one that we follow."""
        first = self._cells.get(node.input[0]) if node.input else None
        attributes = _attributes(node)
        if node.op_type == "Concat" and attributes["axis"] == 1:
            parts = [self._cells.get(name) for name in node.input]
            return [cell for part in parts for cell in part] if all(parts) else None  # type: ignore[union-attr]
        if node.op_type == "StringConcat" and node.input[0] in self._constants:
            fronts = [str(text) for text in self._constants[node.input[0]].ravel()]
            behind = self._cells[node.input[1]]
            return [("front", ("text", *pair[:1]), pair[1]) for pair in zip(fronts, behind, strict=False)]
        if first is None and node.op_type != "Where":
            return None
        if node.op_type == "Gather" and attributes.get("axis") == 1 and node.input[1] in self._constants:
            return [first[index] for index in self._constants[node.input[1]].ravel()]  # type: ignore[index]
        if node.op_type == "LabelEncoder" and "keys_strings" in attributes:
            return [_table(cell, attributes) for cell in first or ()]
        if node.op_type == "Unsqueeze":
            self._deep.add(node.output[0])
            return first
        if node.op_type == "ReduceSum" and node.input[0] in self._deep:
            return [("sum", cell) for cell in first or ()]
        return self._by_column(node)

    def _by_column(self, node: NodeProto) -> list[Cell] | None:
        """An operator that treats every column by itself."""
        name = _PLAIN.get(node.op_type)
        known = [self._cells[tensor] for tensor in node.input if tensor in self._cells]
        if name is None or not known:
            return None
        width = max(len(cells) for cells in known)
        deep = not self._deep.isdisjoint(node.input)
        if deep:
            self._deep.add(node.output[0])
        operands = [self._operand(tensor, width, deep) for tensor in node.input]
        if any(len(operand) != width for operand in operands):
            return None
        if name == "same":
            return operands[0]
        return [(name, *cells) for cells in zip(*operands, strict=True)]

    def _operand(self, tensor: str, width: int, deep: bool) -> list[Cell]:
        """A tensor's columns, or a constant's share in each of them."""
        if tensor in self._cells:
            return self._cells[tensor]
        values = self._constants[tensor]
        if deep:
            return [
                ("const", tuple(_short(value) for value in row)) for row in values.reshape(len(values), -1)
            ]
        flat = values.ravel()
        return [("const", _short(flat[number % len(flat)])) for number in range(width)]


def _table(cell: Cell, attributes: Mapping[str, Any]) -> Cell:
    """A table of texts, of those keys that are this column's."""
    match cell:
        case ("front", ("text", front), inner):
            pass
        case _:
            front, inner = "", cell
    values, other = (
        (attributes["values_int64s"], attributes.get("default_int64", -1))
        if "values_int64s" in attributes
        else (attributes["values_floats"], attributes.get("default_float", 0.0))
    )
    keys = [key.decode() for key in attributes["keys_strings"]]
    entries = tuple(
        (key.removeprefix(front), value)
        for key, value in zip(keys, values, strict=True)
        if key.startswith(front)
    )
    return ("table", inner, entries, other)


def _widths(encoder: ModelProto, rows: Rows) -> dict[str, int]:
    """The width of every tensor of two dimensions, as one row shows it."""
    import numpy as np
    from onnx import ModelProto, ValueInfoProto, shape_inference

    types = {value.name: value for value in shape_inference.infer_shapes(encoder).graph.value_info}
    shown = ModelProto()
    shown.CopyFrom(encoder)
    there = {value.name for value in shown.graph.output}
    for name, value in types.items():
        if name not in there and value.type.HasField("tensor_type"):
            made = ValueInfoProto()
            made.CopyFrom(value)
            made.type.tensor_type.ClearField("shape")
            shown.graph.output.append(made)
    found = run_encoder(shown, {name: values[:1] for name, values in rows.items()})
    return {name: np.shape(value)[1] for name, value in found.items() if np.ndim(value) >= 2}


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _short(value: Any) -> float | str:
    """A float32 as the number with the fewest digits that is rounded to it; texts stay."""
    if isinstance(value, (str, bytes)):
        return str(value)
    return float(str(value)) if getattr(value, "dtype", None) == "float32" else float(value)
