"""OpenVINO: the core as intermediate representation, the encoder beside it as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.onnx import save
from declarative_ml.formats.onnx_core import ENCODER, NO_CUT, encode, halves_of
from declarative_ml.formats.rewrite.plain_trees import unsupported_trees, without_tree_ensembles
from declarative_ml.graph.core import cut
from declarative_ml.scoring.session import open_session

if TYPE_CHECKING:
    import numpy as np

CORE = "core.xml"
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
"""OpenVINO's own choice may be bfloat16, with three digits."""


class OpenVINO(Format):
    """core.xml and core.bin take the tensors that encoder.onnx makes; trees are spelled out as gathers."""

    format: Literal["openvino"] = "openvino"
    extra: ClassVar[str | None] = "openvino"
    modules: ClassVar[tuple[str, ...]] = ("openvino",)
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)
    about: ClassVar[str] = "the core for Intel's runtime on processors, GPUs and NPUs"

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """Texts that the core weighs itself; trees that plain operators cannot spell out."""
        halves = cut(original.model)
        if halves is None:
            return NO_CUT
        reason = unsupported_trees(halves.core)
        return f"OpenVINO has no trees, and this model has {reason}" if reason else None

    def write(self, original: Original, folder: Path) -> None:
        """core.xml, core.bin, encoder.onnx."""
        import openvino as ov

        halves = halves_of(original)
        save(halves.encoder, folder / ENCODER)
        plain = folder / "plain.onnx"
        save(without_tree_ensembles(halves.core), plain)
        core = ov.convert_model(plain)
        plain.unlink()
        for number, operation in enumerate(core.get_ordered_ops()):
            kind = operation.get_type_name()
            if kind not in ("Parameter", "Result"):
                # Made-up names count everything that this process has converted.
                operation.set_friendly_name(f"{kind}_{number}")
        ov.save_model(core, folder / CORE, compress_to_fp16=False)

    def open(self, original: Original, folder: Path) -> Run:
        """The encoder in ONNX Runtime, the core in OpenVINO on the processor, in float32."""
        import openvino as ov

        encoder = open_session((folder / ENCODER).read_bytes(), name=ENCODER)
        core = ov.Core().compile_model(folder / CORE, "CPU", _EXACT)

        def run(rows: Rows) -> np.ndarray:
            # numpy has two types called int64, and OpenVINO does not know the one that ONNX Runtime gives.
            tensors = {
                name: values.astype(values.dtype.name) for name, values in encode(encoder, rows).items()
            }
            answers: np.ndarray = core(tensors)[0]
            return answers.astype("float64")

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """`operators` of the core; `precision`: how it must be run to answer as it was measured."""
        import openvino as ov

        core = ov.Core().read_model(folder / CORE)
        names = {operation.get_type_name() for operation in core.get_ops()}
        return {"operators": sorted(names), "settings": {"INFERENCE_PRECISION_HINT": "f32"}}
