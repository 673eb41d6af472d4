"""Make a run again from its lock, in an empty store and without a clock, and compare every byte."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from declarative_ml.api.lock import Made, data_of, made_by
from declarative_ml.api.machine_differences import Difference, Now, between, cause_of, rows_changed
from declarative_ml.api.planning import inspect_plan, source_files
from declarative_ml.api.run import require_libraries
from declarative_ml.api.workspace import RUN_FILE, Run, Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.engines.base import Job
from declarative_ml.engines.events import Listener, silent
from declarative_ml.engines.local import SKIPPED_FOR, Local
from declarative_ml.formats.conversion import require_format
from declarative_ml.graph.plan import Plan
from declarative_ml.planner.build import build_plan
from declarative_ml.sources.file import FileSource
from declarative_ml.spec.document import FilesSplit, Spec
from declarative_ml.spec.dump import resolve_sources
from declarative_ml.spec.run_lock import BUNDLE_LOCK, RUN_LOCK, LockedStep, RunLock, read_run_lock
from declarative_ml.store.bundle import Bundle, is_bundle


@dataclass(frozen=True)
class Locked:
    """A lock, and where what it names lies."""

    name: str
    """The run's id, or the bundle's path."""
    lock: RunLock
    folder: Path
    """Paths of the spec start here."""
    spec: Path | None
    """The spec's file; None where that is not known, as of a bundle that came without its project."""


def find_locked(wanted: str, store: str | None = None) -> Locked:
    """The lock of a run (its id, the start of it, or `latest`) or of a bundle (a folder or a .zip).

    Raises UsageError for a run that has none, DataError for a bundle that is damaged.
    """
    if is_bundle(wanted):
        return _of_bundle(Path(wanted))
    workspace = Workspace.beside(Path("spec.yaml"), store)
    run = workspace.run(wanted)
    path = run.folder / RUN_LOCK
    if not path.is_file():
        why = "was interrupted" if not run.record else "was made before runs had one"
        raise UsageError(f"run {run.id} has no lock: it {why}", hint="run its spec again")
    spec = _spec_of(run, workspace.root)
    lock = read_run_lock(path.read_text("utf-8"), str(path))
    return Locked(run.id, lock, (spec or Path.cwd() / "spec.yaml").parent, spec)


def _of_bundle(path: Path) -> Locked:
    bundle = Bundle.open(path, verify=True)
    if BUNDLE_LOCK not in bundle.manifest.files:
        raise UsageError(
            f"{path} has no {BUNDLE_LOCK}", hint="it was made before runs had locks: run its spec"
        )
    lock = read_run_lock(bundle.read(BUNDLE_LOCK).decode(), f"{path}: {BUNDLE_LOCK}")
    folder = path.resolve().parent
    spec = None
    if (folder / RUN_FILE).is_file():
        spec = _spec_of(Run(folder.name, folder, read_json(folder / RUN_FILE)), folder.parents[1])
    return Locked(str(path), lock, spec.parent if spec is not None else Path.cwd(), spec)


def _spec_of(run: Run, root: Path) -> Path | None:
    """The spec's file of a run in the workspace at `root`."""
    place = run.record.get("spec_path")
    path = None if place is None else (root.resolve() / place).resolve()
    return path if path is not None and path.parent.is_dir() else None


@dataclass(frozen=True)
class Reproduction:
    """A run that is about to be made again."""

    locked: Locked
    plan: Plan
    """The steps that the lock holds, as this version of declarative-ml plans them."""
    now: Now
    differences: tuple[Difference, ...]
    """Between the lock and this machine."""
    digests: Mapping[str, str]
    spec: Spec

    @property
    def unpinned(self) -> list[str]:
        """The steps of which the lock does not hold what the clock decided."""
        return [name for name, step in self.locked.lock.steps.items() if step.unpinned]


def prepare(locked: Locked, data: Sequence[str] = ()) -> Reproduction:
    """Plan the run of the lock on this machine, and compare the two. Nothing is run.

    `data` are files that take the place of those of the same name, or of the only one, and folders that
    take the place of the spec's. Raises DataError for data that is not there.
    """
    lock = locked.lock
    spec = resolve_sources(_spec(locked, data), _folder(locked, data))
    try:
        whole = build_plan(spec, spec_digest=lock.spec_digest, folder=locked.folder)
        as_then = whole.model_copy(update={"cpu": lock.environment.threads})
        plan = needed_for(as_then, lock.steps)
        with tempfile.TemporaryDirectory() as folder:
            digests = Workspace(Path(folder)).digests(source_files(plan))
    except (DataError, OSError) as error:
        reason = error.message if isinstance(error, DataError) else str(error)
        raise DataError(reason, hint="say where the data lies now: --data PATH") from error
    now = Now.of(plan, lock, data_of(plan.steps, locked.folder, digests, {}))
    found = between(lock, now, locked.spec)
    return Reproduction(locked, plan, now, tuple(found), digests, spec)


def needed_for(plan: Plan, wanted: Iterable[str]) -> Plan:
    """The part of the plan that makes what the steps `wanted` make, those that are new since included."""
    ids = {step.id for step in plan.steps}
    needed = {each for name in wanted if name in ids for each in plan.upstream(name)}
    return plan.model_copy(update={"steps": tuple(step for step in plan.steps if step.id in needed)})


def compared(plan: Plan) -> set[str]:
    """The steps that must come out the same: those that the bundle is made of. What only decides whether the
    model is let out is not among them: a champion may be another one by now, and gates measure times."""
    ids = {step.id for step in plan.steps}
    if "package" not in ids:
        return ids
    found = {"package"}
    for needed in plan["package"].inputs.values():
        if plan[needed].kind != "gate":
            found |= {needed} if plan[needed].kind == "convert" else plan.upstream(needed)
    return found


def _spec(locked: Locked, data: Sequence[str]) -> Spec:
    """The spec of the lock, with the files of `data` in place of its own."""
    try:
        spec = Spec.model_validate(locked.lock.spec)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"this version of declarative-ml does not take the spec of the lock: {place}: {first['msg']}",
            hint=f"pip install declarative-ml=={locked.lock.environment.dml}",
        ) from error
    files = [Path(path).absolute() for path in data if not Path(path).is_dir()]
    if absent := [path for path in files if not path.is_file()]:
        raise DataError(f"there is no file {absent[0]}", hint="--data names a file or a folder")
    own = {id(source): source for source in _file_sources(spec)}
    moved = _moved(list(own.values()), files)
    return _replaced(spec, moved)


def _file_sources(spec: Spec) -> list[FileSource]:
    data = spec.data
    sources: list[Any] = [data.source, *data.sources.values()]
    if isinstance(data.split, FilesSplit):
        sources += [data.split.test, data.split.validation]
    return [source for source in sources if isinstance(source, FileSource)]


def _moved(sources: Sequence[FileSource], files: Iterable[Path]) -> dict[FileSource, FileSource]:
    """Source -> the same with the paths of `files`. Raises UsageError for a file that is none of them."""
    paths = {path: source for source in sources for path in _paths(source)}
    places: dict[str, str] = {}
    for file in files:
        same = [path for path in paths if Path(path).name == file.name]
        wanted = same or (list(paths) if len(paths) == 1 else [])
        if len(wanted) != 1:
            known = ", ".join(paths) or "none"
            raise UsageError(f"--data {file}: no file of the spec has this name", hint=f"its files: {known}")
        places[wanted[0]] = str(file)
    found = {}
    for source in sources:
        new = tuple(places.get(path, path) for path in _paths(source))
        found[source] = source.model_copy(update={"path": new[0] if isinstance(source.path, str) else new})
    return found


def _paths(source: FileSource) -> tuple[str, ...]:
    return (source.path,) if isinstance(source.path, str) else source.path


def _replaced(spec: Spec, moved: Mapping[FileSource, FileSource]) -> Spec:
    def new(source: Any) -> Any:
        return moved[source] if isinstance(source, FileSource) else source

    data = spec.data
    update: dict[str, Any] = {"source": new(data.source)}
    update["sources"] = {name: new(source) for name, source in data.sources.items()}
    if isinstance(data.split, FilesSplit):
        parts = {"test": new(data.split.test), "validation": new(data.split.validation)}
        update["split"] = data.split.model_copy(update=parts)
    return spec.model_copy(update={"data": data.model_copy(update=update)})


def _folder(locked: Locked, data: Sequence[str]) -> Path:
    folders = [Path(path).resolve() for path in data if Path(path).is_dir()]
    if len(folders) > 1:
        raise UsageError("--data names several folders", hint="one folder takes the place of the spec's")
    return folders[0] if folders else locked.folder


def reproduce(
    again: Reproduction,
    *,
    listener: Listener = silent,
    on_plan: Callable[[Plan, list[Any]], None] | None = None,
) -> dict[str, Any]:
    """Run the plan in an empty store, without a clock, and compare. Returns what `dml reproduce --format
    json` prints. Raises the error of a step that fails."""
    lock, plan = again.locked.lock, again.plan
    for wanted in again.spec.convert:
        require_format(wanted)
    require_libraries(plan.steps)
    with tempfile.TemporaryDirectory(prefix="dml-reproduce-") as folder:
        workspace = Workspace(Path(folder))
        if on_plan is not None:
            on_plan(plan, list(inspect_plan(plan, workspace, again.digests, {})))
        job = Job(
            plan,
            workspace.store,
            workspace.root,
            threads=plan.threads,
            file_digests=again.digests,
            listener=listener,
            pinned=pins(lock),
        )
        outcome = Local().run(job)
        if outcome.error is not None:
            raise outcome.error
        made = made_by(outcome, workspace.store, list(plan.ordered()))
    return compare(again, made)


def pins(lock: RunLock) -> dict[str, Mapping[str, Any]]:
    """What the clock decided, by step. A conversion that the run did without stays out: whether the gates
    let it out may depend on a champion that was another one then."""
    return {
        name: {SKIPPED_FOR: step.skipped} if _was_kept_in(name, step) else step.pinned
        for name, step in lock.steps.items()
    }


def _was_kept_in(name: str, step: LockedStep) -> bool:
    return name.startswith("convert.") and step.skipped is not None


def compare(again: Reproduction, made: Made) -> dict[str, Any]:
    """What came out the same, and what did not: at which step first, and why."""
    lock = again.locked.lock
    differences = [*again.differences, *rows_changed(lock, made.rows)]
    gone = {name for name in lock.steps if name not in made.steps}
    held = {name: lock.steps[name] for name in lock.steps if name in compared(again.plan) | gone}
    steps = [name for name, step in held.items() if _digest(made, name) != step.digest]
    files = _differing(lock.files, made.files)
    metrics = _differing(_flat(lock.metrics), _flat(made.metrics))
    equal = not (steps or files or metrics) and made.model_digest == lock.model_digest
    first = None
    if steps:
        why = cause_of(steps[0], again.plan, lock, again.now, differences)
        first = {"step": steps[0], "why": why}
    return {
        "run": again.locked.name,
        "equal": equal,
        "model_digest": [lock.model_digest, made.model_digest],
        "differences": [each.as_dict() for each in differences],
        "first": first,
        "steps": {name: [lock.steps[name].digest, _digest(made, name)] for name in steps},
        "files": files,
        "metrics": metrics,
        "compared": {"steps": len(held), "files": len(lock.files), "metrics": len(_flat(lock.metrics))},
        "pinned": {name: step.pinned for name, step in lock.steps.items() if step.pinned},
        "unpinned": again.unpinned,
    }


def _digest(made: Made, step: str) -> str | None:
    return made.steps[step].digest if step in made.steps else None


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys([*then, *now])
    return {name: [then.get(name), now.get(name)] for name in names if then.get(name) != now.get(name)}


def _flat(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {f"{part} {name}": value for part, scores in metrics.items() for name, value in scores.items()}
