"""The core for 8 and 16 bits: the same function, with narrow tensors between."""

import numpy as np

from declarative_ml.formats.rewrite.whole_numbers import narrow_ranges
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.scoring.session import open_session

START = [[-1.0, 0.0, 0.5]]
SLOPE = [[1.0, 50.0, 0.0]]


def core(shared):
    graph = OnnxGraph()
    values = graph.input("scaled", "float32")
    graph._inputs[0].type.tensor_type.shape.dim[1].dim_value = 3
    above = graph.add("Max", [values, graph.constant([[-2.0, -2.0, -2.0]], "float32")])
    clipped = graph.add("Min", [above, graph.constant([[2.0, 2.0, 2.0]], "float32")])
    distance = graph.add("Sub", [clipped, graph.constant(START, "float32")])
    steep = graph.add("Mul", [distance, graph.constant(SLOPE, "float32")])
    bends = graph.add("Clip", [steep, graph.constant(0.0, "float32"), graph.constant(1.0, "float32")])
    parts = [clipped, bends, values] if shared else [clipped, bends]
    graph.output(graph.concat(parts), "y", "float32", 3 * len(parts))
    return graph.build("t", {})


def operators(model):
    return [node.op_type for node in model.graph.node if node.op_type not in ("Identity", "Concat")]


def answers(model, outputs=None):
    rows = np.random.default_rng(0).normal(0, 3, (200, 3)).astype(np.float32)
    return open_session(model.SerializeToString()).run(outputs, {"scaled": rows})[0]


def test_bends_are_clipped_before_they_are_steep():
    model = core(shared=False)
    made = narrow_ranges(model)
    assert operators(made) == ["Max", "Min", "Max", "Min", "Sub", "Mul", "Clip"]
    np.testing.assert_allclose(answers(made), answers(model), atol=1e-5)
    made.graph.output.add(name=made.graph.node[4].output[0])
    distance = answers(made, [made.graph.output[-1].name])
    assert distance.min() == 0 and distance.max() <= 1.0 + 1e-6


def test_a_clip_parts_from_an_input_that_another_reads():
    model = core(shared=True)
    made = narrow_ranges(model)
    assert operators(made)[:4] == ["Sub", "Relu", "Add", "Min"]
    np.testing.assert_allclose(answers(made), answers(model), atol=1e-5)


def test_what_is_no_bend_stays():
    graph = OnnxGraph()
    values = graph.input("scaled", "float32")
    distance = graph.add("Sub", [values, graph.constant([[1.0]], "float32")])
    graph.output(graph.add("Mul", [distance, graph.constant([[2.0]], "float32")]), "y", "float32")
    model = graph.build("t", {})
    assert narrow_ranges(model) == model
