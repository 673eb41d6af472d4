"""The graph itself: as it ships, smaller, for another opset, or already optimised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.scoring.session import open_session, run_graph

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

MODEL = "model.onnx"
_PRECISION = {"none": 1e-5, "float16": 1e-3, "dynamic": 5e-2}


class Onnx(Format):
    """model.onnx: inputs and outputs, labels and intervals too, are those of the bundle's."""

    format: Literal["onnx"] = "onnx"
    quantize: Literal["none", "dynamic", "float16"] = Field(
        default="none",
        description="dynamic: large weights as 8-bit integers; what they meet is rounded to 8 bits by the "
        "range of the rows that are scored together. float16: large weights are kept with 11 bits, the "
        "arithmetic stays float32",
    )
    optimize: bool = Field(
        default=False,
        description="Fold constants and drop what is not needed beforehand, with standard operators only",
    )
    opset: int | None = Field(
        default=None, ge=13, le=25, description="Version of the operators; absent: as the model was built"
    )
    about: ClassVar[str] = "the model as it ships, for ONNX Runtime in any language"

    @property
    def variant(self) -> str:
        """int8, float16, optimized, opset21, and what several of them make."""
        kind = {"none": "", "dynamic": "int8", "float16": "float16"}[self.quantize]
        parts = [kind, "optimized" if self.optimize else "", f"opset{self.opset}" if self.opset else ""]
        return "-".join(part for part in parts if part)

    @property
    def precision(self) -> float:
        """float32 1e-5, float16 weights 1e-3, integers 5e-2."""
        return _PRECISION[self.quantize]

    def refuse(self, original: Original) -> str | None:
        """An opset that the model cannot go to; weights too few for a smaller file."""
        from declarative_ml.formats.rewrite.smaller import large_weights

        if self.opset is not None and (reason := _no_way_to(original.model, self.opset)):
            return reason
        if self.quantize != "none" and not large_weights(original.model, self.quantize):
            kind = "matrix" if self.quantize == "dynamic" else "matrix or table"
            return f"nothing would be smaller: no {kind} of weights is large (trees keep their size)"
        return None

    def write(self, original: Original, folder: Path) -> None:
        """model.onnx."""
        from declarative_ml.formats.rewrite import smaller, versions

        if not self.variant:
            (folder / MODEL).write_bytes(original.content)
            return
        model = original.model
        if self.opset is not None:
            model = versions.with_opset(model, self.opset)
        if self.optimize:
            model = versions.optimized(model)
        if self.quantize == "dynamic":
            model = smaller.with_integer_weights(model)
        elif self.quantize == "float16":
            model = smaller.with_float16_weights(model)
        save(model, folder / MODEL)

    def open(self, original: Original, folder: Path) -> Run:
        """In ONNX Runtime."""
        return runner(folder / MODEL)

    def facts(self, folder: Path) -> dict[str, Any]:
        """`opset`, `operators`."""
        import onnx

        from declarative_ml.graph.core import operators_of

        model = onnx.load(folder / MODEL)
        versions = {item.domain or "ai.onnx": item.version for item in model.opset_import}
        return {"opset": versions, "operators": sorted(operators_of(model.graph))}


def _no_way_to(model: ModelProto, opset: int) -> str | None:
    from declarative_ml.formats.rewrite.versions import absent_operators, with_opset

    if absent := absent_operators(model, opset):
        return f"opset {opset} has no {', '.join(absent)}, which the model is made of"
    try:
        with_opset(model, opset)
    except DataError as error:
        return error.message
    return None


def save(model: ModelProto, path: Path) -> None:
    """Write the model so that equal models give equal bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def runner(path: Path) -> Run:
    """Runs an ONNX file whose outputs are named as ours. Raises DataError when it cannot be loaded."""
    session = open_session(path.read_bytes(), name=path.name)

    def run(rows: Rows) -> np.ndarray:
        found = run_graph(session, rows)
        return found if found.ndim == 2 else found[:, None]

    return run
