"""The same graph for another version of the operators, or optimised by ONNX Runtime beforehand."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.graph.core import all_nodes

if TYPE_CHECKING:
    from onnx import ModelProto


def absent_operators(model: ModelProto, opset: int) -> list[str]:
    """Standard operators of the model that do not exist in version `opset`, those inside of loops too."""
    from onnx import defs

    absent = set()
    for node in all_nodes(model.graph):
        if node.domain == "":
            try:
                defs.get_schema(node.op_type, opset, "")
            except defs.SchemaError:
                absent.add(node.op_type)
    return sorted(absent)


def with_opset(model: ModelProto, opset: int) -> ModelProto:
    """The model in version `opset` of the standard operators. Raises DataError when that cannot be."""
    from onnx import checker, version_converter

    try:
        converted = version_converter.convert_version(model, opset)
        checker.check_model(converted)
    except (RuntimeError, checker.ValidationError) as error:
        raise DataError(f"the model cannot be converted to opset {opset}: {_reason(error)}") from error
    del converted.metadata_props[:]
    converted.metadata_props.extend(model.metadata_props)
    return converted


def _reason(error: Exception) -> str:
    if operator := re.search(r"No Adapter From Version \S+ for (\w+)", str(error)):
        return f"no way for {operator[1]}"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def optimized(model: ModelProto) -> ModelProto:
    """What ONNX Runtime makes of the model at its level `basic`, which adds no operators of its own."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "optimized.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        made = onnx.load(path)
    used = {node.domain for node in all_nodes(made.graph)}
    # The runtime declares all domains that it knows, which other runtimes refuse.
    kept = [entry for entry in made.opset_import if entry.domain in used | {""}]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    return made
