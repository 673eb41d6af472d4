"""What onnx-tf 1.10 (2022) needs to run beside the onnx and TensorFlow of today.

It reads `onnx.mapping`, gone since onnx 1.19; it imports tensorflow_addons and tensorflow_probability for two
operators that our graphs do not have; and it knows no operator in a version of opset 16 to 20. All of
that is put right here, when it is asked for, and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.optional import installed

if TYPE_CHECKING:
    from onnx import ModelProto

NEWER = {
    "Gelu": 20,
    "LayerNormalization": 17,
    "ReduceMean": 18,
    "Squeeze": 13,
    "Unsqueeze": 13,
}
"""Operators of our graphs that onnx-tf lacks in the version of opset 20, and that version."""

RETYPED = {"Cast": 19, "Equal": 19, "Identity": 19, "IsNaN": 20, "Reshape": 19, "Shape": 19, "Where": 16}
"""The same for operators whose last version only takes more types: an older one does."""


_KEPT: list[type] = []
"""Its handlers are found as subclasses, which nothing else keeps alive."""


def save_core(core: ModelProto, folder: Path) -> None:
    """Convert a model of plain tensors with onnx-tf, into the SavedModel `folder`.

    Raises MissingDependency when onnx-tf is not installed.
    """
    backend = onnx_tf_backend()
    backend.prepare(core).export_graph(str(folder))


def onnx_tf_backend() -> Any:
    """The module `onnx_tf.backend`, made to work. Raises MissingDependency when it is not installed."""
    from declarative_ml.formats.tf.runtime import tensorflow

    if not installed("onnx_tf"):
        raise MissingDependency("onnx-tf", "onnx-tf")
    tf = tensorflow()
    _restore_mapping()
    _stand_in("tensorflow_addons", seq2seq=SimpleNamespace(hardmax=None))
    _stand_in("tensorflow_probability", distributions=None)
    backend = import_module("onnx_tf.backend")
    _add_newer(tf)
    return backend


def _restore_mapping() -> None:
    """`onnx.mapping` as it was: tables between the types of onnx and of numpy."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    if hasattr(onnx, "mapping"):
        return
    numbers = [
        number
        for name, number in TensorProto.DataType.items()
        if number in helper.get_all_tensor_dtypes() and name != "UNDEFINED"
    ]
    to_numpy = {number: helper.tensor_dtype_to_np_dtype(number) for number in numbers}
    to_numpy[TensorProto.STRING] = np.dtype("O")
    mapping: Any = ModuleType("onnx.mapping")
    mapping.TENSOR_TYPE_TO_NP_TYPE = to_numpy
    mapping.NP_TYPE_TO_TENSOR_TYPE = {dtype: number for number, dtype in reversed(to_numpy.items())}
    stored = {number: helper.tensor_dtype_to_storage_tensor_dtype(number) for number in numbers}
    mapping.TENSOR_TYPE_TO_STORAGE_TENSOR_TYPE = stored
    sys.modules["onnx.mapping"] = mapping
    onnx.mapping = helper.mapping = mapping


def _stand_in(name: str, **parts: Any) -> None:
    """An empty module where there is none: nothing of ours asks it for anything."""
    if name in sys.modules or installed(name):
        return
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    for part, value in parts.items():
        setattr(module, part, value)
    sys.modules[name] = module


def _add_newer(tf: Any) -> None:
    """Handlers for the operators that are newer than onnx-tf: its own older ones, or our translation."""
    base = import_module("onnx_tf.handlers.backend_handler").BackendHandler
    named = import_module("onnx_tf.handlers.handler").onnx_op
    present = {handler.ONNX_OP: handler for handler in base.__subclasses__()}
    for operator, version in RETYPED.items():
        handler = present[operator]
        newest = max(handler.get_versions())
        setattr(handler, f"version_{version}", getattr(handler, f"version_{newest}"))
    for operator, version in NEWER.items():
        handler = present.get(operator) or named(operator)(type(operator, (base,), {}))
        setattr(handler, f"version_{version}", classmethod(_translated(tf, operator)))
    _KEPT.extend(base.__subclasses__())


def _translated(tf: Any, operator: str) -> Callable[..., list[Any]]:
    from declarative_ml.formats.tf.node import Node, Translation
    from declarative_ml.formats.tf.operators import operators

    table = operators(tf)
    translation = Translation(tf, False, table, [])

    def handle(cls: type, node: Any, **context: Mapping[str, Any]) -> list[Any]:
        tensors = [context["tensor_dict"][name] for name in node.inputs]
        known = [tf.get_static_value(tensor) for tensor in tensors]
        inputs = [
            tensor if constant is None else constant for tensor, constant in zip(tensors, known, strict=True)
        ]
        attributes = {
            key: value.decode() if isinstance(value, bytes) else value for key, value in node.attrs.items()
        }
        return [table[operator](Node(tf, operator, inputs, attributes, len(node.outputs), translation))]

    return handle
