"""Start the packaged bundle as it is served, ask it, and hold its answers against the run's own.

verify.json    rows, differences, refused requests, time to start and to answer, memory
verdict.json   what is wrong with it

The rows go the whole way that a client's rows go: raw values over HTTP, as JSON and as Arrow, parsed by the
bundle's own rules in the service, which has nothing of training. Its answers must be those that `evaluate`
measured. Where the extra `serve` is not installed a slim process answers in its place: the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import installed
from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.scoring.parse import raw_values
from declarative_ml.scoring.served import Served, serve
from declarative_ml.scoring.session import open_session, run_graph
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.steps.table import read_rows
from declarative_ml.steps.tested import read_tested
from declarative_ml.steps.verdict import write_verdict
from declarative_ml.store.bundle import Bundle, Input

if TYPE_CHECKING:
    import numpy as np

RESULT = "verify.json"
ROWS = 100
TOLERANCE = 1e-6
"""Of a probability; of a number ten times as much, in shares of its size and of how far the numbers spread:
the graph adds up in units of the spread, so a number near 0 is no more exact than the others."""
NEEDED = ("fastapi", "uvicorn", "msgspec", "httptools", "prometheus_client")
"""Of the service."""
ARROW = "application/vnd.apache.arrow.stream"
_ARROW = " as Arrow"
_WITHOUT_HTTP = "not over HTTP but through pipes: the extra 'serve' is not installed"
_TIMES = 10
_NONSENSE = "\u2603 no number"


def run(context: StepContext) -> None:
    """Write what was found and the verdict."""
    try:
        found, faults = _verify(context)
    except DataError as error:
        found, faults = {}, [f"the bundle does not start: {error.message}"]
    write_json(context.out / RESULT, found)
    write_verdict(context.out, faults)


def _verify(context: StepContext) -> tuple[dict[str, Any], list[str]]:
    bundle = Bundle.open(context.inputs["package"])
    manifest = bundle.manifest
    rows, expected = _expected(context, manifest.task, manifest.inputs)
    bodies = _bodies(context, rows, manifest.inputs, manifest.missing)
    folder = context.step.outside.get("folder")

    def tick() -> None:
        context.progress(0.3, "waiting for the served bundle")

    over_http = all(map(installed, NEEDED))
    place = Path(folder) if folder else None
    with serve(bundle.path, context.scratch, folder=place, tick=tick, over_http=over_http) as served:
        context.progress(0.5, "asking it")
        faults = []
        if served.model_digest != manifest.model_digest:
            faults.append("the served bundle names another model_digest than bundle.json")
        together = served.ask({"rows": bodies})
        unit = _unit(manifest.task, expected)
        difference = _difference(manifest.task, together, expected, unit, faults)
        if over_http and not faults:
            arrow = _as_arrow(served, bodies, manifest.task)
            _difference(manifest.task, arrow, expected, unit, faults, _ARROW)
        refused = list(_refusals(served, bodies[0], manifest.inputs, faults))
        otherwise: list[str] = []
        _difference(manifest.task, served.ask({"rows": bodies[:1]}), expected[:1], unit[:1], otherwise)
        if otherwise and not faults:
            faults.append("after refused requests, or alone, the first row gets another answer")
        found = {
            "rows": len(bodies),
            "asked": "over HTTP, as JSON and Arrow" if over_http else _WITHOUT_HTTP,
            "max_difference": difference,
            "tolerance": _tolerance(manifest.task),
            "requests": refused,
            "start_seconds": round(served.start_seconds, 3),
            "one_row_seconds": _seconds(served, bodies[:1]),
            "rows_seconds": _seconds(served, bodies),
            "peak_bytes": served.peak_bytes(),
        }
    return found, faults


def _expected(context: StepContext, task: Task, inputs: tuple[Input, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of rows, and what the run measured of them: [n, C] or [n]. Of training rows the graph is
    asked, as there are no test rows."""
    tested = read_tested(context.inputs["evaluate"])
    if len(tested):
        return tested.rows[:ROWS], tested.prediction[:ROWS]
    rows = DiskRows(context.inputs["split"] / "order.npy")[:ROWS]
    session = open_session((context.inputs["assemble"] / "model.onnx").read_bytes())
    dtypes = {item.name: item.dtype for item in inputs}
    return rows, run_graph(session, raw_arrays(context.inputs, rows, dtypes))


def _bodies(
    context: StepContext, rows: np.ndarray, inputs: tuple[Input, ...], missing: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The rows as a client sends them. Cells that are not of their column's type count as missing in the run
    and are null here: a service refuses them."""
    table = read_rows(context.inputs["table"], rows, [item.name for item in inputs])
    columns = {}
    for item in inputs:
        values = [_for_json(value) for value in table.column(item.name).to_pylist()]
        for row, _ in raw_values(values, item.dtype, item.rule, missing)[1]:
            values[row] = None
        columns[item.name] = values
    return [{name: values[row] for name, values in columns.items()} for row in range(len(rows))]


def _for_json(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and value != value else value


def _unit(task: Task, expected: np.ndarray) -> np.ndarray:
    """What a difference of each row is measured in, in the shape of `expected`."""
    import numpy as np

    if task.is_classification:
        return np.ones_like(expected)
    return np.asarray(1.0 + np.abs(expected) + expected.std())


def _difference(
    task: Task,
    answered: dict[str, Any],
    expected: np.ndarray,
    unit: np.ndarray,
    faults: list[str],
    sent: str = "",
) -> float | None:
    """The largest difference to what the run measured, in units; None when the rows were not answered."""
    import numpy as np

    if "error" in answered:
        faults.append(f"real rows{sent} are refused: {answered['error']['message']}")
        return None
    items = answered["predictions"]
    if task.is_classification:
        found = np.array([[item["probabilities"][name] for name in task.classes] for item in items])
    else:
        found = np.array([item["prediction"] for item in items])
    largest = float((np.abs(found - expected) / unit).max())
    if not largest <= _tolerance(task):
        faults.append(
            f"the served bundle answers{sent} otherwise than the run measured: by up to {largest:.2g}"
        )
    return largest


def _as_arrow(served: Served, bodies: list[dict[str, Any]], task: Task) -> dict[str, Any]:
    """The answer to the same rows as an Arrow stream, in the shape of the one to JSON."""
    import pyarrow as pa

    table = pa.Table.from_pylist(bodies)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = served.post(sink.getvalue().to_pybytes(), ARROW)
    try:
        answered = pa.ipc.open_stream(body).read_all().to_pylist()
    except pa.ArrowInvalid:
        return {"error": {"message": body.decode("utf-8", "replace")}}
    if not task.is_classification:
        return {"predictions": answered}
    shares = [{name: row[f"probability_{name}"] for name in task.classes} for row in answered]
    return {"predictions": [{"probabilities": row} for row in shares]}


def _tolerance(task: Task) -> float:
    return TOLERANCE if task.is_classification else 10 * TOLERANCE


def _refusals(
    served: Served, row: dict[str, Any], inputs: tuple[Input, ...], faults: list[str]
) -> Iterator[dict[str, str]]:
    """Requests that cannot be answered, with what the client is told. It must name the column."""
    for name, request, column in _nonsense(row, inputs):
        told = served.ask(request)
        message = str(told.get("error", {}).get("message", ""))
        if not message:
            faults.append(f"a request with {name} is answered as if it were right")
        elif column not in message:
            faults.append(f"the error for {name} does not name the column '{column}': {message}")
        yield {"request": name, "message": message}


def _nonsense(row: dict[str, Any], inputs: tuple[Input, ...]) -> Iterator[tuple[str, Any, str]]:
    """What the request has, the request, and the column that its error must name."""
    first = inputs[0].name
    without = {name: value for name, value in row.items() if name != first}
    yield "a missing column", {"rows": [without]}, first
    yield "an object for a value", {"rows": [{**row, first: {"value": 1}}]}, first
    number = next((item.name for item in inputs if item.dtype == "float32"), None)
    if number is not None:
        yield "a word for a number", {"rows": [{**row, number: _NONSENSE}]}, number
    yield "no rows", {"rows": []}, ""
    yield "a number for a row", {"rows": [1]}, ""
    yield "half a body", b'{"rows": [', ""


def _seconds(served: Served, rows: list[dict[str, Any]]) -> float:
    """The median time of an answer, the way to the process and back included."""
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        served.ask({"rows": rows})
        taken.append(time.perf_counter() - began)
    return round(median(taken), 6)
