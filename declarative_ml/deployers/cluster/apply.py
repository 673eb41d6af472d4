"""Bringing a cluster to what is rendered, and telling what differs from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.core.errors import StepFailed
from declarative_ml.deployers.base import Object
from declarative_ml.deployers.cluster.client import Cluster, bare
from declarative_ml.deployers.cluster.phases import WORKING, is_at_work, phase
from declarative_ml.deployers.cluster.rollout import RolloutFailed, progress, roll_back, wait
from declarative_ml.deployers.manifests.ground import KEPT
from declarative_ml.deployers.manifests.names import LABEL, MANAGER
from declarative_ml.deployers.manifests.order import identity

Told = Callable[[str], None]

PRUNED = (
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "ConfigMap"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "Ingress"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("argoproj.io/v1alpha1", "Workflow"),
    ("argoproj.io/v1alpha1", "CronWorkflow"),
    ("ray.io/v1", "RayJob"),
    ("ray.io/v1", "RayCronJob"),
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"),
)
"""The kinds that are looked through for what is not rendered any more."""


@dataclass
class Applied:
    """What became of the objects."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What the server takes and warns of: pods that a namespace will refuse, fields that will go."""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form that the command prints."""
        return {
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "pruned": self.pruned,
            "warnings": self.warnings,
        }


def label_of(each: Object) -> str:
    """An object as people name it."""
    return f"{each['kind']} {each['metadata']['name']}"


def apply(
    cluster: Cluster,
    objects: Sequence[Object],
    *,
    force: bool = False,
    prune: bool = True,
    seconds: float | None = None,
    poll: float = 2.0,
    told: Told = lambda text: None,
) -> Applied:
    """Apply the objects in their order, wait for Deployments, and remove what is not rendered any more.

    `seconds` to wait; None: as long as each Deployment may take; 0: not. Raises Conflict or Refused at the
    first object that the server does not take, and RolloutFailed after the Deployment was rolled back.
    """
    outcome, applied = Applied(), []
    for each in objects:
        before = cluster.get(each)
        after = cluster.apply(each, force=force)
        for text in cluster.warnings():
            outcome.warnings.append(f"{label_of(each)}: {text}")
            told(f"{label_of(each)}: warning: {text}")
        same = before is not None and _version(before) == _version(after)
        into = outcome.created if before is None else outcome.unchanged if same else outcome.changed
        into.append(label_of(each))
        told(f"{label_of(each)}: {'created' if before is None else 'unchanged' if same else 'changed'}")
        applied.append((each, after))
    for each, after in applied:
        if each["kind"] == "Deployment" and seconds != 0:
            _wait(cluster, each, after, seconds, poll, told)
    if prune:
        for each in stale(cluster, objects):
            cluster.delete(each)
            outcome.pruned.append(label_of(each))
            told(f"{label_of(each)}: removed")
    return outcome


def _version(each: Object) -> Any:
    return each["metadata"].get("resourceVersion")


def _wait(
    cluster: Cluster, each: Object, after: Object, seconds: float | None, poll: float, told: Told
) -> None:
    limit = seconds if seconds is not None else each["spec"].get("progressDeadlineSeconds", 600) + 60
    try:
        wait(cluster, after, seconds=limit, poll=poll, told=told)
    except RolloutFailed as error:
        revision = roll_back(cluster, each)
        became = (
            "there is no revision before it" if revision is None else f"rolled back to revision {revision}"
        )
        raise RolloutFailed(
            f"{error.message}; {became}", hint="dml deploy --logs shows what the pods say"
        ) from error


def _owned(objects: Sequence[Object]) -> list[tuple[str, dict[str, str]]]:
    """Namespace and labels of each plan and component among the objects."""
    keys = (f"{LABEL}/managed-by", f"{LABEL}/instance", f"{LABEL}/component")
    found = []
    for each in objects:
        labels = each["metadata"]["labels"]
        pair = each["metadata"].get("namespace"), {key: labels[key] for key in keys if key in labels}
        if pair[0] and len(pair[1]) == len(keys) and pair not in found:
            found.append(pair)
    return found


def stale(cluster: Cluster, objects: Sequence[Object], *, at_work: bool = False) -> list[Object]:
    """What carries the labels of the plan and is not rendered any more, the last applied first. What belongs
    to another object, volumes, namespaces, and unless `at_work`, jobs at work stay."""
    wanted = {identity(each) for each in objects}
    found = []
    for namespace, labels in _owned(objects):
        for api_version, kind in reversed(PRUNED):
            if kind not in KEPT and cluster.knows(api_version, kind):
                found += cluster.list(api_version, kind, namespace, labels)
    return [
        each
        for each in found
        if identity(each) not in wanted
        and not each["metadata"].get("ownerReferences")
        and (at_work or not is_at_work(each))
    ]


@dataclass(frozen=True)
class Change:
    """One difference between the cluster and what is rendered."""

    name: str
    what: str
    """`new`, `removed`, or the path of a field."""
    before: Any = None
    after: Any = None


def diff(cluster: Cluster, objects: Sequence[Object]) -> list[Change]:
    """What applying would change, by dry runs of the server, so that defaults are no differences."""
    found: list[Change] = []
    for each in objects:
        live = cluster.get(each)
        if live is None:
            found.append(Change(label_of(each), "new"))
            continue
        after = cluster.apply(each, force=True, dry_run=True)
        found += [
            Change(label_of(each), path, old, new) for path, old, new in _paths(bare(live), bare(after), "")
        ]
    return found + [Change(label_of(each), "removed") for each in stale(cluster, objects)]


def _paths(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _paths(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _paths(before, after, f"{path}[{number}]")
    elif old != new:
        yield path, old, new


def delete(cluster: Cluster, objects: Sequence[Object], told: Told = lambda text: None) -> list[str]:
    """Delete what was applied, the last first. Volumes and namespaces stay, and what does not carry our
    labels. Returns what was deleted."""
    gone = []
    for each in [*stale(cluster, objects, at_work=True), *reversed(objects)]:
        live = cluster.get(each)
        if live is None:
            continue
        if each["kind"] in KEPT:
            told(f"{label_of(each)}: kept, delete it by hand when nothing in it is needed")
            continue
        if (live["metadata"].get("labels") or {}).get(f"{LABEL}/managed-by") != MANAGER:
            raise StepFailed(f"{label_of(each)} is not ours: it has no label managed-by: {MANAGER}")
        if cluster.delete(live):
            gone.append(label_of(each))
            told(f"{label_of(each)}: deleted")
    return gone


def status(cluster: Cluster, objects: Sequence[Object]) -> list[tuple[str, str]]:
    """Each object with its state in words."""
    return [(label_of(each), _state(each["kind"], cluster.get(each))) for each in objects]


def _state(kind: str, live: Object | None) -> str:
    if live is None:
        return "absent"
    found = live.get("status") or {}
    if kind == "Deployment":
        return progress(live)[1]
    if kind in WORKING:
        return phase(live)
    if kind == "CronJob":
        return f"last started {found.get('lastScheduleTime') or 'never'}"
    if kind == "HorizontalPodAutoscaler":
        return f"{found.get('currentReplicas', 0)} pods, {found.get('desiredReplicas', 0)} wanted"
    return "there"


def logs(cluster: Cluster, objects: Sequence[Object], lines: int) -> Iterator[tuple[str, str]]:
    """(Pod and container, last lines) of every pod of the workloads."""
    seen: set[str] = set()
    for namespace, labels in _owned(objects):
        for pod in cluster.list("v1", "Pod", namespace, labels):
            name = pod["metadata"]["name"]
            if name in seen:
                continue
            seen.add(name)
            for container in pod["spec"]["containers"]:
                yield f"{name} {container['name']}", cluster.logs(pod, container["name"], lines)
