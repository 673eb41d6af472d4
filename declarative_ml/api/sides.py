"""What is known of the two sides of a comparison: from the bundle, the run's record, and the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from declarative_ml.api.workspace import RUN_FILE, Run, Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import UsageError
from declarative_ml.report.comparison import Side
from declarative_ml.report.content import ReportContent
from declarative_ml.scoring.explain import background_rows
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.session import open_session
from declarative_ml.scoring.timing import TIMED_ROWS, microseconds
from declarative_ml.steps.card import read_card
from declarative_ml.steps.context import skip_reason
from declarative_ml.steps.report import member_result
from declarative_ml.store.bundle import MODEL, Bundle, is_bundle

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Origin:
    """Where a side comes from: a bundle, with its run and the run's workspace where they are known."""

    label: str
    bundle: Bundle
    run: Run | None = None
    workspace: Workspace | None = None

    def artifact(self, step: str) -> Path | None:
        """The folder that the step of the run made, if the store still has it."""
        digest = self.run.record.get("digests", {}).get(step) if self.run is not None else None
        if digest is None or self.workspace is None:
            return None
        folder = self.workspace.store.path(digest)
        return folder if folder.is_dir() and skip_reason(folder) is None else None

    def table(self) -> Path | None:
        """The table that the split divided."""
        return self.artifact(self._table_step())

    def table_digest(self) -> str | None:
        """The digest of that table, which is known also where the store has it no more."""
        return self.run.record.get("digests", {}).get(self._table_step()) if self.run is not None else None

    def _table_step(self) -> str:
        steps = read_json(self.run.folder / "plan.json")["steps"] if self.run is not None else []
        return next((step["inputs"]["table"] for step in steps if step["id"] == "split"), "")

    def options(self) -> dict[str, Any] | None:
        """The resolved spec of the run."""
        path = self.run.folder / "spec.yaml" if self.run is not None else None
        return None if path is None or not path.exists() else yaml.safe_load(path.read_text(encoding="utf-8"))


def find_origin(name: str, workspace: Workspace) -> Origin:
    """The run or bundle that `name` means: an id, the start of one, `latest`, or the path of a bundle.

    Raises UsageError for a run that is not there or made no bundle, DataError for a damaged bundle.
    """
    path = Path(name)
    if path.exists() and is_bundle(path):
        return _of_bundle(name, path)
    run = workspace.run(name)
    if not is_bundle(run.bundle):
        raise UsageError(
            f"run {run.id} made no bundle, so there is no model to compare ({run.status})",
            hint="`dml diff` compares specs, `dml runs` lists the runs",
        )
    return Origin(run.id, Bundle.open(run.bundle), run, workspace)


def _of_bundle(name: str, path: Path) -> Origin:
    """A bundle in the folder of its run stands for that run."""
    folder = path.resolve().parent
    run = Run(folder.name, folder, read_json(folder / RUN_FILE) if (folder / RUN_FILE).is_file() else {})
    if run.record and run.bundle == path.resolve() and folder.parent.name == "runs":
        return Origin(run.id, Bundle.open(path), run, Workspace(folder.parents[1]))
    return Origin(name, Bundle.open(path))


def gather(origin: Origin) -> Side:
    """All that is known of it."""
    card = read_card(origin.bundle)
    record = origin.run.record if origin.run is not None else {}
    result = record.get("result", {})
    content = replace(card.content, **_tested(origin, card.content), **_candidates(origin))
    return Side(
        label=origin.label,
        content=content,
        model_digest=card.manifest.model_digest,
        fingerprint=card.manifest.data_fingerprint,
        size=len(origin.bundle.read(MODEL)),
        created=record.get("created", ""),
        seconds=result.get("seconds"),
        faults=card.facts.faults,
    )


def _tested(origin: Origin, content: ReportContent) -> dict[str, Any]:
    """Truth and predictions of the test rows, as fields of the content."""
    found = test_rows(origin)
    if found is None or not len(found["truth"]):
        return {}
    return {"truth": found["truth"], "prediction": found["prediction"]}


def test_rows(origin: Origin) -> Mapping[str, np.ndarray] | None:
    """`truth`, `prediction` and `rows` of the test rows, if the store still has them."""
    import numpy as np

    folder = origin.artifact("evaluate")
    if folder is None or not (folder / "truth.npy").is_file():
        return None  # or of a version that kept them otherwise
    return {name: np.load(folder / f"{name}.npy") for name in ("truth", "prediction", "rows")}


def _candidates(origin: Origin) -> dict[str, Any]:
    folder = origin.artifact("leaderboard")
    if folder is None:
        return {}
    board = read_json(folder / "leaderboard.json")
    members = [member_result(item, item["seconds"]) for item in board["candidates"]]
    return {"members": members, "blend_loss": board["blend_loss"]}


def latencies(*origins: Origin) -> list[float | None]:
    """Seconds to score one row in one thread: the best of two turns each, taken by turns."""
    rows = [_some_rows(origin) for origin in origins]
    sessions = [open_session(origin.bundle.read(MODEL), threads=1) for origin in origins]
    taken: list[list[float]] = [[] for _ in origins]
    for _ in range(2):
        for session, some, times in zip(sessions, rows, taken, strict=True):
            if some is not None:
                times.append(microseconds(partial(session.run, None), some) / 1e6)
    return [min(times, default=None) for times in taken]


def _some_rows(origin: Origin) -> dict[str, np.ndarray] | None:
    if not any(origin.bundle.reference().get("background", {}).values()):
        return None
    return {name: values[:TIMED_ROWS] for name, values in background_rows(Scorer(origin.bundle)).items()}
