"""The lock of a run: what it was made of, what each step made, and what the clock decided."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from declarative_ml.core import machine
from declarative_ml.core.atomic import read_json
from declarative_ml.core.digest import digest_json
from declarative_ml.core.versions import library_version
from declarative_ml.engines.base import RunResult
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.planner.code import code_digests
from declarative_ml.planner.keys import step_key
from declarative_ml.report.card_facts import CARD, FACTS
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.spec.lock import entries
from declarative_ml.spec.run_lock import Environment, LockedData, LockedStep, RunLock
from declarative_ml.steps import STEPS
from declarative_ml.steps.context import SKIPPED
from declarative_ml.store.bundle import MANIFEST
from declarative_ml.store.store import Store

_SHOWN = frozenset({"report", "leaderboard"})
_TOLD = frozenset({CARD, FACTS})
"""What is for people: steps and files that hold times that were measured, and the names of files."""


def lock_of(
    loaded: LoadedSpec, plan: Plan, outcome: RunResult, store: Store, digests: Mapping[str, str], threads: int
) -> RunLock:
    """The lock of a run that is over, finished or not. `digests` are those of the plan's files by path."""
    steps = repeated(plan, outcome.actions)
    folder = loaded.path.resolve().parent
    made = made_by(outcome, store, steps)
    return RunLock(
        name=loaded.spec.name,
        seed=loaded.spec.seed,
        spec_digest=loaded.digest,
        data_fingerprint=made.fingerprint,
        model_digest=made.model_digest,
        templates=entries(loaded.templates, folder),
        profile=loaded.profile,
        overrides=loaded.overrides,
        environment=environment(steps, threads),
        data=data_of(steps, folder, digests, made.rows),
        metrics=made.metrics,
        files=made.files,
        steps=made.steps,
        spec=dict(loaded.written),
        code=code_of(steps),
    )


def repeated(plan: Plan, finished: Iterable[str]) -> list[Step]:
    """The finished steps that the bundle comes from, in order. Of a run without a bundle all but those that
    change the world and those that are for the eye."""
    done = set(finished)
    if "package" in done:
        wanted = plan.upstream("package")
    else:
        wanted = {step.id for step in plan.steps if not step.effect and step.kind not in _SHOWN}
    return [step for step in plan.ordered() if step.id in wanted & done]


class Made:
    """What the steps of a run made, as a lock tells it."""

    def __init__(self) -> None:
        self.steps: dict[str, LockedStep] = {}
        self.rows: dict[str, int] = {}
        self.fingerprint = ""
        self.model_digest: str | None = None
        self.metrics: dict[str, dict[str, float | None]] = {}
        self.files: dict[str, str] = {}


def made_by(outcome: RunResult, store: Store, steps: Iterable[Step]) -> Made:
    """What `steps`, which are finished, made."""
    made = Made()
    steps = list(steps)
    folders = {step.id: store.path(outcome.actions[step.id].digest) for step in steps}
    if "package" in folders:
        manifest = read_json(folders["package"] / MANIFEST)
        made.model_digest = manifest["model_digest"]
        made.files = {name: digest for name, digest in manifest["files"].items() if name not in _TOLD}
        made.metrics = manifest["metrics"]
    if "split" in folders:
        made.fingerprint = read_json(folders["split"] / "split.json")["fingerprint"]
    for step in steps:
        made.steps[step.id] = _step(step, outcome, folders[step.id], made.files)
        if step.kind == "acquire":
            made.rows[step.id] = read_json(folders[step.id] / "info.json")["rows"]
    return made


def _step(step: Step, outcome: RunResult, folder: Path, files: Mapping[str, str]) -> LockedStep:
    action = outcome.actions[step.id]
    cut = action.key != step_key(outcome.documents[step.id])
    work = {}
    if step.kind == "train" and not (folder / SKIPPED).exists():
        work = read_json(folder / "train.json")["work"]
    return LockedStep(
        digest=_shipped(step, files) if step.kind in ("convert", "package") else action.digest,
        skipped=action.detail if action.status == "skipped" else None,
        work=work,
        pinned=action.pinned,
        unpinned=cut and not action.pinned,
    )


def _shipped(step: Step, files: Mapping[str, str]) -> str:
    """The artifacts of these steps also hold how long a row took; what they ship does not."""
    prefix = f"formats/{step.id.removeprefix('convert.')}/" if step.kind == "convert" else ""
    return digest_json({name: digest for name, digest in files.items() if name.startswith(prefix)})


def environment(steps: Iterable[Step], threads: int) -> Environment:
    """This machine, with the libraries of `steps`."""
    libraries = sorted({name for step in steps for name in step.libraries})
    return Environment(
        dml=library_version("declarative-ml"),
        python=machine.python(),
        system=machine.system(),
        processor=machine.processor(),
        instructions=machine.instructions(),
        processors=machine.processors(),
        threads=threads,
        variables=machine.variables(),
        libraries={name: library_version(name) for name in libraries},
    )


def data_of(
    steps: Iterable[Step], folder: Path, digests: Mapping[str, str], rows: Mapping[str, int]
) -> dict[str, LockedData]:
    """By step, the files that it read, with names relative to `folder`, and the rows."""
    return {
        step.id: LockedData(
            files={_name(Path(path), folder): digests[path] for path in step.files}, rows=rows.get(step.id)
        )
        for step in steps
        if step.files or step.id in rows
    }


def _name(path: Path, folder: Path) -> str:
    """Relative to the spec; of a file inside an installed package, relative to where packages are."""
    parts = path.parts
    for place in ("site-packages", "dist-packages"):
        if place in parts:
            return "/".join(parts[parts.index(place) + 1 :])
    return Path(os.path.relpath(path, folder)).as_posix()


def code_of(steps: Iterable[Step]) -> dict[str, str]:
    """Module of ours -> digest, of all that is at work in `steps`."""
    return dict(sorted(code_digests({module for step in steps for module in modules_of(step)}).items()))


def modules_of(step: Step) -> list[str]:
    """The modules that a step's code begins with."""
    return [STEPS[step.kind], *step.components]
