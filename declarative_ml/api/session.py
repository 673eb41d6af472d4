"""The Python API: what the verbs do, as functions. `import declarative_ml as dml` has all of these names.

A spec may be given as what `load` returned or as the path of a file, a model as a `Bundle`, a `Run`, a
`Spec` (its latest good run) or a path, a table as that of any library. Nothing is printed unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.handles.bundle import Bundle
from declarative_ml.api.handles.plan import Plan
from declarative_ml.api.handles.results import (
    Comparison,
    Difference,
    Drawing,
    Evaluation,
    Explanation,
    Leaderboard,
    Problems,
)
from declarative_ml.api.handles.rows import Rows
from declarative_ml.api.handles.run import Run, Runs
from declarative_ml.api.handles.spec import Spec
from declarative_ml.api.lifecycle import (
    card,
    check,
    deploy,
    export_notebook,
    list_models,
    monitor,
    package,
    promote,
    reproduce,
    rollback,
    serve,
    test,
)
from declarative_ml.api.upkeep import doctor, migrate, schema, templates
from declarative_ml.core.errors import (
    DataError,
    DmlError,
    GateFailed,
    MissingDependency,
    Problem,
    SpecError,
    StepFailed,
    UsageError,
)

if TYPE_CHECKING:
    from declarative_ml.api.annotate import LabelTasks
    from declarative_ml.api.convert import FormatState
    from declarative_ml.api.workspace import Workspace
    from declarative_ml.formats.conversion import Conversion
    from declarative_ml.spec.load import Lock

SPEC = "spec.yaml"

AnySpec = Spec | str | Path
Model = Bundle | Run | Spec | str | Path


def init(
    data: str | Path,
    target: str,
    path: str | Path = SPEC,
    *,
    name: str | None = None,
    force: bool = False,
    checks: bool = False,
) -> Spec:
    """Look at a file of rows (or `sample:NAME`), write a commented spec for it to `path`, and load it; with
    `checks` a data contract too.

    Raises UsageError when `path` exists and `force` is not set, DataError when the data cannot be learned
    from.
    """
    from declarative_ml.api.init import init_spec

    init_spec(str(data), target, Path(path), name=name, force=force, checks=checks)
    return load(path)


def load(
    path: str | Path = SPEC,
    *,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    data: bool = True,
    locked: bool = False,
) -> Spec:
    """Read and check a spec, with a profile and `{"model.rounds": 50}` laid over it.

    `data` also reads the header of local data, so that unknown columns are found. Raises SpecError with all
    problems, and with `data` DataError where unreadable data is all that is wrong.
    """
    from declarative_ml.spec.load import load_spec

    lock: Lock = "require" if locked else "use"
    return Spec(load_spec(path, profile=profile, overrides=_arguments(overrides), data=data, lock=lock))


def validate(
    *paths: str | Path,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    data: bool | None = None,
    locked: bool = False,
) -> Problems:
    """Every problem of one spec or several; raises for none of them.

    `data=True` also asks databases for their columns, `data=False` reads no data.
    """
    from declarative_ml.spec.data_checks import unreadable
    from declarative_ml.spec.load import load_spec

    lock: Lock = "require" if locked else "use"
    found: list[Problem] = []
    texts: dict[str, str] = {}
    for path in paths or (SPEC,):
        given: dict[str, Any] = {"profile": profile, "overrides": _arguments(overrides)}
        try:
            loaded = load_spec(path, data=data is not False, remote=data is True, lock=lock, **given)
        except SpecError as error:
            found += error.problems
            texts |= error.texts
            continue
        except DataError as error:
            loaded = load_spec(path, **given)
            found.append(unreadable(error, loaded.positions))
        found += loaded.problems
        texts |= loaded.texts
    return Problems(tuple(found), texts)


def plan(spec: AnySpec = SPEC, *, store: str | Path | None = None) -> Plan:
    """The execution graph: each step, whether it is cached or would run, and why. Nothing runs."""
    from declarative_ml.api.planning import inspect_spec

    return Plan.ahead(*inspect_spec(_spec(spec).loaded, _text(store)))


def run(
    spec: AnySpec = SPEC,
    *,
    store: str | Path | None = None,
    until: str | None = None,
    fresh: bool | Sequence[str] = False,
    jobs: int | None = None,
    engine: str | Mapping[str, Any] = "local",
    progress: bool = False,
    check: bool = True,
) -> Run:
    """Run a spec to its bundle and report. What is cached is not run again; an interrupted run resumes.

    `until` stops after a step, `fresh` runs all steps again or those named, `progress` shows what happens,
    `engine` says where: `ray`, or with its options `{"type": "ray", "address": "auto"}`.
    Raises what went wrong: StepFailed, DataError, GateFailed, …; with `check=False` that is in the run's
    `error` as soon as there is a run.
    """
    from declarative_ml.api.progress import Progress
    from declarative_ml.api.run import RunOptions, engine_of, run_spec

    where, loaded = engine_of(engine), _spec(spec).loaded
    again = None if fresh is False else [] if fresh is True else list(fresh)
    with Progress(enabled=progress) as shown:
        done = run_spec(
            loaded,
            RunOptions(
                store=_text(store),
                until=until,
                fresh=again,
                jobs=jobs,
                engine=where,
                listener=shown.listen,
                on_plan=shown.begin,
            ),
        )
    if check and done.error is not None:
        raise done.error
    workspace = _workspace(loaded.path, store)
    return Run(workspace.run(done.result["run"]), workspace, result=done.result, error=done.error)


def open(model: Model) -> Bundle:
    """The model of a path (of a bundle, or of a spec: its latest good run), of a run, or of a spec.

    Raises UsageError for a spec without a good run, DataError for a damaged bundle. Never trains.
    """
    from declarative_ml.api.model import open_model

    if isinstance(model, Bundle):
        return model
    if isinstance(model, Run):
        return model.bundle
    if not isinstance(model, Spec):
        return Bundle(open_model(str(model)))
    workspace = _workspace(model.path)
    latest = workspace.latest(model.path, model.name)
    if latest is None:
        raise UsageError(f"{model.path} has no finished run yet", hint="train it first: run(spec)")
    return Run(latest, workspace).bundle


def predict(model: Model, table: Any, *, keep: Sequence[str] = ()) -> Any:
    """The answers for a table, in the form of that table; see `Bundle.predict`."""
    return open(model).predict(table, keep=keep)


def annotate(
    model: Model,
    table: Any,
    output: str | Path = "tasks.json",
    *,
    least_confident: int | None = None,
    labelled: bool = False,
) -> LabelTasks:
    """The rows of a table without a label as tasks of Label Studio, with the model's answers, and the
    labelling interface beside them (.xml); only the `least_confident` of them, where that is given.
    """
    return open(model).annotate(table, output, least_confident=least_confident, labelled=labelled)


def evaluate(model: Model, table: Any, *, slices: Sequence[str] = ()) -> Evaluation:
    """A model measured on labelled rows; see `Bundle.evaluate`."""
    return open(model).evaluate(table, slices=slices)


def explain(model: Model, table: Any = None, *, seed: int | None = None) -> Explanation:
    """Why a model predicts what it does: for rows, or as its run stored it; see `Bundle.explain`."""
    return open(model).explain(table, seed=seed)


def convert(model: Model, to: str, output: str | Path | None = None, **options: Any) -> Conversion:
    """One more format of a model, held against model.onnx; see `Bundle.convert`."""
    return open(model).convert(to, output, **options)


def list_formats() -> list[FormatState]:
    """The formats that a model can be converted to, and what of them is not installed."""
    from declarative_ml.api.convert import formats

    return formats()


def runs(spec: AnySpec = SPEC, *, store: str | Path | None = None) -> Runs:
    """The runs in the workspace beside the spec, or in `store`, the newest first."""
    workspace = _workspace(_path(spec), store)
    return Runs([Run(found, workspace) for found in workspace.runs()])


def find_run(run: Run | str = "latest", spec: AnySpec = SPEC, *, store: str | Path | None = None) -> Run:
    """One run by its id, the start of an id, or `latest`. Raises UsageError naming the newest."""
    if isinstance(run, Run):
        return run
    workspace = _workspace(_path(spec), store)
    return Run(workspace.run(run), workspace)


def compare(
    first: Run | str,
    second: Run | str = "latest",
    *,
    spec: AnySpec = SPEC,
    store: str | Path | None = None,
) -> Comparison:
    """What differs between two runs, or bundles by their paths: metrics on the same rows, options, costs."""
    from declarative_ml.api import compare as comparing

    names = [str(each.record.bundle) if isinstance(each, Run) else each for each in (first, second)]
    found = comparing.compare(names[0], names[1], _workspace(_path(spec), store))
    return Comparison(comparing.as_json(found), found)


def diff(first: AnySpec, second: AnySpec) -> Difference:
    """What two specs mean differently, templates and all, and which steps would run again because of it."""
    from declarative_ml.api.diff import diff_specs

    found = diff_specs(*(_spec(each, data=False).loaded for each in (first, second)))
    return Difference(found["options"], found["steps"])


def why(step: str, spec: AnySpec = SPEC, *, store: str | Path | None = None) -> dict[str, str]:
    """Step -> why it would run or not, for an id, a kind, or the start of an id."""
    from declarative_ml.api.run import matching_steps

    found = plan(spec, store=store)
    wanted = matching_steps(found.graph, step)
    return {each.id: f"{each.status}: {found.why[each.id]}" for each in found.steps if each.id in wanted}


def gc(keep: int = 5, spec: AnySpec = SPEC, *, store: str | Path | None = None) -> tuple[int, int]:
    """Delete from the store what the `keep` newest runs do not need. Returns (artifacts, bytes) deleted."""
    from declarative_ml.api.gc import collect_garbage

    return collect_garbage(_workspace(_path(spec), store), keep)


def _spec(spec: AnySpec, *, data: bool = True) -> Spec:
    return spec if isinstance(spec, Spec) else load(spec, data=data)


def _path(spec: AnySpec) -> Path:
    return spec.path if isinstance(spec, Spec) else Path(spec)


def _text(store: str | Path | None) -> str | None:
    return None if store is None else str(store)


def _workspace(beside: Path, store: str | Path | None = None) -> Workspace:
    from declarative_ml.api.workspace import Workspace

    return Workspace.beside(beside, _text(store))


def _arguments(overrides: Mapping[str, Any] | None) -> list[str]:
    """Overrides as `--set` takes them."""
    import json

    return [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in (overrides or {}).items()]


__all__ = [
    "Bundle",
    "Comparison",
    "DataError",
    "Difference",
    "DmlError",
    "Drawing",
    "Evaluation",
    "Explanation",
    "GateFailed",
    "Leaderboard",
    "MissingDependency",
    "Plan",
    "Problem",
    "Problems",
    "Rows",
    "Run",
    "Runs",
    "Spec",
    "SpecError",
    "StepFailed",
    "UsageError",
    "card",
    "check",
    "compare",
    "convert",
    "deploy",
    "diff",
    "doctor",
    "evaluate",
    "explain",
    "export_notebook",
    "find_run",
    "gc",
    "init",
    "list_formats",
    "list_models",
    "load",
    "migrate",
    "monitor",
    "open",
    "package",
    "plan",
    "predict",
    "promote",
    "reproduce",
    "rollback",
    "run",
    "runs",
    "schema",
    "serve",
    "templates",
    "test",
    "validate",
    "why",
]
