"""A run: what it made, and what its artifacts say about the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from declarative_ml.api.handles.bundle import Bundle
from declarative_ml.api.handles.plan import Plan
from declarative_ml.api.handles.results import Drawing, Evaluation, Explanation, Leaderboard
from declarative_ml.api.handles.rows import Rows
from declarative_ml.api.handles.spec import Spec
from declarative_ml.api.step import read_plan
from declarative_ml.api.workspace import Run as Record
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.graph.plan import Plan as Graph
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.split import TEST, TRAIN, VALIDATION
from declarative_ml.store.bundle import Bundle as Stored

if TYPE_CHECKING:
    from declarative_ml.report.content import ReportContent
    from declarative_ml.steps.context import StepContext

REPORT = "report.html"
Part = Literal["train", "validation", "test"]
PARTS: dict[str, int] = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


class Run:
    """One run of a spec, now or in the past."""

    def __init__(
        self,
        record: Record,
        workspace: Workspace,
        *,
        result: dict[str, Any] | None = None,
        error: DmlError | None = None,
    ) -> None:
        self.record = record
        self.workspace = workspace
        self.result = dict(record.record.get("result", {}) if result is None else result)
        """What `dml run --format json` prints."""
        self.error = error
        """What went wrong, for a run that was started with `check=False`."""

    @property
    def id(self) -> str:
        """Sorts by time."""
        return self.record.id

    @property
    def folder(self) -> Path:
        """Where spec, plan, events, bundle and report lie."""
        return self.record.folder

    @property
    def name(self) -> str:
        """The spec's name."""
        return str(self.record.record.get("name", ""))

    @property
    def status(self) -> str:
        """`ok`, `gate_failed`, `failed`, `partial` (run with `until`) or `interrupted`."""
        return str(self.result.get("status", "interrupted"))

    @property
    def faults(self) -> list[str]:
        """What gates and tests hold against the model."""
        return list(self.result.get("faults", []))

    @property
    def conversions(self) -> list[dict[str, Any]]:
        """How each format of the spec's `convert` ended: `name`, `status`, `reason`, `parity`, `bytes`."""
        return list(self.result.get("conversions", []))

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Part (`test`, `validation`) -> metric -> value."""
        return dict(self.result.get("metrics", {}))

    @property
    def primary(self) -> str | None:
        """The metric that decides."""
        return self.result.get("primary")

    @property
    def model_digest(self) -> str | None:
        """The identity of the model."""
        return self.result.get("model_digest")

    @property
    def spec(self) -> Spec:
        """The spec that was run, with all its options. Raises SpecError where this version refuses it."""
        return Spec(load_spec(self.folder / "spec.yaml"))

    @property
    def bundle(self) -> Bundle:
        """The model. Raises UsageError for a run that made none."""
        if not self.record.bundle.is_dir():
            raise UsageError(f"run {self.id} made no bundle", hint=f"it ended as {self.status}")
        return Bundle(Stored.open(self.record.bundle))

    @property
    def report(self) -> Path:
        """The path of the report. Raises UsageError for a run that made none."""
        page = self.folder / REPORT
        if not page.exists():
            raise UsageError(f"run {self.id} has no report", hint=f"it ended as {self.status}")
        return page

    @property
    def plan(self) -> Plan:
        """The plan, and what became of each step."""
        return Plan.done(self._graph, self.result.get("steps", []))

    @property
    def leaderboard(self) -> Leaderboard:
        """The candidates, the best first; of a spec with one model, that one."""
        return Leaderboard(self.content.primary, tuple(self.content.members))

    @property
    def charts(self) -> Drawing:
        """The confusion matrix, and the charts of the test rows: ROC and calibration, or residuals."""
        from declarative_ml.report.views import charts_view

        return Drawing("Charts", charts_view(self.content))

    @property
    def slices(self) -> Drawing:
        """The primary metric on the slices that the spec names."""
        from declarative_ml.report.views import slices_view

        return Drawing("Slices", slices_view(self.content))

    @property
    def verdict(self) -> str:
        """What came out, in two sentences."""
        from declarative_ml.report.wording import verdict

        found = verdict(self.content)
        return f"{found.sentence} {found.comparison}".strip()

    @cached_property
    def content(self) -> ReportContent:
        """Everything that the report shows, as values.

        Raises UsageError for a run that drew no report, where the store no longer has what it takes, and
        where another version left it in another form.
        """
        from declarative_ml.steps.report import content

        try:
            return content(self._report_step())
        except (KeyError, ValidationError) as error:
            raise UsageError(
                f"run {self.id} was made by another version of declarative-ml", hint="run the spec again"
            ) from error

    def rows(self, part: Part = "test", count: int | None = None) -> Rows:
        """The rows of a part of the data as the model's features and the target see them: typed, after SQL.

        In the order of the data, the first `count` of them. Raises UsageError where the store no longer
        has them.
        """
        import numpy as np

        from declarative_ml.steps.table import open_table, read_rows

        order, parts = (np.load(self._artifact("split") / f"{name}.npy") for name in ("order", "part"))
        wanted = np.sort(order[parts == PARTS[part]])[:count]
        table = self._artifact(self._graph["split"].inputs["table"])
        with open_table(table) as reader:
            columns = list(reader.schema.names)
        return Rows(read_rows(table, wanted, columns), shaped=True)

    def predict(self, table: Any, *, keep: Sequence[str] = ()) -> Any:
        """The answers of the model; see `Bundle.predict`."""
        return self.bundle.predict(table, keep=keep)

    def evaluate(self, table: Any, *, slices: Sequence[str] = ()) -> Evaluation:
        """The model measured on labelled rows; see `Bundle.evaluate`."""
        return self.bundle.evaluate(table, slices=slices)

    def explain(self, table: Any = None, *, seed: int | None = None) -> Explanation:
        """SHAP values; see `Bundle.explain`."""
        return self.bundle.explain(table, seed=seed)

    @cached_property
    def _graph(self) -> Graph:
        return read_plan(self.folder / "plan.json")

    def _artifact(self, step: str) -> Path:
        digest = self.record.record.get("digests", {}).get(step)
        if digest is None:
            raise UsageError(f"run {self.id} did not get to the step '{step}'", hint=f"it is {self.status}")
        folder = self.workspace.store.path(digest)
        if not folder.is_dir():
            raise UsageError(
                f"the store no longer has the step '{step}' of run {self.id}", hint="run the spec again"
            )
        return folder

    def _report_step(self) -> StepContext:
        """The step that drew the report, with its inputs, to gather once more what it showed."""
        from declarative_ml.planner.keys import step_key
        from declarative_ml.steps.context import Finished, StepContext

        step = self._graph["report"]
        documents = self.record.record.get("documents", {})
        actions = {name: self.workspace.store.find(step_key(each)) for name, each in documents.items()}
        return StepContext(
            step=step,
            inputs={role: self._artifact(needed) for role, needed in step.inputs.items()},
            out=self.folder,
            scratch=self.folder,
            workspace=self.workspace.root,
            key="",
            threads=1,
            finished={
                item["id"]: Finished(item["status"], action.seconds if action else item["seconds"])
                for item in self.result.get("steps", [])
                for action in [actions.get(item["id"])]
            },
            progress=lambda fraction, message: None,
        )

    def __repr__(self) -> str:
        from declarative_ml.report.wording import number

        scores = next(iter(self.metrics.values()), {})
        shown = f", {self.primary} {number(scores.get(self.primary))}" if self.primary else ""
        return f"<Run {self.id} of {self.name}: {self.status}{shown}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, paragraph
        from declarative_ml.report.views import TONES, conversions_table, metrics_table

        steps = self.result.get("steps", [])
        ran = sum(step["status"] == "run" for step in steps)
        seconds = self.result.get("seconds")
        note = f"run {self.id} · {ran} of {len(steps)} steps run" + (f" · {seconds:.1f} s" if seconds else "")
        title = heading(self.name, note, (self.status, TONES.get(self.status, "")))
        places = {"bundle": self.record.bundle, "report": self.folder / REPORT}
        told = [paragraph(fault) for fault in self.faults]
        told += [paragraph(f"{name}: {path}") for name, path in places.items() if path.exists()]
        return box(title, metrics_table(self.result), conversions_table(self.conversions), *told)


class Runs(Sequence[Run]):
    """The runs of a workspace, the newest first."""

    def __init__(self, found: Sequence[Run]) -> None:
        self._found = tuple(found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, place: Any) -> Any:
        return Runs(self._found[place]) if isinstance(place, slice) else self._found[place]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._found)

    def __repr__(self) -> str:
        return f"<Runs: {len(self)}{', the newest ' + self[0].id if self._found else ''}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, table
        from declarative_ml.report.wording import number

        rows = []
        for run in self:
            scores = run.metrics.get("test") or run.metrics.get("validation") or {}
            shown = f"{run.primary} {number(scores.get(run.primary))}" if run.primary else ""
            rows.append([run.id, run.name, run.status, (run.model_digest or "")[:8], shown])
        header = ["run", "name", "status", "model", "primary metric"]
        return box(table(header, rows, left=range(len(header))))
