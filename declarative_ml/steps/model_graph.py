"""One graph from raw columns to the labelled answer, around any number of fitted models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from declarative_ml.core.reading import Reading
from declarative_ml.core.task import Task
from declarative_ml.features import FEATURES
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.calibration import Calibration
from declarative_ml.learning.dataset import EncodedNames, Layout, WeighTerms
from declarative_ml.learning.ensembling import blend_to_onnx
from declarative_ml.models.base import Model, State
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.interval import Interval
from declarative_ml.steps.raw import Column
from declarative_ml.steps.table import read_schema

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto


@dataclass(frozen=True)
class Fits:
    """A model with the fits of it whose mean is its answer."""

    model: Model
    states: Sequence[State]


def feature_columns(context: StepContext) -> list[Column]:
    """The feature columns of the inputs `prepare` and `table`, in the order of the layout."""
    schema = read_schema(context.inputs["table"])
    return [
        Column(
            name=item["name"],
            feature=FEATURES.parse(item["options"]),
            state=item["state"],
            field=item["field"],
            rule=schema.columns[item["name"]],
            reading=Reading.model_validate(item["reading"]) if item.get("reading") else None,
        )
        for item in context.read("prepare", "encoding.json")["features"]
    ]


def model_graph(
    context: StepContext,
    name: str,
    task: Task,
    columns: Sequence[Column],
    members: Sequence[Fits],
    weights: np.ndarray | Sequence[float],
    calibration: Calibration,
    threshold: float,
    interval: Interval | None = None,
) -> ModelProto:
    """The blend of the members by `weights`, calibrated, as the graph called `name`.

    With an `interval`, a number's graph has the outputs `lower` and `upper` beside `prediction`.
    """
    layout = Layout.model_validate(context.read("prepare", "encoding.json")["layout"])
    graph = OnnxGraph()
    names = _encode(graph, columns)
    tensors = []
    for member in members:
        fits = [member.model.to_onnx(graph, state, names, layout, task) for state in member.states]
        tensors.append(_mean(graph, fits))
    margins = calibration.to_onnx(graph, blend_to_onnx(graph, tensors, weights, task), task)
    _outputs(graph, task, margins, threshold)
    if interval is not None:
        ends = interval.to_onnx(graph, names, layout, margins)
        for end, output in zip(ends, ("lower", "upper"), strict=True):
            graph.output(end, output, "float32")
    metadata = {
        "name": name,
        "target": task.target,
        "task": task.type,
        "classes": json.dumps(list(task.classes), ensure_ascii=False),
        "threshold": repr(threshold) if task.type == "binary" else "",
        "interval": repr(interval.bounds.level) if interval is not None else "",
    }
    readings = {column.name: column.reading.model_dump() for column in columns if column.reading is not None}
    if readings:
        metadata["readings"] = json.dumps(readings, ensure_ascii=False)
    return graph.build(name, metadata)


def _encode(graph: OnnxGraph, columns: Sequence[Column]) -> EncodedNames:
    parts: dict[str, list[str]] = {"raw": [], "scaled": [], "codes": []}
    terms: list[WeighTerms] = []
    for column in columns:
        tensor = graph.input(column.name, column.feature.raw_dtype)
        encoded = column.feature.to_onnx(graph, tensor, column.state)
        for kind, tensors in parts.items():
            if getattr(encoded, kind) is not None:
                tensors.append(getattr(encoded, kind))
        terms += encoded.terms
    joined = {kind: graph.concat(tensors) if tensors else None for kind, tensors in parts.items()}
    return EncodedNames(**joined, terms=tuple(terms))


def _mean(graph: OnnxGraph, tensors: list[str]) -> str:
    import numpy as np

    total = tensors[0]
    for tensor in tensors[1:]:
        total = graph.add("Add", [total, tensor])
    if len(tensors) == 1:
        return total
    return graph.add("Mul", [total, graph.constant(np.array([[1.0 / len(tensors)]], dtype=np.float32))])


def _outputs(graph: OnnxGraph, task: Task, margins: str, threshold: float) -> None:
    """`prediction` [N, 1] and, for classes, `probabilities` [N, C]."""
    import numpy as np

    if task.type == "number":
        graph.output(margins, "prediction", "float32")
        return
    if task.type == "binary":
        positive = graph.add("Sigmoid", [margins])
        one = graph.constant(np.array([[1.0]], dtype=np.float32))
        probabilities = graph.concat([graph.add("Sub", [one, positive]), positive])
        limit = graph.constant(np.array([[threshold]], dtype=np.float32))
        chosen = graph.cast(graph.add("GreaterOrEqual", [positive, limit]), "int64")
    else:
        probabilities = graph.add("Softmax", [margins], axis=1)
        chosen = graph.add("ArgMax", [probabilities], axis=1, keepdims=1)
    numbers = list(range(len(task.classes)))
    label = graph.add(
        "LabelEncoder",
        [chosen],
        keys_int64s=numbers,
        values_strings=[name.encode() for name in task.classes],
        default_string=b"",
    )
    graph.output(label, "prediction", "string")
    graph.output(probabilities, "probabilities", "float32", len(task.classes))
