"""The pod template: everything that a pod must have to be let into a namespace that is `restricted`.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.image import SCRATCH, USER, Image
from declarative_ml.deployers.manifests.merge import overlay
from declarative_ml.deployers.manifests.names import OWN, labels, name_of, their_annotations
from declarative_ml.deployers.quantity import amount, as_bytes
from declarative_ml.deployers.sections import PodResources, SecretRef, Workload

TEMPORARY = "tmp"
_TEMPORARY_FILES = "TMPDIR"
_SHARED = "shm"
_OWN_ENVIRONMENT = {"HOME": SCRATCH, _TEMPORARY_FILES: SCRATCH, "PYTHONDONTWRITEBYTECODE": "1"}
"""The root is read-only: whatever wants a home or a temporary file gets the scratch volume."""


@dataclass(frozen=True)
class Pod:
    """What is particular to one kind of pod."""

    component: str
    """`serve` or `train`: the name of the container, too."""
    workload: Workload
    image: Image
    arguments: tuple[str, ...]
    secrets: Mapping[str, SecretRef]
    config: Mapping[str, str]
    """Path -> name of the ConfigMap that is mounted there."""
    config_digest: str
    claims: tuple[tuple[str, str, str, bool], ...] = ()
    """Name of the volume, claim, path, whether it is read-only."""
    container: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the container."""
    command: str = "dml"
    spec: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the pod spec."""
    labels: Mapping[str, str] = field(default_factory=dict)


def pod_template(release: Release, pod: Pod) -> Object:
    """The template of the pod, with the person's own fields laid over it."""
    spec = overlay(pod_spec(release, pod), release.pod)
    spec = overlay(spec, pod.workload.pod)
    return {
        "metadata": {
            "labels": {**labels(release, pod.component, pod.workload, pod.image.version), **pod.labels},
            "annotations": {
                **their_annotations(release, pod.workload),
                f"{OWN}/config-digest": pod.config_digest,
            },
        },
        "spec": spec,
    }


def pod_spec(release: Release, pod: Pod) -> Object:
    """The pod spec before the person's own fields."""
    resources = pod.workload.resources
    spec: Object = {
        "serviceAccountName": name_of(release, pod.component),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _security(bool(pod.claims)),
        "containers": [_container(pod)],
        "volumes": _volumes(pod),
    }
    if release.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in release.pull_secrets]
    if resources.gpu:
        spec["tolerations"] = [{"key": resources.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
        if resources.gpu_kind is not None:
            spec["nodeSelector"] = {resources.gpu_label: resources.gpu_kind}
    return {**spec, **pod.spec}


def _security(with_claims: bool) -> Object:
    context: Object = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if with_claims:
        context |= {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return context


def _container(pod: Pod) -> Object:
    image = str(pod.image)
    return {
        "name": pod.component,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [pod.command],
        "args": list(pod.arguments),
        "env": _environment(pod),
        "resources": resources_of(pod.workload.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(pod),
        **pod.container,
    }


def _environment(pod: Pod) -> list[Object]:
    clear = {**_OWN_ENVIRONMENT, **pod.workload.env}
    found: list[Object] = [
        {"name": name, "value": text} for name, text in sorted(clear.items()) if name not in pod.secrets
    ]
    return found + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.secret, "key": ref.key}}}
        for name, ref in sorted(pod.secrets.items())
    ]


def resources_of(wanted: PodResources) -> Object:
    """Requests and limits of the container. What lies in /dev/shm counts as memory."""
    ceiling = wanted.limits.memory or wanted.memory
    if wanted.shared_memory is not None:
        ceiling = as_bytes(amount(ceiling) + amount(wanted.shared_memory))
    limits: Object = {"memory": ceiling, "ephemeral-storage": wanted.scratch}
    if wanted.limits.cpu is not None:
        limits["cpu"] = wanted.limits.cpu
    if wanted.gpu:
        limits[wanted.gpu_resource] = wanted.gpu
    requests = {"cpu": wanted.cpu, "memory": wanted.memory, "ephemeral-storage": wanted.scratch}
    return {"requests": requests, "limits": dict(sorted(limits.items()))}


def _volumes(pod: Pod) -> list[Object]:
    resources = pod.workload.resources
    found: list[Object] = [{"name": TEMPORARY, "emptyDir": {"sizeLimit": resources.scratch}}]
    if resources.shared_memory is not None:
        found.append(
            {"name": _SHARED, "emptyDir": {"medium": "Memory", "sizeLimit": resources.shared_memory}}
        )
    found += [
        {"name": f"config-{number}", "configMap": {"name": name}}
        for number, name in enumerate(pod.config.values())
    ]
    for name, claim, _, read_only in pod.claims:
        found.append({"name": name, "persistentVolumeClaim": _claim(claim, read_only)})
    return found


def _claim(claim: str, read_only: bool) -> Object:
    return {"claimName": claim, "readOnly": True} if read_only else {"claimName": claim}


def _mounts(pod: Pod) -> list[Object]:
    found: list[Object] = [{"name": TEMPORARY, "mountPath": SCRATCH}]
    if pod.workload.resources.shared_memory is not None:
        found.append({"name": _SHARED, "mountPath": "/dev/shm"})
    found += [
        {"name": f"config-{number}", "mountPath": path, "readOnly": True}
        for number, path in enumerate(pod.config)
    ]
    for name, _, path, read_only in pod.claims:
        found.append({"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})})
    return found
