"""TensorFlow Lite (LiteRT), for phones and small computers: the core of the graph, on plain tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.optional import require
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.lite.core import Quantize, narrow_cut, no_core, sample_tensors, to_tflite
from declarative_ml.formats.lite.preprocessing import read_preprocessing
from declarative_ml.formats.rewrite.smaller import FLOAT16_MAX, large_weights
from declarative_ml.graph.tree_ensemble import TREES

if TYPE_CHECKING:
    import numpy as np

MODEL, ENCODER, PREPROCESSING = "model.tflite", "encoder.onnx", "preprocessing.json"
_BATCH = 256
"""Rows that the interpreter sees at once."""


class TFLite(Format):
    """`model.tflite` takes the tensors that `encoder.onnx` makes of raw rows; built-in operators only.

    preprocessing.json says in plain words what the encoder does to numbers, yes/no columns and categories.
    """

    format: Literal["tflite"] = "tflite"
    quantize: Quantize = Field(
        default="none",
        description="none: float32; float16: weights of half the size; dynamic: weights in 8 bits; "
        "int8: weights and what is computed, with ranges from real rows; int16: what is computed in 16 bits, "
        "ten times as exact",
    )
    extra: ClassVar[str | None] = "tensorflow"
    modules: ClassVar[Sequence[str]] = ("tensorflow", "ai_edge_litert")
    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "ai-edge-litert")
    about: ClassVar[str] = "TensorFlow Lite (LiteRT) for phones and small computers"

    @property
    def variant(self) -> str:
        """See Format.variant."""
        return "" if self.quantize == "none" else self.quantize

    @property
    def precision(self) -> float:
        """See Format.precision."""
        return {"none": 1e-5, "float16": 1e-3, "dynamic": 2e-2, "int16": 4e-2, "int8": 5e-2}[self.quantize]

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse."""
        if TREES in original.operators and self.quantize != "none":
            return (
                f"it has trees: a threshold that {self.quantize} rounds sends rows to the wrong leaf; "
                "quantize: none keeps them exact"
            )
        reason = no_core(original)
        return self._nothing_to_round(original) if reason is None and self.quantize == "float16" else reason

    def _nothing_to_round(self, original: Original) -> str | None:
        weights = large_weights(narrow_cut(original).core, "float16")
        if not weights:
            return "nothing would be smaller: no matrix or table of weights is large"
        largest = min(float(abs(values).max()) for values in weights.values())
        if largest > FLOAT16_MAX:
            return f"its weights reach {largest:,.0f}, and float16 ends at {FLOAT16_MAX:,.0f}"
        return None

    def remedy(self, original: Original) -> str:
        """See Format.remedy."""
        if self.quantize in ("dynamic", "int8"):
            return "quantize: int16 is ten times as exact, a `tolerance` under convert allows more"
        return super().remedy(original)

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write."""
        halves = narrow_cut(original)
        sample = sample_tensors(halves.encoder, original) if self.quantize.startswith("int") else {}
        (folder / MODEL).write_bytes(to_tflite(halves.core, self.quantize, sample, None))
        (folder / ENCODER).write_bytes(halves.encoder.SerializeToString(deterministic=True))
        rules = read_preprocessing(halves.encoder, original.rows)
        (folder / PREPROCESSING).write_text(rules.dump(original), encoding="utf-8")

    def open(self, original: Original, folder: Path) -> Run | None:
        """See Format.open: the encoder runs in ONNX Runtime, the core in LiteRT."""
        from declarative_ml.scoring.session import open_session

        encoder = open_session((folder / ENCODER).read_bytes(), name=ENCODER)
        wanted = [value.name for value in encoder.get_inputs()]
        names = [value.name for value in encoder.get_outputs()]
        core = LiteModel((folder / MODEL).read_bytes())

        def run(rows: Rows) -> np.ndarray:
            import numpy as np

            count = len(next(iter(rows.values())))
            parts = []
            for start in range(0, count, _BATCH):
                feed = {name: rows[name][start : start + _BATCH] for name in wanted}
                tensors = dict(zip(names, encoder.run(names, feed), strict=True))
                parts.append(core.run(tensors).astype(np.float64))
            found: np.ndarray = np.concatenate(parts)
            return found

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """The operators that the runtime must have, and the inputs."""
        core = LiteModel((folder / MODEL).read_bytes())
        return {"operators": core.operators(), "inputs": core.inputs()}


class LiteModel:
    """A .tflite in the LiteRT interpreter."""

    def __init__(self, content: bytes) -> None:
        litert = require("ai_edge_litert.interpreter", "tensorflow")
        self._interpreter = litert.Interpreter(model_content=content, num_threads=1)
        self._inputs = {_plain(detail["name"]): detail for detail in self._interpreter.get_input_details()}
        self.order = list(self._inputs)
        """The names of the tensors as the model counts them."""
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._rows = -1

    def run(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The core's answer float32 [n, W] to its tensors, by name, each [n, …]."""
        rows = len(next(iter(tensors.values())))
        if rows != self._rows:
            for detail in self._inputs.values():
                self._interpreter.resize_tensor_input(
                    detail["index"], [rows, int(detail["shape_signature"][1])]
                )
            self._interpreter.allocate_tensors()
            self._rows = rows
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], tensors[name])
        self._interpreter.invoke()
        found: np.ndarray = self._interpreter.get_tensor(self._output)
        return found

    def inputs(self) -> dict[str, str]:
        """Type and width of every tensor that it takes, by name: `float32[5]`."""
        return {
            name: f"{detail['dtype'].__name__}[{int(detail['shape_signature'][1])}]"
            for name, detail in sorted(self._inputs.items())
        }

    def operators(self) -> list[str]:
        """The names of the operators that it uses, sorted."""
        names = {detail["op_name"] for detail in self._interpreter._get_ops_details()}
        return sorted(names - {"DELEGATE"})


def _plain(name: str) -> str:
    """`serving_default_raw:0` -> `raw`."""
    return name.removeprefix("serving_default_").partition(":")[0]
