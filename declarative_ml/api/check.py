"""Hold data against the contract of a spec, without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from declarative_ml.api.column_changes import column_changes
from declarative_ml.api.planning import CHECK, make_plan, source_files
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import UsageError
from declarative_ml.engines.base import Job
from declarative_ml.engines.events import Listener, silent
from declarative_ml.engines.local import Local
from declarative_ml.spec.champion_columns import ColumnChange
from declarative_ml.spec.document import Spec
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.check import CHECKS
from declarative_ml.steps.finding import ContractReport, ContractViolated, Finding
from declarative_ml.steps.table import read_schema


@dataclass(frozen=True)
class Checked:
    """How the data did."""

    spec: str
    """Path of the spec."""
    data: str
    """Where the rows come from, in words."""
    report: ContractReport
    changes: tuple[ColumnChange, ...] = ()
    """How its columns differ from those of the champion, if there is one."""

    @property
    def error(self) -> ContractViolated | None:
        """The error for data that breaks a check of severity `error`."""
        return ContractViolated(self.report) if self.report.violations else None

    def as_dict(self) -> dict[str, Any]:
        """The object that `dml check --format json` prints."""
        return {
            "spec": self.spec,
            "data": self.data,
            "passed": not self.report.violations,
            "warnings": len(self.report.warnings),
            "changes": [asdict(item) for item in self.changes],
            **self.report.as_dict(),
        }


def check_data(
    path: str | Path,
    data: str | None = None,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
    listener: Listener = silent,
) -> Checked:
    """Hold the source of the spec at `path`, or the file `data` in its place, against `data.checks`.

    Raises UsageError for a spec without checks, DataError for data that cannot be read or a rule that does
    not run. Rows that break the contract are no exception here: they are in the result.
    """
    if data is not None:
        _require_one_source(load_spec(Path(path), profile=profile, overrides=overrides).spec)
        overrides = (*overrides, f"data.source={Path(data).resolve()}")
    loaded = load_spec(Path(path), profile=profile, overrides=overrides)
    if loaded.spec.data.checks is None:
        raise UsageError(f"{path} has no checks", hint="write some under data.checks: docs/checks.md")
    workspace = Workspace.beside(Path(path), store)
    plan = make_plan(loaded, workspace)
    job = Job(
        plan,
        workspace.store,
        workspace.root,
        jobs=1,
        threads=plan.threads,
        file_digests=workspace.digests(source_files(plan)),
        listener=listener,
    )
    with workspace.store.in_use():
        reports, digests = _hold(job)
    report = ContractReport(
        sum(each.rows for each in reports), tuple(item for each in reports for item in each.findings)
    )
    if loaded.spec.data.source is None:
        words = " and ".join(plan[step.inputs["table"]].title for step in plan.steps if step.kind == CHECK)
        return Checked(str(path), words, report)
    source = "acquire.source"
    columns = read_schema(workspace.store.path(digests[source])).columns
    changes = column_changes(loaded.spec, workspace, columns)
    return Checked(str(path), data or plan[source].title, report, changes)


def _require_one_source(spec: Spec) -> None:
    """Raise UsageError where a file could not stand for the source of the spec."""
    if spec.data.source is None:
        names = ", ".join(spec.data.sources)
        hint = f"name the one to exchange: --set data.sources.NAME=FILE; there are {names}"
        raise UsageError("the spec has several sources", hint=hint)


def _hold(job: Job) -> tuple[list[ContractReport], dict[str, str]]:
    """The report of each part of the contract, and the digests of what was made on the way, by step.

    A part that is broken does not hide the others, save those of rows that come of it. Raises the error of a
    step that fails otherwise.
    """
    plan, store = job.plan, job.store
    left = [step.id for step in plan.steps if step.kind == CHECK]
    reports: dict[str, ContractReport] = {}
    digests: dict[str, str] = {}
    while left:
        outcome = Local().run(job, only=frozenset().union(*map(plan.upstream, left)))
        digests |= {name: action.digest for name, action in outcome.actions.items()}
        reports |= {name: _read(store.path(digests[name])) for name in left if name in digests}
        broken = next((name for name in left if outcome.status.get(name) == "failed"), None)
        if broken is not None and isinstance(outcome.error, ContractViolated):
            reports[broken] = outcome.error.report
        elif outcome.error is not None:
            raise outcome.error
        left = [name for name in left if name not in reports and broken not in plan.upstream(name)]
    return [reports[step.id] for step in plan.steps if step.id in reports], digests


def _read(folder: Path) -> ContractReport:
    kept = read_json(folder / CHECKS)
    return ContractReport(kept["rows"], tuple(Finding.model_validate(item) for item in kept["checks"]))
