"""Our ONNX graph as TensorFlow operators: the same numbers, and for the whole graph the same texts.

An interpreter of the closed list of operators in `graph.onnx_graph`: every node becomes plain TensorFlow
operators while a function is traced.

TensorFlow takes a number that is closer to zero than 1.2e-38 for zero; nothing else differs but rounding.
"""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.formats.tf.node import Translation
from declarative_ml.formats.tf.operators import operators
from declarative_ml.formats.tf.runtime import tensorflow

if TYPE_CHECKING:
    from onnx import ModelProto


def to_tensorflow(model: ModelProto, *, lite: bool = False) -> Any:
    """The graph as a `tf.Module`.

    `module.compute(**inputs)` takes the graph's inputs by their names and returns its outputs by theirs.
    `module.concrete` is the traced function, [None, width] for each input, to be saved or converted; its
    arguments have the names in `module.arguments`, in the order of the graph's inputs: a column's own name
    where that is an identifier, else `input_` and its position, since TensorFlow allows no other.

    With `lite`, the operators are those that TensorFlow Lite has built in, as long as the graph has no
    texts, and whole numbers are int32 everywhere, inputs included.
    Raises DataError naming the operator that has no translation, or the form of it.
    """
    tf = tensorflow()
    names = [value.name for value in model.graph.input]
    arguments = argument_names(names)
    specs = [
        tf.TensorSpec(_shape(value), _dtype(tf, value, lite), name=argument)
        for value, argument in zip(model.graph.input, arguments, strict=True)
    ]
    module = tf.Module()
    module.resources = []
    module.arguments = tuple(arguments)

    def traced(**inputs: Any) -> dict[str, Any]:
        given = {name: inputs[argument] for name, argument in zip(names, arguments, strict=True)}
        translation = Translation(tf, lite, operators(tf), module.resources, given)
        found = translation.run(model.graph)
        return {value.name: tensor for value, tensor in zip(model.graph.output, found, strict=True)}

    function = tf.function(traced, autograph=False)
    module.concrete = function.get_concrete_function(**dict(zip(arguments, specs, strict=True)))

    def compute(**inputs: Any) -> dict[str, Any]:
        given = zip(names, arguments, specs, strict=True)
        found: dict[str, Any] = module.concrete(
            **{argument: tf.convert_to_tensor(inputs[name], spec.dtype) for name, argument, spec in given}
        )
        return found

    module.compute = compute
    return module


def argument_names(names: Sequence[str]) -> list[str]:
    """A name for each input that TensorFlow accepts; its own where it does."""
    # TensorFlow takes Age and age for one name.
    alike = Counter(name.lower() for name in names)
    own = {
        name
        for name in names
        if name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
        if alike[name.lower()] == 1
    } - {"self", "name"}
    taken = {name.lower() for name in own}
    found = []
    for position, name in enumerate(names):
        made = f"input_{position}"
        while name not in own and made in taken:
            made += "_"
        found.append(name if name in own else made)
    return found


def _shape(value: Any) -> list[int | None]:
    return [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]


def _dtype(tf: Any, value: Any, lite: bool) -> Any:
    from onnx import TensorProto

    found = {
        TensorProto.FLOAT: tf.float32,
        TensorProto.DOUBLE: tf.float64,
        TensorProto.INT64: tf.int32 if lite else tf.int64,
        TensorProto.BOOL: tf.bool,
        TensorProto.STRING: tf.string,
    }
    return found[value.type.tensor_type.elem_type]
