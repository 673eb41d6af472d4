"""Clean the store."""

from __future__ import annotations

from declarative_ml.api.workspace import Workspace
from declarative_ml.planner.keys import step_key


def collect_garbage(workspace: Workspace, keep: int) -> tuple[int, int]:
    """Delete what the `keep` newest runs do not use. Returns (artifacts deleted, bytes freed)."""
    keys = {
        step_key(document)
        for run in workspace.runs()[:keep]
        for document in run.record.get("documents", {}).values()
    }
    return workspace.store.sweep(keys)
