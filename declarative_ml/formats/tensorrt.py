"""TensorRT: the core as ONNX with what builds an engine of it on an NVIDIA machine, and Triton's settings.

An engine fits one kind of GPU, so it is built where it runs; here nothing is built and nothing is timed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from declarative_ml.formats.base import Format, Original, Run
from declarative_ml.formats.onnx import save
from declarative_ml.formats.onnx_core import ENCODER, NO_CUT, halves_of
from declarative_ml.graph.core import cut, operators_of

if TYPE_CHECKING:
    from onnx import ModelProto

_CORE, _SCRIPT = "core.onnx", "build.sh"
_KNOWN = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Clip",
        "Concat",
        "Cos",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gather",
        "Gelu",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsNaN",
        "LayerNormalization",
        "Less",
        "LessOrEqual",
        "Log",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Slice",
        "Softmax",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
"""Operators of ours that TensorRT 10 reads."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""A name that may stand in a path and in a script, whatever a bundle from elsewhere is called."""
_TYPES = {1: "TYPE_FP32", 7: "TYPE_INT64"}


class TensorRT(Format):
    """core.onnx, build.sh, and triton/NAME/config.pbtxt; encoder.onnx makes what the engine takes."""

    format: Literal["tensorrt"] = "tensorrt"
    batch: int = Field(default=64, ge=1, le=65_536, description="Rows at once that the engine is fastest for")
    max_batch: int = Field(default=1024, ge=1, le=65_536, description="Most rows at once")
    about: ClassVar[str] = "sources of an engine for NVIDIA GPUs, to be built there; not run here"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.batch > self.max_batch:
            raise ValueError(f"batch ({self.batch}) is more than max_batch ({self.max_batch})")
        return self

    @property
    def precision(self) -> float:
        """That of float32; TF32 is off in build.sh."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: trees, and texts that the core weighs itself."""
        if not _PLAIN.fullmatch(original.name):
            return f"its name, {original.name!r}, cannot name a folder for Triton: letters, digits and - only"
        halves = cut(original.model)
        if halves is None:
            return NO_CUT
        unknown = sorted(operators_of(halves.core.graph) - _KNOWN)
        if "TreeEnsemble" in unknown:
            return "TensorRT has no trees; linear and neural models fit"
        return f"TensorRT does not read the operator(s) {', '.join(unknown)}" if unknown else None

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write."""
        halves = halves_of(original)
        save(halves.encoder, folder / ENCODER)
        save(halves.core, folder / _CORE)
        place = folder / "triton" / original.name
        place.mkdir(parents=True)
        config = _triton(original.name, halves.core, self.batch, self.max_batch)
        (place / "config.pbtxt").write_text(config, encoding="utf-8", newline="\n")
        script = folder / _SCRIPT
        script.write_text(
            _script(original.name, halves.core, self.batch, self.max_batch), encoding="utf-8", newline="\n"
        )
        script.chmod(0o755)

    def open(self, original: Original, folder: Path) -> Run | None:
        """None: the engine is built and run on an NVIDIA machine."""
        return None

    def facts(self, folder: Path) -> dict[str, Any]:
        """That nothing was run, and what is left to do."""
        return {"run_here": False, "next": f"sh {_SCRIPT} on the machine with the GPU that will serve it"}


def _ends(values: Any) -> list[tuple[str, int, int]]:
    """Name, element type and width of inputs or outputs."""
    return [
        (value.name, value.type.tensor_type.elem_type, value.type.tensor_type.shape.dim[1].dim_value)
        for value in values
    ]


def _script(name: str, core: ModelProto, batch: int, most: int) -> str:
    shapes = {
        option: ",".join(f"{tensor}:{rows}x{width}" for tensor, _, width in _ends(core.graph.input))
        for option, rows in (("minShapes", 1), ("optShapes", batch), ("maxShapes", most))
    }
    options = " \\\n  ".join(f"--{option}={shape}" for option, shape in shapes.items())
    return f"""#!/bin/sh
# Builds the engine for the GPU of this machine, with TensorRT 10 or later. Not run where it was written.
# encoder.onnx makes {", ".join(tensor for tensor, _, _ in _ends(core.graph.input))} of the raw columns.
set -eu
cd "$(dirname "$0")"
mkdir -p 'triton/{name}/1'
"${{TRTEXEC:-trtexec}}" --onnx={_CORE} \\
  --saveEngine='triton/{name}/1/model.plan' \\
  --noTF32 \\
  {options}
echo "serve it: tritonserver --model-repository=$PWD/triton"
"""


def _triton(name: str, core: ModelProto, batch: int, most: int) -> str:
    def block(kind: str, values: Any) -> str:
        entries = ",\n".join(
            f'  {{ name: "{tensor}", data_type: {_TYPES[dtype]}, dims: [ {width} ] }}'
            for tensor, dtype, width in _ends(values)
        )
        return f"{kind} [\n{entries}\n]\n"

    return (
        f'name: {json.dumps(name)}\nplatform: "tensorrt_plan"\nmax_batch_size: {most}\n'
        + block("input", core.graph.input)
        + block("output", core.graph.output)
        + f"dynamic_batching {{ preferred_batch_size: [ {batch} ] }}\n"
    )
