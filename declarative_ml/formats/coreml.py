"""Core ML, for Apple's systems: the core as a model package, converted here and run there."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.formats.base import Format, Original, Run
from declarative_ml.formats.lite.core import narrow_cut, no_core
from declarative_ml.formats.onnx import save
from declarative_ml.formats.onnx_core import ENCODER
from declarative_ml.graph.tree_ensemble import TREES

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGE = "core.mlpackage"
_DATE = "com.github.apple.coremltools.conversion_date"


class CoreML(Format):
    """core.mlpackage takes the tensors that encoder.onnx makes. Core ML runs on Apple's systems only: nobody
    has run it when it leaves this machine."""

    format: Literal["coreml"] = "coreml"
    max_batch: int = Field(default=1024, ge=1, le=65_536, description="Most rows at a time")
    extra: ClassVar[str | None] = "coreml"
    modules: ClassVar[tuple[str, ...]] = ("tensorflow", "coremltools")
    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "coremltools")
    about: ClassVar[str] = "iPhones and Macs; converted here, not executed here"

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: texts that the core weighs itself, and trees."""
        if TREES in original.operators:
            return "it has trees, and Core ML looks up no tables of truth values; linear and mlp models fit"
        return no_core(original)

    def write(self, original: Original, folder: Path) -> None:
        """core.mlpackage and encoder.onnx."""
        halves = narrow_cut(original)
        save(halves.encoder, folder / ENCODER)
        _convert(halves.core, self.max_batch).save(str(folder / PACKAGE))
        _name_by_content(folder / PACKAGE / "Manifest.json")

    def open(self, original: Original, folder: Path) -> Run | None:
        """None: its runtime is on Apple's systems only."""
        return None

    def facts(self, folder: Path) -> dict[str, Any]:
        """Names and types of what goes in and comes out; that it was not run."""
        spec = _tools().utils.load_spec(str(folder / PACKAGE))
        return {
            "inputs": [value.name for value in spec.description.input],
            "outputs": [value.name for value in spec.description.output],
            "specification": spec.specificationVersion,
            "run_here": False,
        }


def _tools() -> Any:
    import warnings

    # It warns of every library that is newer than those it was tested with.
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools
    return coremltools


def _convert(core: ModelProto, max_batch: int) -> Any:
    """The core as a model package for iOS 16, macOS 13 and later, in float32."""
    from declarative_ml.formats.tf.graph import to_tensorflow

    module = to_tensorflow(core, lite=True)
    tools = _tools()
    rows = tools.RangeDim(1, max_batch)
    inputs = [
        tools.TensorType(tensor.name.partition(":")[0], shape=(rows, tensor.shape[1]))
        for tensor in module.concrete.inputs
        if tensor.shape.rank == 2
    ]
    model = tools.convert(
        [module.concrete],
        source="tensorflow",
        convert_to="mlprogram",
        inputs=inputs,
        compute_precision=tools.precision.FLOAT32,
        minimum_deployment_target=tools.target.iOS16,
    )
    spec = model.get_spec()
    # A package of the same model is to have the same bytes.
    del spec.description.metadata.userDefined[_DATE]
    answer = core.graph.output[0].name
    tools.utils.rename_feature(spec, spec.description.output[0].name, answer)
    return tools.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def _name_by_content(manifest: Path) -> None:
    """Give the entries identifiers by their paths, where the library draws random ones."""
    text = manifest.read_text(encoding="utf-8")
    for drawn, entry in json.loads(text)["itemInfoEntries"].items():
        text = text.replace(drawn, str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])))
    entries = json.loads(text)
    entries["itemInfoEntries"] = dict(sorted(entries["itemInfoEntries"].items()))
    manifest.write_text(json.dumps(entries, indent=4), encoding="utf-8")
