"""Weigh the members, calibrate, set the threshold, build the one ONNX graph, and prove its parity.

model.onnx       raw columns in, labelled answer out
assembly.json    task, inputs, weights, calibration, threshold, parity, validation losses
validation.npy   calibrated predictions of the held-out rows, in split order (absent without any)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.features import FEATURES
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.calibration import Calibration, fit_calibration
from declarative_ml.learning.dataset import EncodedNames, Layout
from declarative_ml.learning.ensembling import blend, blend_to_onnx, optimized_weights
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.learning.threshold import best_threshold
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model, State, load_state
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.raw import Column, raw_inputs
from declarative_ml.steps.split import TEST
from declarative_ml.steps.table import read_schema

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from onnx import ModelProto

PROBABILITY_TOLERANCE = 1e-5
"""Largest allowed difference between fit-time and graph probabilities."""
NUMBER_TOLERANCE = 1e-5
"""The same for numbers, relative to the spread of the predictions plus their size (float32 rounding)."""


@dataclass(frozen=True)
class Member:
    """One model of the ensemble: the fits that ship (one, or one a fold) and what they predicted."""

    name: str
    model: Model
    states: list[State]
    check: np.ndarray
    """Fit-time margins on the check rows [n, width]."""
    held_out: np.ndarray | None
    """Out-of-fold margins [held-out rows, width]."""


def run(context: StepContext) -> None:
    """Write the graph and what is known about it."""
    import numpy as np

    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    members = _members(context)
    rows = _held_out_rows(context)
    truth = np.load(context.inputs["prepare"] / "target.npy")[rows]
    held_out = [member.held_out for member in members if member.held_out is not None]
    weights = _weights(context.params["weights"], task, truth, held_out, len(members))
    calibration = Calibration()
    threshold = 0.5
    if held_out:
        margins = blend(task, held_out, weights)
        if context.params["calibrate"]:
            calibration = fit_calibration(task, truth, margins)
        predictions = predictions_from_margins(task, calibration.apply(margins))
        np.save(context.out / "validation.npy", predictions)
        threshold = _threshold(context.params["threshold"], task, truth, predictions)
    elif task.type == "binary":
        threshold = context.params["threshold"]["value"] or 0.5
    context.progress(0.2, "building the graph")
    features = _features(context)
    model = _graph(context, task, features, members, weights, calibration, threshold)
    content = model.SerializeToString(deterministic=True)
    (context.out / "model.onnx").write_bytes(content)
    context.progress(0.6, "proving parity")
    margins = calibration.apply(blend(task, [member.check for member in members], weights))
    parity = prove_parity(context, task, content, features, predictions_from_margins(task, margins))
    losses = {member.name: _loss(task, truth, member.held_out) for member in members}
    write_json(
        context.out / "assembly.json",
        {
            "task": task.model_dump(mode="json"),
            "target_rule": split["target_rule"],
            "missing": list(read_schema(context.inputs["table"]).missing),
            "inputs": [column.describe() for column in features],
            "members": [
                {"name": member.name, "weight": float(weight), "loss": losses[member.name]}
                for member, weight in zip(members, weights, strict=True)
            ],
            "calibration": calibration.model_dump(mode="json"),
            "threshold": threshold if task.type == "binary" else None,
            "parity": parity,
        },
    )


def _members(context: StepContext) -> list[Member]:
    import numpy as np

    rows = _held_out_rows(context)
    fold = np.load(context.inputs["split"] / "fold.npy")[rows]
    members = []
    for number, options in enumerate(context.params["members"]):
        folds = [context.inputs[role] for role in context.roles(f"member{number}.fold")]
        final = context.inputs[f"member{number}.final"]
        shipped = folds if skip_reason(final) is not None else [final]
        checks = [np.load(folder / "check.npy") for folder in shipped]
        members.append(
            Member(
                name=context.params["names"][number],
                model=MODELS.parse(options),
                states=[load_state(folder / "state.npz") for folder in shipped],
                check=sum(checks) / len(checks),
                held_out=_out_of_fold(folds, fold) if folds else None,
            )
        )
    return members


def _held_out_rows(context: StepContext) -> np.ndarray:
    import numpy as np

    fold = np.load(context.inputs["split"] / "fold.npy")
    part = np.load(context.inputs["split"] / "part.npy")
    return np.flatnonzero((fold >= 0) & (part != TEST))


def _out_of_fold(folders: list[Path], fold: np.ndarray) -> np.ndarray:
    """The folds' margins of their held-out rows, put back in the order of the split."""
    import numpy as np

    parts = [np.load(folder / "validation.npy") for folder in folders]
    margins = np.empty((len(fold), parts[0].shape[1]))
    for number, part in enumerate(parts):
        margins[fold == number] = part
    return margins


def _weights(how: str, task: Task, truth: np.ndarray, held_out: list[np.ndarray], count: int) -> np.ndarray:
    import numpy as np

    if how == "equal" or count == 1 or not held_out:
        return np.full(count, 1.0 / count)
    return optimized_weights(task, truth, held_out)


def _threshold(wanted: dict[str, Any], task: Task, truth: np.ndarray, predictions: np.ndarray) -> float:
    if task.type != "binary" or wanted["maximize"] is None:
        return float(wanted["value"] if wanted["value"] is not None else 0.5)
    return best_threshold(wanted["maximize"], truth, predictions[:, 1])


def _loss(task: Task, truth: np.ndarray, margins: np.ndarray | None) -> float | None:
    if margins is None:
        return None
    metric = "log_loss" if task.is_classification else "rmse"
    return score(metric, task, truth, predictions_from_margins(task, margins))


def _features(context: StepContext) -> list[Column]:
    schema = read_schema(context.inputs["table"])
    return [
        Column(
            name=item["name"],
            feature=FEATURES.parse(item["options"]),
            state=item["state"],
            field=item["field"],
            rule=schema.columns[item["name"]],
        )
        for item in context.read("prepare", "encoding.json")["features"]
    ]


def _graph(
    context: StepContext,
    task: Task,
    columns: list[Column],
    members: list[Member],
    weights: np.ndarray,
    calibration: Calibration,
    threshold: float,
) -> ModelProto:
    layout = Layout.model_validate(context.read("prepare", "encoding.json")["layout"])
    graph = OnnxGraph()
    names = _encode(graph, columns)
    tensors = []
    for member in members:
        fits = [member.model.to_onnx(graph, state, names, layout, task) for state in member.states]
        tensors.append(_mean(graph, fits))
    margins = calibration.to_onnx(graph, blend_to_onnx(graph, tensors, weights, task), task)
    _outputs(graph, task, margins, threshold)
    metadata = {
        "name": context.params["name"],
        "target": task.target,
        "task": task.type,
        "classes": json.dumps(list(task.classes), ensure_ascii=False),
        "threshold": repr(threshold) if task.type == "binary" else "",
    }
    return graph.build(context.params["name"], metadata)


def _encode(graph: OnnxGraph, columns: list[Column]) -> EncodedNames:
    parts: dict[str, list[str]] = {"raw": [], "scaled": [], "codes": []}
    for column in columns:
        tensor = graph.input(column.name, column.feature.raw_dtype)
        encoded = column.feature.to_onnx(graph, tensor, column.state)
        for kind, tensors in parts.items():
            if getattr(encoded, kind) is not None:
                tensors.append(getattr(encoded, kind))
    joined = {kind: graph.concat(tensors) if tensors else None for kind, tensors in parts.items()}
    return EncodedNames(**joined)


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


def prove_parity(
    context: StepContext, task: Task, content: bytes, columns: list[Column], expected: np.ndarray
) -> dict[str, Any]:
    """Run the graph on real raw rows and compare with the fit-time predictions [n] or [n, classes].

    Raises StepFailed above the tolerance: a graph that differs from what was trained never ships.
    """
    import numpy as np

    from declarative_ml.scoring.session import open_session

    check = np.load(context.inputs["prepare"] / "check.npy")
    rows = np.load(context.inputs["split"] / "order.npy")[check]
    session = open_session(content, threads=context.threads)
    outputs = session.run(None, raw_inputs(context.inputs["table"], rows, columns))
    if task.type == "number":
        actual = outputs[0][:, 0].astype(np.float64)
        scale = float(np.std(expected) + np.abs(expected).mean()) or 1.0
        difference, tolerance = np.abs(actual - expected) / scale, NUMBER_TOLERANCE
    else:
        difference, tolerance = np.abs(outputs[1] - expected).max(axis=1), PROBABILITY_TOLERANCE
    worst = float(difference.max())
    if not worst <= tolerance:
        raise StepFailed(
            f"the ONNX graph differs from the trained model by {worst:.2g} (allowed {tolerance:.0e}), "
            f"first at row {int(rows[int(difference.argmax())])}",
            hint="this is a bug of declarative-ml: please report the spec and the column types",
        )
    return {"rows": len(rows), "max_difference": worst, "tolerance": tolerance}
