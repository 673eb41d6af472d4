"""Ask the ONNX file what the spec's behavioural tests ask, on test rows.

behave.json    the outcomes (behaviour.base.Outcome), in the order of the spec
tests.json     the tests with the rows of their files: what the bundle keeps, for `dml test BUNDLE`
verdict.json   a fault for each test that failed

Without test rows (`test: 0`) the training rows stand in, and every outcome says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.behaviour.base import Behaviour, Outcome, Rows, Subject
from declarative_ml.behaviour.expectation import MOST_ROWS, Expectation
from declarative_ml.core.atomic import write_json
from declarative_ml.core.schema import ColumnRule
from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.scoring.readings import as_column
from declarative_ml.scoring.session import open_session, run_graph
from declarative_ml.sources.file import FileSource
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import of_part
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.steps.readings import readers_of
from declarative_ml.steps.split import TEST
from declarative_ml.steps.verdict import write_verdict
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np

OUTCOMES, TESTS = "behave.json", "tests.json"


def run(context: StepContext) -> None:
    """Write the outcomes and the verdict."""
    task = Task.model_validate(context.read("assemble", "assembly.json")["task"])
    files = context.step.outside.get("files", {})
    tests = {
        name: with_answers(BEHAVIOURS.parse({**options, **_file(files, name)}), task.target)
        for name, options in context.params["tests"].items()
    }
    outcomes = ask(tests, _subject(context, task, tests.values()), context.progress)
    write_json(context.out / OUTCOMES, [outcome.model_dump(mode="json") for outcome in outcomes])
    kept = [{"name": name, "test": test.options()} for name, test in tests.items()]
    write_json(context.out / TESTS, {"seed": context.params["seed"], "tests": kept})
    write_verdict(context.out, [outcome.fault for outcome in outcomes if not outcome.passed])


def ask(
    tests: Mapping[str, Behaviour], subject: Subject, progress: Any = lambda fraction, message: None
) -> list[Outcome]:
    """The outcome of each test. Raises DataError for a test that does not fit the model."""
    outcomes = []
    for number, (name, test) in enumerate(tests.items(), 1):
        outcomes.append(test.check(name, subject))
        progress(number / len(tests), name)
    return outcomes


def with_answers(test: Behaviour, target: str) -> Behaviour:
    """The test with the rows of its file of expected answers, where it has one. Raises DataError."""
    if not isinstance(test, Expectation) or test.file is None:
        return test
    rows: list[dict[str, Any]] = []
    for batch in FileSource(type="file", path=test.file).batches():
        rows += batch.slice(0, MOST_ROWS + 1 - len(rows)).to_pylist()
        if len(rows) > MOST_ROWS:
            break
    return test.with_rows(rows, target)


def drawn(count: int, wanted: int, seed: int) -> np.ndarray:
    """At most `wanted` of `count` rows in a random order, which the seed and `count` decide."""
    import numpy as np

    return np.random.default_rng(seed).permutation(count)[:wanted]


def _file(files: Mapping[str, str], name: str) -> dict[str, str]:
    return {"file": files[name]} if name in files else {}


def _subject(context: StepContext, task: Task, tests: Iterable[Behaviour]) -> Subject:
    """The assembled graph, and as many rows as the tests want."""
    assembly = context.read("assemble", "assembly.json")
    inputs = tuple(Input.model_validate(item) for item in assembly["inputs"])
    wanted = max((test.row_limit for test in tests), default=0)
    rows, part = rows_to_try(context.inputs["split"], wanted, context.params["seed"])
    dtypes = {item.name: item.dtype for item in inputs}
    rule = assembly["target_rule"]
    return Subject(
        task=task,
        inputs=inputs,
        predict=_predictor(context, inputs),
        rows=raw_arrays({"table": context.inputs["table"]}, rows, dtypes),
        numbers=rows,
        part=part,
        seed=context.params["seed"],
        threshold=assembly["threshold"],
        missing=tuple(assembly["missing"]),
        target_rule=None if rule is None else ColumnRule.model_validate(rule),
    )


def rows_to_try(split: Path, wanted: int, seed: int) -> tuple[np.ndarray, str]:
    """Positions in the table, in a random order, and the part that they are from, of a split's artifact."""
    test, order = of_part(split, TEST), DiskRows(split / "order.npy")
    if not len(test):
        return order[drawn(len(order), wanted, seed)], "training"
    return order[test[drawn(len(test), wanted, seed)]], "test"


def _predictor(context: StepContext, inputs: tuple[Input, ...]) -> Any:
    """What runs the graph: texts that need a reading get it first."""
    session = open_session((context.inputs["assemble"] / "model.onnx").read_bytes(), threads=context.threads)
    readers = readers_of(context, {item.name: item.reading for item in inputs if item.reading is not None})

    def predict(rows: Rows) -> np.ndarray:
        read = {name: as_column(reader.read(rows[name].ravel().tolist())) for name, reader in readers.items()}
        return run_graph(session, {**rows, **read})

    return predict
