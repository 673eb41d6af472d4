"""Blend the members, calibrate, set the threshold, build the one ONNX graph, and prove what it promises.

model.onnx       raw columns in, labelled answer out
assembly.json    task, inputs, weights, calibration, threshold, interval, validation losses, and what was
                 proven: parity, and the direction of monotone columns
validation.npy   calibrated predictions of the held-out rows, in split order (absent without any)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import Calibration, fit_calibration
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.ensembling import blend
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.learning.threshold import best_threshold
from declarative_ml.models.base import load_state
from declarative_ml.scoring.session import open_session, run_graph, run_number_graph
from declarative_ml.steps.caps import Caps, check_size
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.interval import Interval, load_interval, parity_of
from declarative_ml.steps.members import (
    fold_roles,
    folds_done,
    held_out_loss,
    held_out_truth,
    out_of_fold,
    tuned_model,
)
from declarative_ml.steps.model_graph import Fits, feature_columns, model_graph
from declarative_ml.steps.raw import Column, raw_inputs
from declarative_ml.steps.sweep import prove_monotone
from declarative_ml.steps.table import read_schema
from declarative_ml.steps.train import open_prepared

if TYPE_CHECKING:
    import numpy as np

PROBABILITY_TOLERANCE = 1e-5
"""Largest allowed difference between fit-time and graph probabilities."""
MARGIN_ROUNDING = 2.0**-22
"""The same as a share of a row's largest margin: a float32 sum of that size is off by some units in the
last place, and a probability moves by at most half of what the margins do. It counts from margins of 42 on,
which a model reaches that tells the classes apart without a doubt."""
NUMBER_TOLERANCE = 1e-5
"""The same for numbers, relative to the spread of the predictions plus their size (float32 rounding)."""


@dataclass(frozen=True)
class Member:
    """One model of the ensemble: the fits that ship (one, or one a fold) and what they predicted."""

    name: str
    weight: float
    fits: Fits
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
    truth = held_out_truth(context)
    held_out = [member.held_out for member in members if member.held_out is not None]
    weights = [member.weight for member in members]
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
        wanted = context.params["threshold"]["value"]
        threshold = 0.5 if wanted is None else float(wanted)
    context.progress(0.2, "building the graph")
    features = feature_columns(context)
    fits = [member.fits for member in members]
    name = context.params["name"]
    interval = load_interval(context)
    model = model_graph(context, name, task, features, fits, weights, calibration, threshold, interval)
    content = model.SerializeToString(deterministic=True)
    check_size(content, Caps(**context.params.get("caps", {})))
    (context.out / "model.onnx").write_bytes(content)
    context.progress(0.6, "proving parity")
    checks = [member.check for member in members]
    margins = calibration.apply(blend(task, checks, weights))
    session = open_session(content, threads=context.threads)
    expected = predictions_from_margins(task, margins)
    reach = np.max([np.abs(found).reshape(len(expected), -1).max(axis=1) for found in checks], axis=0)
    parity = prove_parity(context, task, session, features, expected, reach, interval)
    proven = prove_monotone(context, session, task, features) if context.params["monotone"] else []
    write_json(
        context.out / "assembly.json",
        {
            "task": task.model_dump(mode="json"),
            "target_rule": split["target_rule"],
            "missing": list(read_schema(context.inputs["table"]).missing),
            "inputs": [column.describe() for column in features],
            "members": _described(context, task, truth, members),
            "calibration": calibration.model_dump(mode="json"),
            "folds": folds_done(context),
            "threshold": threshold if task.type == "binary" else None,
            "interval": None if interval is None else interval.bounds.level,
            "parity": parity,
            "monotone": proven,
        },
    )


def _members(context: StepContext) -> list[Member]:
    """The members that the blend counts."""
    import numpy as np

    weights = _weights(context)
    members = []
    for number, options in enumerate(context.params["members"]):
        if not weights[number]:
            continue
        folds = [context.inputs[role] for role in fold_roles(context, number)]
        final = context.inputs[f"member{number}.final"]
        shipped = folds if skip_reason(final) is not None else [final]
        if "caps" in context.params:
            shipped = shipped[:1]  # what was measured is one fit of each
        model = tuned_model(context, options, f"member{number}.tune")
        name = context.params["names"][number]
        states = [load_state(folder / "state.npz") for folder in shipped]
        checks = [np.load(folder / "check.npy") for folder in shipped]
        members.append(
            Member(
                name=name,
                weight=weights[number],
                fits=Fits(model, states, name),
                check=sum(checks) / len(checks),
                held_out=out_of_fold(context, folds) if folds else None,
            )
        )
    return members


def _weights(context: StepContext) -> list[float]:
    if "ensemble" not in context.inputs:
        return [1.0]
    return [float(entry["weight"]) for entry in context.read("ensemble", "ensemble.json")["members"]]


def _described(
    context: StepContext, task: Task, truth: np.ndarray, members: Sequence[Member]
) -> list[dict[str, Any]]:
    """Name, weight and held-out loss of every candidate, those left out included."""
    if "ensemble" in context.inputs:
        entries = context.read("ensemble", "ensemble.json")["members"]
        return [{name: entry[name] for name in ("name", "weight", "loss")} for entry in entries]
    (only,) = members
    loss = None if only.held_out is None else held_out_loss(task, truth, only.held_out)
    return [{"name": only.name, "weight": 1.0, "loss": loss}]


def _threshold(wanted: dict[str, Any], task: Task, truth: np.ndarray, predictions: np.ndarray) -> float:
    if task.type != "binary" or wanted["maximize"] is None:
        return float(wanted["value"] if wanted["value"] is not None else 0.5)
    return best_threshold(wanted["maximize"], truth, predictions[:, 1])


def prove_parity(
    context: StepContext,
    task: Task,
    session: Any,
    columns: list[Column],
    expected: np.ndarray,
    reach: np.ndarray,
    interval: Interval | None = None,
) -> dict[str, Any]:
    """Run the graph on real raw rows and compare with the fit-time predictions [n] or [n, classes], and its
    interval with the one that was learned. `reach` [n]: a row's largest margin, of any member.

    Raises StepFailed above the tolerance: a graph that differs from what was trained never ships.
    """
    import numpy as np

    check = np.load(context.inputs["prepare"] / "check.npy")
    rows = DiskRows(context.inputs["split"] / "order.npy")[check]
    inputs = raw_inputs(context.inputs, rows, columns)
    if task.type == "number":
        outputs = run_number_graph(session, inputs)
        difference = np.abs(outputs["prediction"] - expected)
        if interval is not None:
            data = open_prepared(context).take(check)
            difference = np.maximum(difference, parity_of(interval, data, outputs))
        difference = difference / (float(np.std(expected) + np.abs(expected).mean()) or 1.0)
    else:
        difference = np.abs(run_graph(session, inputs) - expected).max(axis=1)
    allowed = tolerances(task, reach)
    if not (difference <= allowed).all():
        worst = int((difference - allowed).argmax())
        raise StepFailed(
            f"the ONNX graph differs from the trained model by {difference[worst]:.2g} "
            f"(allowed {allowed[worst]:.0e}), most at row {int(rows[worst])}",
            hint="this is a bug of declarative-ml: please report the spec and the column types",
        )
    return {
        "rows": len(rows),
        "max_difference": float(difference.max()),
        "tolerance": float(allowed.max()),
    }


def tolerances(task: Task, reach: np.ndarray) -> np.ndarray:
    """The allowed difference of each row [n], whose largest margins are `reach` [n]."""
    import numpy as np

    if task.type == "number":
        return np.full(len(reach), NUMBER_TOLERANCE)
    allowed: np.ndarray = np.maximum(PROBABILITY_TOLERANCE, MARGIN_ROUNDING * reach)
    return allowed
