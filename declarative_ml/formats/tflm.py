"""TensorFlow Lite Micro, for microcontrollers: the core as a C array, and the preprocessing as C."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.optional import require
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.lite.arena import RUNTIME, needed_arena
from declarative_ml.formats.lite.c_source import Program
from declarative_ml.formats.lite.core import narrow_cut, no_core, sample_tensors, to_tflite
from declarative_ml.formats.lite.preprocessing import Preprocessing, Table, read_preprocessing
from declarative_ml.graph.tree_ensemble import TREES

if TYPE_CHECKING:
    import numpy as np

MODEL, PREPROCESSING, ABOUT = "model.tflite", "preprocessing.json", "about.json"
_READABLE = frozenset({"number", "binary", "category"})


class TFLiteMicro(Format):
    """One row at a time, no operating system: sources that a firmware compiles with TensorFlow Lite Micro.

    `NAME_encode` makes the model's tensors of a row, `NAME_predict` shows the whole way to the answer.
    """

    format: Literal["tflm"] = "tflm"
    quantize: Literal["none", "int8"] = Field(
        default="none",
        description="none: float32; int8: weights and what is computed, with ranges from real rows",
    )
    extra: ClassVar[str | None] = "tflm"
    modules: ClassVar[Sequence[str]] = ("tensorflow", "ai_edge_litert", "tflite_micro")
    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "ai-edge-litert", "tflite-micro")
    about: ClassVar[str] = "TensorFlow Lite Micro: C sources for microcontrollers"

    @property
    def variant(self) -> str:
        """See Format.variant."""
        return "" if self.quantize == "none" else self.quantize

    @property
    def precision(self) -> float:
        """See Format.precision."""
        return 1e-5 if self.quantize == "none" else 5e-2

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: trees, and columns that C code of ours cannot read."""
        unread = [column.name for column in original.inputs if column.feature not in _READABLE]
        if unread:
            return (
                f"a microcontroller has no calendar and no dictionary for the column(s) {', '.join(unread)}"
            )
        if TREES in original.operators:
            return (
                "it has trees, and TensorFlow Lite Micro cannot look up whole numbers in a table, "
                "which is how trees are walked there; linear and mlp models can become tflm"
            )
        if (reason := no_core(original)) is not None:
            return reason
        rules = read_preprocessing(narrow_cut(original).encoder, original.rows)
        if rules.unread():
            return f"what is done to the column(s) {', '.join(rules.unread())} cannot be written in C"
        return _unspeakable(rules)

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write."""
        from declarative_ml.formats.tflite import LiteModel

        halves = narrow_cut(original)
        sample = sample_tensors(halves.encoder, original) if self.quantize == "int8" else {}
        content = to_tflite(halves.core, self.quantize, sample, 1)
        rules = read_preprocessing(halves.encoder, original.rows)
        core = LiteModel(content)
        operators = core.operators()
        (folder / MODEL).write_bytes(content)
        arena = needed_arena(folder / MODEL)
        program = Program(original, rules, content, core.order, operators, arena)
        (folder / PREPROCESSING).write_text(rules.dump(original), encoding="utf-8")
        about = {"operators": operators, "arena_bytes": arena, "inputs": core.inputs()}
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        for name, text in program.files().items():
            (folder / name).write_text(text, encoding="utf-8")

    def open(self, original: Original, folder: Path) -> Run | None:
        """See Format.open: the rules that the C code is made of, then TensorFlow Lite Micro, row by row."""
        import numpy as np

        from declarative_ml.formats.tflite import LiteModel

        content = (folder / MODEL).read_bytes()
        order = LiteModel(content).order
        rules = read_preprocessing(narrow_cut(original).encoder, original.rows)
        micro = MicroModel(content, json.loads((folder / ABOUT).read_text())["arena_bytes"])

        def run(rows: Rows) -> np.ndarray:
            tensors = [rules.tensor(name, rows) for name in order]
            count = len(next(iter(rows.values())))
            found = [micro.run([tensor[row : row + 1] for tensor in tensors]) for row in range(count)]
            return np.concatenate(found).astype(np.float64)

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """Operators, bytes of working memory, and inputs."""
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        return found


class MicroModel:
    """A .tflite of one row in the interpreter of TensorFlow Lite Micro."""

    def __init__(self, content: bytes, arena: int) -> None:
        """Raises RuntimeError where the arena is too small, or an operator is not there."""
        runtime = require(RUNTIME, "tensorflow")
        self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)

    def run(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """The answer float32 [1, W] to tensors [1, …] in the model's order."""
        for number, tensor in enumerate(tensors):
            self._interpreter.set_input(tensor, number)
        self._interpreter.invoke()
        found: np.ndarray = self._interpreter.get_output(0)
        return found


def _unspeakable(rules: Preprocessing) -> str | None:
    """A level with a character that ends a text in C."""
    tables: Mapping[str, Table] = {
        rule.column: rule for part in rules.tensors.values() for rule in part if isinstance(rule, Table)
    }
    for column, table in tables.items():
        if any("\0" in key for key, _ in table.entries):
            return f"a level of the column {column} holds a NUL, which ends a text in C"
    return None
