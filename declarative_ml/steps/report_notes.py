"""What the steps before found worth saying, as sentences of the report and the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import read_json
from declarative_ml.core.reading import AnyReading, Embedding, parse_reading
from declarative_ml.core.task import Task
from declarative_ml.report.wording import latency, seconds, size
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.tested import AnsweredRows, read_tested, shown_rows
from declarative_ml.steps.verdict import read_verdict
from declarative_ml.steps.verify import RESULT as VERIFIED

_VALIDATION = (
    "Validation numbers are out of fold: the shipped model has learned from those rows since, so each was "
    "scored by a fit that had not seen it."
)


def notes(context: StepContext) -> list[str]:
    """What the steps before found worth saying."""
    assembly = context.read("assemble", "assembly.json")
    task = Task.model_validate(assembly["task"])
    has_validation = "validation" in context.read("evaluate", "metrics.json")["metrics"]
    return [
        *context.read("profile", "features.json")["notes"],
        *context.read("split", "split.json")["notes"],
        *context.read("table", "info.json")["notes"],
        *([_VALIDATION] if has_validation else []),
        *_shown_notes(read_tested(context.inputs["evaluate"])),
        *_monotone_notes(task, assembly["monotone"]),
        *_reading_notes(assembly["inputs"]),
    ]


def clock_notes(context: StepContext) -> list[str]:
    """What the time was too short for."""
    folds = context.read("split", "split.json")["folds"]
    done = context.read("assemble", "assembly.json")["folds"]
    short = dict.fromkeys(
        role.split(".")[2]
        for role, folder in context.inputs.items()
        if role.startswith("curve.train.") and _was_short(folder)
    )
    found = []
    if short:
        found.append(f"fits of {', '.join(short)} ended early or took larger steps")
    if done < folds:
        found.append(f"models were compared on the rows of {done} of {folds} folds")
    if not found:
        return []
    return [f"The time was short: {', and '.join(found)}. More resources.time may give a better model."]


def _was_short(folder: Path) -> bool:
    if skip_reason(folder) is not None:
        return False
    told = read_json(folder / "train.json")
    return bool(told["cut"]) or told["hurried"] is not None


def _shown_notes(tested: AnsweredRows) -> list[str]:
    """What pictures leave out."""
    shown = shown_rows(tested)
    if shown == len(tested):
        return []
    return [
        f"Pictures of test rows, and the shares in their captions, are of {shown:,} of the {len(tested):,}, "
        "drawn by their hashes. All other numbers are of all test rows."
    ]


def _monotone_notes(task: Task, proven: list[dict[str, Any]]) -> list[str]:
    """What was proven of the columns that may push the prediction one way only."""
    subject = "prediction" if task.positive is None else f"probability of {task.positive}"
    moves = {"increasing": "falls", "decreasing": "rises"}
    return [
        f"The {subject} never {moves[item['direction']]} when only {item['column']} grows. That was proven "
        f"on the ONNX file: {item['rows']:,} rows, each with {item['points']} values over the column's range."
        for item in proven
    ]


def _reading_notes(inputs: list[dict[str, Any]]) -> list[str]:
    """Which columns the ONNX file does not read by itself."""
    return [
        f"model.onnx alone does not read the texts of {item['name']}: it takes what "
        f"{_reads(parse_reading(item['reading']))} in them. `dml` does both."
        for item in inputs
        if item["reading"]
    ]


def _reads(reading: AnyReading) -> str:
    if isinstance(reading, Embedding):
        return f"the embedding model {reading.model}, which the bundle carries, sees"
    return f"the spaCy pipeline {reading.pipeline} {reading.version} finds"


def served_faults(context: StepContext) -> list[str]:
    """What the bundle did not do when it was started."""
    return read_verdict(context.inputs["verify"])


def verified(context: StepContext) -> str:
    """What the served bundle was asked, and how it did."""
    found = context.read("verify", VERIFIED)
    wrong = served_faults(context)
    if wrong or not found:
        return "failed: " + "; ".join(wrong)
    memory = f", {size(found['peak_bytes'])} of memory" if found["peak_bytes"] else ""
    asked = f"{found['rows']:,} rows asked {found['asked']}"
    one, all_rows = latency(found["one_row_seconds"]), latency(found["rows_seconds"])
    return (
        f"started by itself in {seconds(found['start_seconds'])}{memory}; {asked}; "
        f"its answers differ by at most {found['max_difference']:.1e}; one row in {one}, all in {all_rows}; "
        f"{len(found['requests'])} wrong requests refused"
    )
