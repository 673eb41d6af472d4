"""One graph from raw columns to the labelled answer, around any number of fitted models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from declarative_ml.core.reading import parse_reading
from declarative_ml.core.task import Task
from declarative_ml.features import FEATURES
from declarative_ml.features.base import KINDS, EncodedBlocks, Feature, Placed
from declarative_ml.graph.blocks import join
from declarative_ml.graph.members import MEMBERS, GraphMember, describe_members
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.calibration import Calibration
from declarative_ml.learning.dataset import EncodedNames, Layout
from declarative_ml.learning.ensembling import blend_to_onnx
from declarative_ml.models.base import Model, State
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.interval import Interval
from declarative_ml.steps.raw import Column
from declarative_ml.steps.table import read_schema

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

_AT_ONCE = 16
"""Columns of a type that are encoded together: more gain little, and take memory for every row."""


@dataclass(frozen=True)
class Fits:
    """A model with the fits of it whose mean is its answer."""

    model: Model
    states: Sequence[State]
    name: str = ""


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
            reading=parse_reading(item["reading"]) if item.get("reading") else None,
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
    names = encode_columns(graph, columns)
    tensors = []
    for member in members:
        tensors.append(member.model.mean_to_onnx(graph, member.states, names, layout, task))
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
        "encoded": json.dumps({kind: getattr(names, kind) for kind in KINDS if getattr(names, kind)}),
    }
    readings = {column.name: column.reading.model_dump() for column in columns if column.reading is not None}
    if len(members) > 1:
        found = zip((member.name for member in members), map(float, weights), tensors, strict=True)
        metadata[MEMBERS] = describe_members([GraphMember(*entry) for entry in found])
    if readings:
        metadata["readings"] = json.dumps(readings, ensure_ascii=False)
    return graph.build(name, metadata)


def encode_columns(graph: OnnxGraph, columns: Sequence[Column]) -> EncodedNames:
    """Add the raw inputs and their encoding, the columns of a feature type at once."""
    groups: dict[type[Feature], list[Placed]] = {}
    starts = dict.fromkeys(KINDS, 0)
    for number, column in enumerate(columns):
        tensor = graph.input(column.name, column.feature.raw_dtype)
        layout = column.feature.layout(column.name, column.state)
        placed = Placed(column.feature, tensor, column.state, layout, dict(starts), number)
        groups.setdefault(type(column.feature), []).append(placed)
        for kind in KINDS:
            starts[kind] += len(getattr(layout, kind))
    found = EncodedBlocks()
    for kind_of_feature, group in groups.items():
        for start in range(0, len(group), _AT_ONCE):
            part = kind_of_feature.columns_to_onnx(graph, group[start : start + _AT_ONCE])
            for name in (*KINDS, "terms"):
                getattr(found, name).extend(getattr(part, name))
    joined = {kind: join(graph, getattr(found, kind)) for kind in KINDS}
    terms = tuple(weigh for _, weigh in sorted(found.terms, key=lambda entry: entry[0]))
    return EncodedNames(**joined, terms=terms, scaled_blocks=tuple(found.scaled))


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
