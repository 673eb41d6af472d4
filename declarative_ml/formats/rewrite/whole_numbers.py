"""The core so spelled that 8 and 16 bits hold it: the same function, by tensors whose ranges are narrow.

A tensor in 8 bits has 256 steps over its whole range, so a wide tensor of which a narrow part counts loses
what counts. Two places of our cores are such:

- Bends of numbers, `clip((x - start) * slope, 0, 1)`: before they are clipped they reach as far as the
  steepest slope. Clipping x to each bend first keeps both narrow.
- The neural network of an ensemble clips the scaled numbers that its linear member takes as they are, and the
  converter gives a tensor and what it is clipped to one range: the narrower. A detour by `relu` parts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, NodeProto


def narrow_ranges(core: ModelProto) -> ModelProto:
    """The core with both places rewritten; equal but for rounding."""
    from onnx import ModelProto, checker

    made = ModelProto()
    made.CopyFrom(core)
    writer = _Writer(made)
    nodes: list[NodeProto] = []
    for node in core.graph.node:
        nodes += writer.bends(node) or writer.shared(node) or [node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    checker.check_model(made)
    return made


class _Writer:
    """What is known of the graph, and the constants that are added to it."""

    def __init__(self, model: ModelProto) -> None:
        from onnx import numpy_helper

        self._graph = model.graph
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._inputs = {value.name for value in model.graph.input}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def bends(self, node: NodeProto) -> list[NodeProto]:
        """In place of `x - start`, of which the slope and the clip follow: x clipped to each bend, less its
        start. Nothing for another node."""
        import numpy as np

        slope = self._slope_behind(node)
        if slope is None:
            return []
        start = self._constants[node.input[1]]
        width = np.divide(1, slope, out=np.zeros_like(slope), where=slope > 0)
        end = self._constant(node, "end", start + width)
        return [
            _node("Max", [node.input[0], node.input[1]], f"{node.output[0]}_above"),
            _node("Min", [f"{node.output[0]}_above", end], f"{node.output[0]}_inside"),
            _node("Sub", [f"{node.output[0]}_inside", node.input[1]], node.output[0]),
        ]

    def _slope_behind(self, node: NodeProto) -> np.ndarray | None:
        if node.op_type != "Sub" or node.input[1] not in self._constants:
            return None
        product = self._only_reader(node.output[0], "Mul")
        if product is None or product.input[1] not in self._constants:
            return None
        clip = self._only_reader(product.output[0], "Clip")
        ends = [self._constants.get(name) for name in clip.input[1:]] if clip is not None else []
        slope = self._constants[product.input[1]]
        fits = len(ends) == 2 and ends[0] == 0 and ends[1] == 1 and (slope >= 0).all()
        return slope if fits else None

    def _only_reader(self, tensor: str, operator: str) -> Any:
        readers = self._readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None

    def shared(self, node: NodeProto) -> list[NodeProto]:
        """In place of `max(x, c)`, where something else reads the input x: `relu(x - c) + c`."""
        if node.op_type != "Max" or len(node.input) != 2 or node.input[0] not in self._inputs:
            return []
        if len(self._readers[node.input[0]]) == 1 or node.input[1] not in self._constants:
            return []
        name = node.output[0]
        return [
            _node("Sub", list(node.input), f"{name}_from"),
            _node("Relu", [f"{name}_from"], f"{name}_above"),
            _node("Add", [f"{name}_above", node.input[1]], name),
        ]

    def _constant(self, node: NodeProto, part: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{node.output[0]}_{part}"
        self._graph.initializer.append(numpy_helper.from_array(values.astype("float32"), name))
        return name


def _node(operator: str, inputs: list[str], output: str) -> NodeProto:
    from onnx import helper

    return helper.make_node(operator, inputs, [output])
