"""The ONNX file as an MLflow model: signature, example, fixed requirements."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.optional import require
from declarative_ml.trackers.base import KEY_TAG
from declarative_ml.trackers.mlflow_entities import TAG_LENGTH, shortened
from declarative_ml.trackers.mlflow_store import calm

if TYPE_CHECKING:
    from declarative_ml.trackers.base import TrackContent


def log_model(client: Any, experiment_id: str, run_id: str, content: TrackContent, folder: Path) -> str:
    """Write the model into `folder` (which must not exist), upload it, and return its id."""
    from mlflow.entities import LoggedModelOutput

    assert content.model is not None
    tags = {KEY_TAG: content.key, **{name: str(value) for name, value in content.tags.items()}}
    model = client.create_logged_model(
        experiment_id,
        name=model_name(content.experiment),
        source_run_id=run_id,
        tags={name: shortened(value, TAG_LENGTH) for name, value in tags.items()},
        model_type="onnx",
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    with calm(), _no_package_walk():
        _save(content, content.model, folder, model, run_id)
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


@contextmanager
def _no_package_walk() -> Iterator[None]:
    """Spare MLflow a walk through the files of all installed packages, which takes it half a second.

    It only serves a warning about requirements that are not installed; ours are read from what is.
    """
    from mlflow.utils import requirements_utils as requirements

    known = vars(requirements).get("_MODULES_TO_PACKAGES")
    vars(requirements)["_MODULES_TO_PACKAGES"] = known or {}
    try:
        yield
    finally:
        vars(requirements)["_MODULES_TO_PACKAGES"] = known


def model_name(experiment: str) -> str:
    """`experiment` without the characters that MLflow refuses in names of models."""
    return re.sub(r"[/:.%\"']", "-", experiment)


def _save(content: TrackContent, file: Path, folder: Path, model: Any, run_id: str) -> None:
    import onnx
    from mlflow.models import Model
    from mlflow.onnx import save_model

    description = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        run_id=run_id,
        model_id=model.model_id,
    )
    save_model(
        onnx.load(file),
        folder,
        mlflow_model=description,
        signature=_signature(content),
        input_example=_example(content),
        pip_requirements=list(content.requirements) or ["onnxruntime"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
        metadata={KEY_TAG: content.key},
    )
    # Byte for byte the file that was evaluated, whatever the writer made of it.
    shutil.copyfile(file, folder / "model.onnx")


def _signature(content: TrackContent) -> Any:
    from mlflow.models import ModelSignature

    if not content.inputs:
        return None
    inputs = _tensors({name: f"{dtype}[1]" for name, dtype in content.inputs.items()})
    return ModelSignature(inputs=inputs, outputs=_tensors(content.outputs) if content.outputs else None)


def _tensors(columns: Mapping[str, str]) -> Any:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    def spec(name: str, declared: str) -> Any:
        dtype, _, width = declared.rstrip("]").partition("[")
        shape = (-1, int(width)) if width else (-1,)
        return TensorSpec(np.dtype("str" if dtype == "string" else dtype), shape, name)

    return Schema([spec(name, declared) for name, declared in columns.items()])


def _example(content: TrackContent) -> Any:
    if not content.example:
        return None
    pandas = require("pandas", "mlflow")
    return pandas.DataFrame({name: list(values) for name, values in content.example.items()})
