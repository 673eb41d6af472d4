"""Convert the graph to one format, and hold what came out against it on real and nasty rows.

files/            the conversion, where it may be used
conversion.json   how it ended (formats.conversion.Conversion)

A conversion that is refused, differs or fails does not end the run: nothing that was learned is lost by it.
A model that a gate or test speaks against is not converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.task import Task
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format, Original
from declarative_ml.formats.conversion import FILES, RESULT, Conversion, convert
from declarative_ml.formats.leaving_out import Labelled
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.metric_names import default_metric
from declarative_ml.steps.context import SKIPPED, StepContext
from declarative_ml.steps.divided import in_table, of_part
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.steps.split import TEST, TRAIN
from declarative_ml.steps.verdict import REJECTED, faults
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np

ROWS = 300
"""So many real rows are compared: test rows, then training rows."""
MOST_LABELLED = 10_000
"""Test rows by which it is told what members that are left out cost."""

_LATE = "resources.time left no time for it; dml convert does it later"


def run(context: StepContext) -> None:
    """Write the files and how it went."""
    wanted = FORMATS.parse(context.params["format"])
    if faults(context):
        write_json(context.out / SKIPPED, {"reason": REJECTED})
        return
    assembly = context.read("assemble", "assembly.json")
    dtypes = {item["name"]: item["dtype"] for item in assembly["inputs"]}
    original = Original(
        content=(context.inputs["assemble"] / "model.onnx").read_bytes(),
        name=context.params["name"],
        task=Task.model_validate(assembly["task"]),
        inputs=tuple(Input.model_validate(item) for item in assembly["inputs"]),
        threshold=assembly["threshold"],
        rows=raw_arrays(context.inputs, _rows(context), dtypes),
        missing=tuple(assembly["missing"]),
    )
    found = _convert(context, original, wanted, dtypes)
    write_json(context.out / RESULT, found.model_dump(mode="json"))


class _Late(Exception):
    """The time of the run is over."""


def _convert(context: StepContext, original: Original, wanted: Format, dtypes: dict[str, Any]) -> Conversion:
    def tick() -> None:
        context.progress(0.2, f"converting to {wanted.name}")
        if context.is_late:
            raise _Late

    late = Conversion(format=wanted.format, name=wanted.name, status="failed", reason=_LATE)
    if context.pinned.get("late"):
        return late
    try:
        tick()
        labelled = _labelled(context, original, dtypes) if wanted.leave_out else None
        return convert(
            original, wanted, context.out / FILES, threads=context.threads, tick=tick, labelled=labelled
        )
    except _Late:
        context.cut_short()
        context.pin({"late": True})
        return late


def _labelled(context: StepContext, original: Original, dtypes: dict[str, Any]) -> Labelled:
    """The first test rows, with what is true of them."""
    split = context.inputs["split"]
    test = of_part(split, TEST)[:MOST_LABELLED]
    return Labelled(
        rows=raw_arrays(context.inputs, in_table(split, test), dtypes),
        truth=DiskRows(split / "target.npy")[test],
        metric=context.params["metric"] or default_metric(original.task),
    )


def _rows(context: StepContext) -> np.ndarray:
    import numpy as np

    split = context.inputs["split"]
    first = [of_part(split, part)[:ROWS] for part in (TEST, TRAIN)]
    return in_table(split, np.concatenate(first)[:ROWS])
