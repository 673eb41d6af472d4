"""ExecuTorch, PyTorch's runtime for phones and embedded systems: the core of the graph as a program."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.optional import installed
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.lite.core import no_core
from declarative_ml.formats.lite.preprocessing import read_preprocessing
from declarative_ml.formats.onnx import save
from declarative_ml.formats.onnx_core import ENCODER, encode, halves_of
from declarative_ml.formats.rewrite.plain_trees import unsupported_trees, without_tree_ensembles
from declarative_ml.formats.torch_graph.module import to_torch, untranslated
from declarative_ml.scoring.session import open_session

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

MODEL, PREPROCESSING = "model.pte", "preprocessing.json"
_METHOD = "forward"


class ExecuTorch(Format):
    """`model.pte` takes the tensors that `encoder.onnx` makes of raw rows, in the order in which that gives
    them; trees are spelled out as gathers.

    preprocessing.json says in plain words what the encoder does to numbers, yes/no columns and categories.
    """

    format: Literal["executorch"] = "executorch"
    backend: Literal["portable", "xnnpack"] = Field(
        default="portable",
        description="portable: runs on every processor; xnnpack: matrices by XNNPACK, quicker on Arm and x86",
    )
    max_batch: int = Field(
        default=64, ge=2, le=65_536, description="Most rows at a time: the program asks for their memory"
    )
    extra: ClassVar[str | None] = "executorch"
    modules: ClassVar[tuple[str, ...]] = ("torch", "executorch")
    libraries: ClassVar[tuple[str, ...]] = ("torch", "executorch", "torchao")
    about: ClassVar[str] = "PyTorch's runtime for phones and embedded systems"

    @property
    def variant(self) -> str:
        """See Format.variant."""
        return "" if self.backend == "portable" else self.backend

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: texts that the core weighs itself; what has no translation."""
        if reason := no_core(original):
            return reason
        if self.backend == "xnnpack" and not installed("torchao"):
            return "backend: xnnpack needs torchao, which is not installed; backend: portable does not"
        core = halves_of(original).core
        if reason := unsupported_trees(core):
            return f"ExecuTorch has no trees, and this model has {reason}"
        missing = untranslated(without_tree_ensembles(core))
        return f"the core computes {', '.join(missing)}, which is not written for torch" if missing else None

    def write(self, original: Original, folder: Path) -> None:
        """model.pte, encoder.onnx, preprocessing.json."""
        halves = halves_of(original)
        save(halves.encoder, folder / ENCODER)
        (folder / MODEL).write_bytes(_program(halves.core, self.backend, self.max_batch))
        rules = read_preprocessing(halves.encoder, original.rows)
        (folder / PREPROCESSING).write_text(rules.dump(original), encoding="utf-8")

    def open(self, original: Original, folder: Path) -> Run:
        """The encoder in ONNX Runtime, the core in ExecuTorch's runtime."""
        import numpy as np

        encoder = open_session((folder / ENCODER).read_bytes(), name=ENCODER)
        core = _Method(folder / MODEL)

        def run(rows: Rows) -> np.ndarray:
            tensors = list(encode(encoder, rows).values())
            parts = [
                core([values[start : start + self.max_batch] for values in tensors])
                for start in range(0, len(tensors[0]), self.max_batch)
            ]
            return np.concatenate(parts).astype(np.float64)

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """`operators` that the runtime must have, `backends`, and `memory`: bytes of working memory."""
        with _quietly():
            from executorch.exir._serialize._program import deserialize_pte_binary

        plan = deserialize_pte_binary((folder / MODEL).read_bytes()).program.execution_plan[0]
        return {
            "operators": sorted(f"{item.name}.{item.overload}".rstrip(".") for item in plan.operators),
            "backends": sorted({item.id for item in plan.delegates}),
            "memory": sum(plan.non_const_buffer_sizes),
        }


class _Method:
    """A program in the runtime."""

    def __init__(self, path: Path) -> None:
        with _quietly():
            from executorch.runtime import Runtime

        # The program must outlive its method.
        self._program = Runtime.get().load_program(path.read_bytes())
        self._method = self._program.load_method(_METHOD)

    def __call__(self, tensors: list[np.ndarray]) -> np.ndarray:
        """The core's answer float32 [n, W] to its tensors in order, each [n, …]."""
        import numpy as np
        import torch

        given = [torch.from_numpy(np.ascontiguousarray(values)) for values in tensors]
        found: np.ndarray = self._method.execute(given)[0].numpy().copy()
        return found


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's warnings of what it does itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _program(core: ModelProto, backend: str, max_batch: int) -> bytes:
    import torch

    with _quietly():
        from executorch.exir import to_edge_transform_and_lower
        from executorch.exir.passes.constant_prop_pass import constant_prop_pass

        module = to_torch(without_tree_ensembles(core))
        rows = torch.export.Dim("rows", min=1, max=max_batch)
        examples = tuple(_example(torch, value) for value in core.graph.input)
        shapes = {"tensors": tuple({0: rows} for _ in examples)}
        exported = torch.export.export(module, examples, dynamic_shapes=shapes)
        if backend == "portable":
            # XNNPACK wants `linear` as it is; elsewhere it becomes a product with weights turned, in advance.
            exported = exported.run_decompositions()
        edge = to_edge_transform_and_lower(constant_prop_pass(exported), partitioner=_partitioners(backend))
        content: bytes = edge.to_executorch().buffer
    return content


def _example(torch: Any, value: Any) -> Any:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    whole = tensor.elem_type == TensorProto.INT64
    return torch.zeros(2, tensor.shape.dim[1].dim_value, dtype=torch.int64 if whole else torch.float32)


def _partitioners(backend: str) -> list[Any]:
    if backend == "portable":
        return []
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]
