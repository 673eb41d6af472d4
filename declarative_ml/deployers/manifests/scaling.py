"""How many pods, and how many may go at once."""

from __future__ import annotations

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.names import metadata, name_of, selector
from declarative_ml.deployers.manifests.serving import COMPONENT, serving


def autoscaler(release: Release) -> Object | None:
    """More pods above the wanted use of the cpu; None where their number is fixed."""
    workload, image = serving(release)
    replicas = workload.replicas
    if not replicas.scales:
        return None
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name_of(release)},
            "minReplicas": replicas.min,
            "maxReplicas": replicas.max,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": replicas.cpu_percent},
                    },
                }
            ],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": seconds_of(replicas.scale_down),
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
                },
            },
        },
    }


def disruption_budget(release: Release) -> Object | None:
    """One pod at a time may be moved; None for a single pod, whose budget would block every drain."""
    workload, image = serving(release)
    if workload.replicas.min < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(release, COMPONENT)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
