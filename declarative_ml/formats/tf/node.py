"""One ONNX node on its way to TensorFlow, and what is known around it.

Constants stay numpy arrays until an operator wants a tensor, so that shapes, axes and tables are known when
the function is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.graph.core import attributes_of

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto

Operator = Callable[["Node"], Any]
"""What an ONNX operator is in TensorFlow: a tensor, or several in a list."""

_LEAST_INT32, _MOST_INT32 = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Node:
    """One ONNX node with what it reads, on its way to TensorFlow."""

    tf: Any
    operator: str
    inputs: Sequence[Any]
    """Tensors, or numpy arrays where the graph holds a constant; None for an input left out."""
    attributes: Mapping[str, Any]
    outputs: int
    translation: Translation

    @property
    def lite(self) -> bool:
        """Whether only what TensorFlow Lite knows may be used."""
        return self.translation.lite

    def tensor(self, index: int) -> Any:
        """The input as a tensor."""
        return self.tf.convert_to_tensor(self.inputs[index])

    def given(self, index: int) -> Any | None:
        """The input, None where the node leaves it out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def static(self, index: int) -> np.ndarray | None:
        """The constant at this input, None where it is left out.

        Raises DataError where the graph computes it.
        """
        import numpy as np

        value = self.given(index)
        if value is None or isinstance(value, np.ndarray):
            return value
        raise DataError(f"TensorFlow: input {index} of {self.operator} must be a constant of the graph")

    def refuse(self, what: str) -> DataError:
        """The error for a form of the operator that is not translated."""
        return DataError(f"TensorFlow: no translation of {self.operator} with {what}")

    @property
    def integer(self) -> Any:
        """The type of whole numbers: int32 for TensorFlow Lite."""
        return self.tf.int32 if self.lite else self.tf.int64


@dataclass(frozen=True)
class Translation:
    """What is known while nodes become operators: the values by name, and what the module must own."""

    tf: Any
    lite: bool
    operators: Mapping[str, Operator]
    resources: list[Any]
    """Hash tables: a module must hold them, or they are gone when it is saved."""
    values: dict[str, Any] = field(default_factory=dict)

    def inside(self, values: Mapping[str, Any]) -> Translation:
        """The same for a graph inside of a node, which sees the values around it and keeps its own."""
        seen = {**self.values, **values}
        return Translation(self.tf, self.lite, self.operators, self.resources, seen)

    def run(self, graph: GraphProto) -> list[Any]:
        """Trace the graph's nodes and return its outputs, in order."""
        for tensor in graph.initializer:
            self.values[tensor.name] = self._constant(tensor)
        for node in graph.node:
            found = self._translate(node)
            made = list(found) if isinstance(found, (list, tuple)) else [found]
            self.values.update(zip(node.output, made, strict=False))
        return [self.tf.convert_to_tensor(self.values[value.name]) for value in graph.output]

    def _translate(self, node: Any) -> Any:
        if node.op_type not in self.operators:
            raise DataError(f"TensorFlow: no translation of the operator {node.op_type}")
        inputs = [self.values[name] if name else None for name in node.input]
        return self.operators[node.op_type](
            Node(self.tf, node.op_type, inputs, attributes_of(node), len(node.output), self)
        )

    def _constant(self, tensor: Any) -> np.ndarray:
        import numpy as np
        from onnx import numpy_helper

        array: np.ndarray = np.asarray(numpy_helper.to_array(tensor))
        if self.lite and array.dtype == np.int64:
            array = np.clip(array, _LEAST_INT32, _MOST_INT32).astype(np.int32)
        return array
