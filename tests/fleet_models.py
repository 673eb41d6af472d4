"""Models made by hand, whose answers are plain formulas, and registries that hold them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.store.bundle import Bundle, write_bundle
from declarative_ml.trackers.base import KEY_TAG, Registered, TrackContent
from declarative_ml.trackers.mlflow import MLflowTracker

COLUMNS = ("age", "fare")


def write_model(
    folder: Path,
    slope: float,
    *,
    name: str = "guests",
    columns: tuple[str, ...] = COLUMNS,
    rule: str = "number",
    classes: tuple[str, str] = ("no", "yes"),
) -> Bundle:
    """P(yes) = sigmoid(slope * first column); yes from 0.5 on. The other columns count for nothing."""
    graph = OnnxGraph()
    first, *others = [graph.input(column, "float32") for column in columns]
    score = graph.add("Mul", [first, graph.constant([[slope]], "float32")])
    for other in others:
        nothing = graph.add("Mul", [other, graph.constant([[0.0]], "float32")])
        score = graph.add("Add", [score, nothing])
    positive = graph.add("Sigmoid", [score])
    negative = graph.add("Sub", [graph.constant([[1.0]], "float32"), positive])
    yes = graph.add("GreaterOrEqual", [positive, graph.constant([[0.5]], "float32")])
    label = graph.add("Where", [yes, graph.constant([[classes[1]]]), graph.constant([[classes[0]]])])
    graph.output(label, "prediction", "string")
    graph.output(graph.concat([negative, positive]), "probabilities", "float32", 2)
    model = graph.build(name, {"task": "binary"}).SerializeToString()
    inputs = [
        {
            "name": column,
            "feature": "number",
            "dtype": "float32",
            "rule": {"type": rule},
            "field": {"examples": [1.0]},
        }
        for column in columns
    ]
    background = {column: [0.0, slope] for column in columns}
    reference = json.dumps({"columns": {}, "background": background, "of": name}).encode()
    task = {"target": "stays", "type": "binary", "classes": classes}
    write_bundle(
        folder,
        {"name": name, "task": task, "inputs": inputs},
        {"model.onnx": model, "reference.json": reference},
    )
    return Bundle.open(folder)


def positive(slope: float, age: float) -> float:
    """What a model with this slope says of a row."""
    return 1 / (1 + math.exp(-slope * age))


def register(
    workspace: Path, bundle: Bundle, *, uri: str | None = None, name: str = "guests", **tags: str
) -> Registered:
    """Log a bundle as `dml run` does, and add it to the registry."""
    tracker = MLflowTracker(uri=uri)
    key = f"{name} {bundle.manifest.model_digest}"
    files: dict[str, Any] = {
        f"bundle/{file}": bundle.path / file
        for file in ("bundle.json", *bundle.manifest.files)
        if file != "model.onnx"
    }
    content = TrackContent(
        key=key,
        experiment=name,
        run_name="by hand",
        files=files,
        model=bundle.path / "model.onnx",
        inputs={column.name: column.dtype for column in bundle.manifest.inputs},
        outputs={"prediction": "string[1]", "probabilities": "float32[2]"},
        requirements=["onnxruntime"],
    )
    run_id = tracker.log(workspace, content)
    known = {KEY_TAG: key, "dml.model_digest": bundle.manifest.model_digest, "dml.gates": "passed"}
    return tracker.register(workspace, name, run_id, {**known, **tags})


def promote(workspace: Path, version: int, *, uri: str | None = None, name: str = "guests") -> None:
    """Make a version the champion."""
    MLflowTracker(uri=uri).promote(workspace, name, version)
