"""The graph in two halves: what reads raw columns, and what computes on plain tensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.onnx import save
from declarative_ml.graph.core import Cut, cut
from declarative_ml.scoring.session import open_session

if TYPE_CHECKING:
    import numpy as np

ENCODER, CORE = "encoder.onnx", "core.onnx"
NO_CUT = (
    "the model cannot be cut in two: it reads raw columns where it computes (terms of texts that it weighs), "
    "has a column called raw, scaled or codes, or was built before models named their tensors"
)


class OnnxCore(Format):
    """encoder.onnx makes the tensors `raw`, `scaled` and `codes` of raw columns; core.onnx takes them."""

    format: Literal["onnx-core"] = "onnx-core"
    about: ClassVar[str] = "encoder and core apart, for runtimes that know numbers only"

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """Texts that the core weighs itself."""
        return None if cut(original.model) else NO_CUT

    def write(self, original: Original, folder: Path) -> None:
        """encoder.onnx, core.onnx."""
        halves = halves_of(original)
        save(halves.encoder, folder / ENCODER)
        save(halves.core, folder / CORE)

    def open(self, original: Original, folder: Path) -> Run:
        """Both in ONNX Runtime."""
        encoder = open_session((folder / ENCODER).read_bytes(), name=ENCODER)
        core = open_session((folder / CORE).read_bytes(), name=CORE)

        def run(rows: Rows) -> np.ndarray:
            answers: np.ndarray = core.run(None, encode(encoder, rows))[0]
            return answers.astype("float64")

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """`tensors`: what the core takes, name -> [type, width]."""
        core = open_session((folder / CORE).read_bytes(), name=CORE)
        return {"tensors": {node.name: [node.type, node.shape[1]] for node in core.get_inputs()}}


def halves_of(original: Original) -> Cut:
    """Encoder and core of a graph that `refuse` let through. Raises ValueError for another."""
    halves = cut(original.model)
    if halves is None:
        raise ValueError(NO_CUT)
    return halves


def encode(encoder: Any, rows: Rows) -> dict[str, np.ndarray]:
    """The tensors that the core takes, by name, of raw columns."""
    names = [node.name for node in encoder.get_outputs()]
    return dict(zip(names, encoder.run(names, dict(rows)), strict=True))
