"""The order in which objects are applied; the other way round they are deleted."""

from __future__ import annotations

from collections.abc import Iterable

from declarative_ml.deployers.base import Object

_ORDER = (
    "Namespace",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Ingress",
)
"""What others need comes first; kinds that are not here, those of operators, come last."""


def in_order(objects: Iterable[Object]) -> list[Object]:
    """The objects as they are applied; of equal ones (the same kind and name) the first."""
    once = {identity(each): each for each in reversed(list(objects))}
    seen = list(reversed(list(once.values())))
    return sorted(
        seen, key=lambda each: _ORDER.index(each["kind"]) if each["kind"] in _ORDER else len(_ORDER)
    )


def identity(each: Object) -> tuple[str, str, str, str]:
    """What no two objects of a cluster share: group and version, kind, namespace, name."""
    head = each["metadata"]
    return each["apiVersion"], each["kind"], head.get("namespace", ""), head["name"]
