"""The core of a graph for runtimes of small devices: codes in 32 bits, and the .tflite that it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from declarative_ml.core.errors import StepFailed
from declarative_ml.formats.lite.encoder_trace import run_encoder
from declarative_ml.formats.lite.half import with_half_weights
from declarative_ml.formats.parity import nasty_rows
from declarative_ml.formats.rewrite.whole_numbers import narrow_ranges
from declarative_ml.graph.core import Cut, cut

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

    from declarative_ml.formats.base import Original

Quantize = Literal["none", "float16", "dynamic", "int16", "int8"]

_FAR = 8.0


def no_core(original: Original) -> str | None:
    """Why the graph has no core on plain tensors; None: it has."""
    if cut(original.model) is not None:
        return None
    if taken := sorted({"raw", "scaled", "codes"} & {column.name for column in original.inputs}):
        return (
            f"the column {taken[0]!r} has the name of one of the core's tensors: rename it, in data.sql say"
        )
    return (
        "the model reads the terms of a text column itself, and this runtime has no texts; "
        "without the column, or with a model of trees or an mlp, there is a core that takes numbers"
    )


def narrow_cut(original: Original) -> Cut:
    """Both halves of the graph, which must have a core; the encoder gives `codes` in 32 bits."""
    halves = cut(original.model)
    if halves is None:
        raise StepFailed("the graph has no core on plain tensors")
    return Cut(_narrow_encoder(halves.encoder), halves.core)


def _narrow_encoder(encoder: ModelProto) -> ModelProto:
    from onnx import ModelProto, TensorProto, helper

    made = ModelProto()
    made.CopyFrom(encoder)
    for value in made.graph.output:
        if value.name == "codes":
            value.type.tensor_type.elem_type = TensorProto.INT32
            for node in made.graph.node:
                node.output[:] = ["codes64" if name == "codes" else name for name in node.output]
                node.input[:] = ["codes64" if name == "codes" else name for name in node.input]
            made.graph.node.append(helper.make_node("Cast", ["codes64"], ["codes"], to=TensorProto.INT32))
    return made


def _of_rows(core: ModelProto, rows: int) -> ModelProto:
    """The core for exactly so many rows."""
    from onnx import ModelProto

    made = ModelProto()
    made.CopyFrom(core)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    return made


def sample_tensors(encoder: ModelProto, original: Original) -> dict[str, np.ndarray]:
    """What the core is fed with: real rows, and extreme ones, or int8 would cut off what these come to.

    Extremes count as far as their scaled values are within 8: a column without a scale knows no bounds.
    """
    import numpy as np

    real, extreme = (run_encoder(encoder, rows) for rows in (original.rows, nasty_rows(original)))
    near = np.ones(len(next(iter(extreme.values()))), dtype=bool)
    if "scaled" in extreme:
        near = np.abs(extreme["scaled"]).max(axis=1, initial=0.0) <= _FAR
    return {name: np.concatenate([values, extreme[name][near]]) for name, values in real.items()}


def to_tflite(
    core: ModelProto, quantize: Quantize, sample: Mapping[str, np.ndarray], batch: int | None
) -> bytes:
    """The core as a .tflite of built-in operators; `batch` None: any number of rows.

    int8, int16: weights in 8 bits and activations in so many, with float32 at the ends and ranges from
    `sample`.
    """
    from declarative_ml.formats.tf.graph import to_tensorflow
    from declarative_ml.formats.tf.runtime import tensorflow

    tf = tensorflow()
    core = core if batch is None else _of_rows(core, batch)
    module = to_tensorflow(narrow_ranges(core) if quantize in ("int8", "int16") else core, lite=True)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize in ("dynamic", "int8", "int16"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize in ("int8", "int16"):
        names = [tensor.name.partition(":")[0] for tensor in module.concrete.inputs]
        converter.representative_dataset = lambda: _rows_of(sample, names)
        sets = tf.lite.OpsSet
        wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        whole = sets.TFLITE_BUILTINS_INT8 if quantize == "int8" else wide
        converter.target_spec.supported_ops = [whole, sets.TFLITE_BUILTINS]
    content: bytes = converter.convert()
    return with_half_weights(content) if quantize == "float16" else content


def _rows_of(sample: Mapping[str, np.ndarray], names: list[str]) -> Iterator[list[np.ndarray]]:
    for row in range(len(sample[names[0]])):
        yield [sample[name][row : row + 1] for name in names]
