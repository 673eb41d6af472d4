"""Carry out in a cluster what a spec renders."""

from __future__ import annotations

from collections.abc import Sequence

from declarative_ml.api.deploy import Part, objects_of
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import GateFailed, UsageError
from declarative_ml.deployers.base import Object
from declarative_ml.spec.load import LoadedSpec


def objects_for_cluster(parts: Sequence[Part]) -> list[Object]:
    """The objects of the parts. Raises UsageError for a target without an API of Kubernetes."""
    for part in parts:
        if not part.deployer.cluster:
            raise UsageError(
                f"{part.deployer.type} is not carried out from here", hint="render it: --render DIR"
            )
    return objects_of(parts)


def require_passed(loaded: LoadedSpec, parts: Sequence[Part], store: str | None = None) -> None:
    """Raise GateFailed where the service would be deployed and the newest run did not pass its gates."""
    if all(part.release.serve is None for part in parts):
        return
    workspace = Workspace.beside(loaded.path, store)
    place = workspace.place(loaded.path)
    for run in workspace.runs():
        record = run.record
        if record.get("spec_path") != place or record.get("name") != loaded.spec.name:
            continue
        if run.status == "gate_failed":
            faults = "; ".join(record["result"].get("faults", []))
            raise GateFailed(
                f"run {run.id} did not pass: {faults}", hint="train a model that does, then deploy again"
            )
        if run.status == "ok":
            return
