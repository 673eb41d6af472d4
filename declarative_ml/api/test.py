"""Put behavioural tests to a trained model: those of a spec, or those that a bundle keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.predict import model_rows, read
from declarative_ml.api.workspace import RUN_FILE, Run, Workspace
from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.behaviour.base import Behaviour, Outcome, Rows, Subject
from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import DataError, GateFailed, UsageError
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.table import unread_inputs
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.steps.behave import TESTS, ask, drawn, rows_to_try, with_answers
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.store.bundle import Bundle, is_bundle

if TYPE_CHECKING:
    import numpy as np

MOST_READ = 100_000
"""Of a file with rows: the tests draw theirs from so many at its beginning."""


@dataclass(frozen=True)
class Behaved:
    """How a model did."""

    model: str
    """Its name."""
    bundle: Path
    rows: str
    """Where the rows come from, in words."""
    outcomes: Sequence[Outcome]
    seconds: Sequence[float]
    """Of each test."""

    @property
    def error(self) -> GateFailed | None:
        """The error for a model that failed a test."""
        faults = [outcome.fault for outcome in self.outcomes if not outcome.passed]
        return GateFailed("; ".join(faults)) if faults else None

    def as_dict(self) -> dict[str, Any]:
        """The object that `dml test --format json` prints."""
        tests = [
            {**outcome.model_dump(mode="json"), "seconds": round(seconds, 3)}
            for outcome, seconds in zip(self.outcomes, self.seconds, strict=True)
        ]
        failed = sum(not outcome.passed for outcome in self.outcomes)
        return {
            "model": self.model,
            "bundle": str(self.bundle),
            "rows": self.rows,
            "passed": len(tests) - failed,
            "failed": failed,
            "tests": tests,
        }


def run_tests(
    path: str,
    data: str | None = None,
    *,
    spec: str | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
) -> Behaved:
    """Test the latest good run of the spec at `path`, or the bundle there.

    The rows are those of the file `data`; without it the test rows of the run that made the model, which a
    bundle has only where it lies in the folder of its run.
    The tests are those of the spec as it is now, of the file `spec`, or of the bundle.
    Raises UsageError without tests, without a run, or without rows; DataError for tests that do not fit.
    """
    if is_bundle(path) if Path(path).exists() else path.endswith(".zip"):
        bundle = Bundle.open(path)
        if spec is None:
            tests, seed = _kept_tests(bundle)
        else:
            loaded = load_spec(spec, profile=profile, overrides=overrides)
            tests, seed = _spec_tests(loaded), loaded.spec.seed
        return _test(bundle, tests, seed, data, _maker(bundle))
    if spec is not None:
        raise UsageError("--spec goes with a bundle", hint=f"the tests of {path} are its own")
    loaded = load_spec(path, profile=profile, overrides=overrides)
    tests = _spec_tests(loaded)
    workspace = Workspace.beside(Path(path), store)
    run = workspace.latest(Path(path), loaded.spec.name)
    if run is None:
        hint = f"train it first: dml run {path}; of a run that failed its tests, name the bundle"
        raise UsageError(f"{path} has no good run yet", hint=hint)
    return _test(Bundle.open(run.bundle), tests, loaded.spec.seed, data, (workspace, run))


def _maker(bundle: Bundle) -> tuple[Workspace, Run] | None:
    """The run in whose folder the bundle lies."""
    folder = bundle.path.resolve().parent
    if not (folder / RUN_FILE).is_file():
        return None
    workspace = Workspace(folder.parent.parent)
    return workspace, workspace.run(folder.name)


def _spec_tests(loaded: LoadedSpec) -> dict[str, Behaviour]:
    if not loaded.spec.tests:
        raise UsageError(f"{loaded.path} has no tests", hint="write some under 'tests': docs/tests.md")
    return dict(loaded.spec.tests)


def _kept_tests(bundle: Bundle) -> tuple[dict[str, Behaviour], int]:
    if TESTS not in bundle.manifest.files:
        raise UsageError(f"{bundle.path} keeps no tests", hint="give the spec that has some: --spec FILE")
    kept = json.loads(bundle.read(TESTS))
    return {item["name"]: BEHAVIOURS.parse(item["test"]) for item in kept["tests"]}, kept["seed"]


def _test(
    bundle: Bundle,
    tests: Mapping[str, Behaviour],
    seed: int,
    data: str | None,
    made_by: tuple[Workspace, Run] | None,
) -> Behaved:
    scorer = Scorer(bundle)
    known = {name: with_answers(test, scorer.task.target) for name, test in tests.items()}
    wanted = max(test.row_limit for test in known.values())
    if not wanted:
        rows, numbers, part = *_rows(scorer, iter(())), "given"
    elif data is not None:
        rows, numbers, part = *_rows(scorer, _read(scorer, data)), "stdin" if data == "-" else Path(data).name
        if not len(numbers):
            raise DataError(f"{data} has no rows")
    elif made_by is not None:
        rows, numbers, part = _rows_of_run(*made_by, scorer, wanted, seed)
    else:
        raise UsageError("the tests need rows", hint=f"dml test {bundle.path} DATA")
    if data is not None:
        chosen = drawn(len(numbers), wanted, seed)
        rows, numbers = {name: values[chosen] for name, values in rows.items()}, numbers[chosen]
    subject = _subject(scorer, rows, numbers, part, seed)
    outcomes, seconds = [], []
    for name, test in known.items():
        began = time.perf_counter()
        outcomes += ask({name: test}, subject)
        seconds.append(time.perf_counter() - began)
    return Behaved(bundle.manifest.name, bundle.path, part, outcomes, seconds)


def _subject(scorer: Scorer, rows: Rows, numbers: np.ndarray, part: str, seed: int) -> Subject:
    import numpy as np

    def predict(rows: Rows) -> np.ndarray:
        scored = scorer.predict_raw(scorer.readers.read(rows))
        answer = scored.prediction if scored.probabilities is None else scored.probabilities
        return np.asarray(answer, dtype=np.float64)

    manifest = scorer.bundle.manifest
    return Subject(
        task=scorer.task,
        inputs=scorer.inputs,
        predict=predict,
        rows=rows,
        numbers=numbers,
        part=part,
        seed=seed,
        threshold=manifest.threshold,
        missing=manifest.missing,
        target_rule=manifest.target_rule,
    )


def _read(scorer: Scorer, data: str) -> Iterator[dict[str, np.ndarray]]:
    """The raw columns of a file, up to MOST_READ rows."""
    count = 0
    for batch in model_rows(scorer.bundle, read(data)):
        yield unread_inputs(scorer, batch.slice(0, MOST_READ - count), first_row=count + 1)
        count += batch.num_rows
        if count >= MOST_READ:
            return


def _rows(scorer: Scorer, parts: Iterator[dict[str, np.ndarray]]) -> tuple[Rows, np.ndarray]:
    """The parts as one, and the positions of their rows."""
    import numpy as np

    dtypes = {item.name: np.float32 if item.dtype == "float32" else object for item in scorer.inputs}
    empty = {name: np.empty((0, 1), dtype=dtype) for name, dtype in dtypes.items()}
    taken = [empty, *parts]
    rows = {name: np.concatenate([part[name] for part in taken]) for name in dtypes}
    return rows, np.arange(len(next(iter(rows.values()))))


def _rows_of_run(
    workspace: Workspace, run: Run, scorer: Scorer, wanted: int, seed: int
) -> tuple[Rows, np.ndarray, str]:
    """The run's own test rows, as its step `behave` draws them."""
    steps = {step["id"]: step for step in read_json(run.folder / "plan.json")["steps"]}
    table, split = (
        workspace.store.path(run.record["digests"][name])
        for name in (steps["evaluate"]["inputs"]["table"], "split")
    )
    if not table.is_dir() or not split.is_dir():
        raise UsageError(
            f"the rows of run {run.id} are no longer in the store",
            hint="name a file with rows: dml test SPEC DATA",
        )
    numbers, part = rows_to_try(split, wanted, seed)
    dtypes = {item.name: item.dtype for item in scorer.inputs}
    return raw_arrays({"table": table}, numbers, dtypes), numbers, part
