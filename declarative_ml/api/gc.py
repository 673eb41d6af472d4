"""Clean the store."""

from __future__ import annotations

from itertools import islice
from math import inf

from declarative_ml.api.workspace import Run, Workspace
from declarative_ml.planner.keys import step_key


def collect_garbage(workspace: Workspace, keep: int) -> tuple[int, int]:
    """Delete what the `keep` newest runs do not use. Returns (artifacts deleted, bytes freed)."""
    runs = list(islice(workspace.runs(), keep))
    keys = {step_key(document) for run in runs for document in run.record.get("documents", {}).values()}
    # What the clock has cut is kept under a key of its own.
    keys |= {key for run in runs for key in run.record.get("kept_under", ())}
    return workspace.store.sweep(keys, keep_since=min(map(_started, filter(_unfinished, runs)), default=inf))


def _unfinished(run: Run) -> bool:
    return not run.record


def _started(run: Run) -> float:
    """When a run began that was killed: what was made since then is what its resumption needs."""
    try:
        return (run.folder / "plan.json").stat().st_mtime
    except FileNotFoundError:
        return inf
