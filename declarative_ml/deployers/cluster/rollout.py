"""Waiting until a Deployment runs what was applied, and the reason where it does not."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

from declarative_ml.core.errors import StepFailed
from declarative_ml.deployers.base import Object
from declarative_ml.deployers.cluster.client import Cluster

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_HARMLESS = (None, "ContainerCreating", "PodInitializing", "Completed")


class RolloutFailed(StepFailed):
    """The new pods do not become ready."""


def wait(
    cluster: Cluster, applied: Object, *, seconds: float, poll: float = 2.0,
    told: Callable[[str], None] = lambda text: None,
) -> None:  # fmt: skip
    """Return when every pod of the Deployment is of the applied generation and ready.

    Raises RolloutFailed, with the reason of the first pod that fails, when the cluster gives up or
    `seconds` are over.
    """
    name, deadline, last = applied["metadata"]["name"], time.monotonic() + seconds, ""
    generation = applied["metadata"].get("generation", 0)
    while True:
        live = cluster.get(applied)
        if live is None:
            raise RolloutFailed(f"Deployment {name} was deleted meanwhile")
        done, state = progress(live, generation)
        if done:
            return
        if state != last:
            told(f"Deployment {name}: {state}")
            last = state
        if _gave_up(live, generation):
            raise RolloutFailed(f"Deployment {name}: {reason(cluster, live) or 'no progress in time'}")
        if time.monotonic() >= deadline:
            raise RolloutFailed(f"Deployment {name}: {reason(cluster, live) or state}, after {seconds:.0f} s")
        time.sleep(poll)


def progress(live: Object, generation: int = 0) -> tuple[bool, str]:
    """Whether the Deployment runs its newest template in all pods, and how far it is."""
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    if (status.get("observedGeneration") or 0) < max(generation, live["metadata"].get("generation", 0)):
        return False, "waiting for the controller"
    updated, total = status.get("updatedReplicas") or 0, status.get("replicas") or 0
    available = status.get("availableReplicas") or 0
    state = f"{min(updated, available)} of {wanted} pods are new and ready"
    return updated >= wanted and total <= updated and available >= wanted, state


def _gave_up(live: Object, generation: int) -> bool:
    status = live.get("status") or {}
    if (status.get("observedGeneration") or 0) < generation:
        return False
    return _condition(status, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or [] if each.get("type") == kind), {})


def reason(cluster: Cluster, live: Object) -> str | None:
    """Why pods do not come up: quota or security (no pod at all), else the first pod that is not ready."""
    failure = _condition(live.get("status") or {}, "ReplicaFailure")
    if failure.get("status") == "True":
        return f"{failure.get('reason')}: {failure.get('message')}"
    selector = live["spec"]["selector"]["matchLabels"]
    newest = [each["metadata"]["labels"] for each in _replica_sets(cluster, live)[:1]]
    marks = {_HASH: newest[0][_HASH]} if newest and _HASH in newest[0] else {}
    found = cluster.list("v1", "Pod", live["metadata"]["namespace"], {**selector, **marks})
    for pod in sorted(found, key=lambda each: str(each["metadata"]["name"])):
        if why := _pod_reason(pod):
            return f"pod {pod['metadata']['name']}: {why}"
    return None


def _pod_reason(pod: Object) -> str | None:
    status = pod.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason')}: {scheduled.get('message')}"
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in every:
        state = container.get("state") or {}
        before = (container.get("lastState") or {}).get("terminated") or {}
        for found in (state.get("terminated"), state.get("waiting")):
            if found and found.get("reason") not in (
                None,
                "ContainerCreating",
                "PodInitializing",
                "Completed",
            ):
                more = found.get("message") or before.get("message") or ""
                code = f" (exit code {before['exitCode']})" if "exitCode" in before else ""
                return f"{found['reason']}{code}: {more}".strip().rstrip(":")
        if state.get("running") is not None and not container.get("ready"):
            return "it runs, and its readiness probe fails"
    return None


def _replica_sets(cluster: Cluster, live: Object) -> list[Object]:
    """The revisions of a Deployment, the newest first."""
    own = live["metadata"].get("uid")
    found = cluster.list(
        "apps/v1", "ReplicaSet", live["metadata"]["namespace"], live["spec"]["selector"]["matchLabels"]
    )
    mine = [
        each
        for each in found
        if own in [owner.get("uid") for owner in each["metadata"].get("ownerReferences") or []]
    ]
    return sorted(mine, key=_revision, reverse=True)


def _revision(each: Object) -> int:
    return int((each["metadata"].get("annotations") or {}).get(_REVISION, 0))


def roll_back(cluster: Cluster, applied: Object) -> int | None:
    """Apply the template of the revision before the newest one; returns its number, None for the first.

    The template is the one of its ReplicaSet, byte for byte, so that its pods are taken up again.
    """
    live = cluster.get(applied)
    before = _replica_sets(cluster, live)[1:2] if live is not None else []
    if not before:
        return None
    template = copy.deepcopy(before[0]["spec"]["template"])
    template["metadata"]["labels"].pop(_HASH, None)
    template["metadata"].pop("creationTimestamp", None)
    back = copy.deepcopy(applied)
    back["spec"]["template"] = template
    cluster.apply(back, force=True)
    return _revision(before[0])
