"""A folder in MLflow's model format: MLflow serves, registers and scores it with nothing of this package.

Two flavours share one file: `python_function` by a loader that lies in the folder, and `onnx`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from declarative_ml.core.digest import digest_bytes
from declarative_ml.core.optional import require
from declarative_ml.core.versions import library_version
from declarative_ml.formats import mlflow_loader
from declarative_ml.formats.base import Format, Original, Rows, Run

if TYPE_CHECKING:
    import numpy as np

_PROVIDERS = ["CPUExecutionProvider"]
_EXAMPLES = 3
_LOADER = "mlflow_loader"
_NEEDED = ("mlflow", "onnxruntime", "numpy", "pandas")


class Mlflow(Format):
    """MLflow's folder: MLmodel, requirements, signature, example, loader and graph."""

    format: Literal["mlflow"] = "mlflow"
    extra: ClassVar[str | None] = "mlflow"
    modules: ClassVar[tuple[str, ...]] = ("mlflow", "pandas")
    libraries: ClassVar[tuple[str, ...]] = ("mlflow", "pandas")
    about: ClassVar[str] = "a folder for MLflow's servers, registries and Spark, without this package"

    @property
    def precision(self) -> float:
        """It is the same graph in the same runtime."""
        return 1e-6

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: texts that are read before the graph."""
        if readers := original.readers:
            return (
                f"texts are read by {readers} before they reach the graph, which MLflow's folder does not do"
            )
        return None

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write. Raises MissingDependency without MLflow."""
        require("mlflow", "mlflow")
        from mlflow import pyfunc

        with tempfile.TemporaryDirectory() as scratch, _calm():
            data, made = Path(scratch) / "data", Path(scratch) / "model"
            data.mkdir()
            (data / "model.onnx").write_bytes(original.content)
            (data / "answers.json").write_text(json.dumps(_answers(original), indent=1), encoding="utf-8")
            pyfunc.save_model(
                made,
                loader_module=_LOADER,
                data_path=str(data),
                code_paths=[str(mlflow_loader.__file__)],
                mlflow_model=_description(original),
                signature=_signature(original),
                input_example=_example(original),
                pip_requirements=_requirements(),
            )
            shutil.copytree(made, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def open(self, original: Original, folder: Path) -> Run | None:
        """See Format.open: through `mlflow.pyfunc.load_model`, as MLflow's server does."""
        from mlflow import pyfunc

        with _calm(), _no_bytecode():
            loaded = pyfunc.load_model(str(folder))
        names = [f"probability_{name}" for name in original.task.classes] or ["prediction"]

        def run(rows: Rows) -> np.ndarray:
            with _calm():
                answer = loaded.predict(_frame(original, rows))
            found: np.ndarray = answer[names].to_numpy(dtype="float64")
            return found

        return run

    def facts(self, folder: Path) -> dict[str, Any]:
        """The flavours and what serving installs."""
        requirements = (folder / "requirements.txt").read_text(encoding="utf-8").split()
        return {"flavours": ["python_function", "onnx"], "requirements": requirements}


@contextmanager
def _calm() -> Iterator[None]:
    """Let MLflow's own code warn in vain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Let an import from the folder leave nothing in it: the folder ships, and holds the same every time."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _answers(original: Original) -> dict[str, Any]:
    """What the loader has to know."""
    return {
        "inputs": [{"name": column.name, "dtype": column.dtype} for column in original.inputs],
        "outputs": [output.name for output in original.model.graph.output],
        "classes": list(original.task.classes),
    }


def _description(original: Original) -> Any:
    """The head of MLmodel, with the flavour `onnx`; named by the content, so that it has no time."""
    from mlflow.models import Model

    model = Model(
        model_uuid=digest_bytes(original.content)[:32],
        utc_time_created="1980-01-01 00:00:00.000000",
        metadata={"dml.name": original.name, "dml.target": original.task.target},
    )
    onnx_version = library_version("onnx")
    model.add_flavor(
        "onnx",
        onnx_version=onnx_version,
        data="data/data/model.onnx",
        providers=_PROVIDERS,
        onnx_session_options=None,
    )
    return model


def _signature(original: Original) -> Any:
    """Columns of a table. All are optional: what is not sent is missing. Numbers are doubles, as MLflow takes
    no missing values in columns of integers; it asks callers with integers to make them doubles."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    kinds = {"float32": DataType.double, "string": DataType.string}
    inputs = [ColSpec(kinds[column.dtype], column.name, required=False) for column in original.inputs]
    classes = original.task.classes
    outputs = [ColSpec(DataType.string if classes else DataType.float, "prediction")]
    if classes:
        outputs += [
            ColSpec(DataType.float, name) for name in ("probability", *(f"probability_{c}" for c in classes))
        ]
    else:
        names = [output.name for output in original.model.graph.output]
        outputs += [ColSpec(DataType.float, name) for name in names if name != "prediction"]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _example(original: Original) -> Any:
    return _frame(original, {name: rows[:_EXAMPLES] for name, rows in original.rows.items()})


def _frame(original: Original, rows: Rows) -> Any:
    """Raw columns as a DataFrame, None for a missing text."""
    pandas = require("pandas", "mlflow")
    columns = {}
    for column in original.inputs:
        values = rows[column.name][:, 0]
        numeric = column.dtype == "float32"
        columns[column.name] = (
            values.astype("float64") if numeric else [text or None for text in values.tolist()]
        )
    return pandas.DataFrame(columns)


def _requirements() -> list[str]:
    """What is installed here of the needed; MLflow also comes under other names."""
    versions = {name: library_version(name) for name in _NEEDED}
    return [f"{name}=={version}" for name, version in versions.items() if version != "absent"]
