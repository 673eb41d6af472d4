"""KubeRay: a Ray cluster for each training, which runs the plan on it by `dml run --engine ray` and goes.

https://docs.ray.io/en/latest/cluster/kubernetes/ · the shape is that of the CRDs of KubeRay 1.7.
"""

from __future__ import annotations

import shlex
from typing import Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.graph_names import by_steps
from declarative_ml.deployers.image import CONFIG, SPEC_FILE, STORE
from declarative_ml.deployers.manifests import training
from declarative_ml.deployers.manifests.names import metadata, name_of
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.pod import pod_template

_API = "ray.io/v1"
_LONGEST = 47
"""The operator puts its own behind the name of a RayJob, and behind that of a RayCronJob once more."""
_CRON_LONGEST = 36
_OBJECTS = "100000000"
"""Bytes of Ray's shared memory in a pod: what steps hand on goes through the store."""
_HEALTH = {"httpGet": {"path": "/api/local_raylet_healthz", "port": 52365}, "timeoutSeconds": 5}
"""The operator's own probes call wget, which slim images do not have."""


class Ray(Deployer):
    """A RayJob of KubeRay, or a RayCronJob: a head that drives, and workers that do the steps."""

    type: Literal["ray"] = "ray"
    workers: int = Field(default=2, ge=1, le=1000, description="Pods that do the steps, beside the head's")
    ray_version: str = Field(
        default="2.60.0", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", description="Of Ray in the image"
    )

    libraries: ClassVar[tuple[str, ...]] = ("ray",)
    trains: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    spreads: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {
            *("image", "resources", "env", "labels", "annotations", "volumes", "pod"),
            *("schedule", "time_zone", "retries", "deadline", "keep", "grace", "queue"),
        }
    )

    def render(self, release: Release) -> Rendered:
        """The job, and what its pods need: spec, account, and a store that all of them write."""
        if release.train is None:
            return Rendered()
        release = by_steps(release)
        return Rendered(tuple(in_order([*training.surroundings(release), self._object(release)])))

    def _object(self, release: Release) -> Object:
        workload, image = training.training(release)
        spec = self._job(release)
        if workload.schedule is None:
            name = training.name_by_content(release, spec, longest=_LONGEST)
            return {
                "apiVersion": _API,
                "kind": "RayJob",
                "metadata": training.head(release, name),
                "spec": spec,
            }
        name = name_of(release, training.COMPONENT, longest=_CRON_LONGEST)
        return {
            "apiVersion": _API,
            "kind": "RayCronJob",
            "metadata": metadata(release, training.COMPONENT, name, version=image.version, workload=workload),
            "spec": {
                "schedule": workload.schedule,
                "timeZone": workload.time_zone,
                "jobTemplate": spec,
            },
        }

    def _job(self, release: Release) -> Object:
        workload, _ = training.training(release)
        command = ("dml", "run", f"{CONFIG}/{SPEC_FILE}", "--store", STORE)
        return {
            "entrypoint": shlex.join([*command, "--engine", "ray", "--address", "auto"]),
            # By the operator itself: a pod that only submits would be one more to secure.
            "submissionMode": "HTTPMode",
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": seconds_of(workload.keep),
            "activeDeadlineSeconds": seconds_of(workload.deadline),
            "backoffLimit": workload.retries,
            **({"suspend": True} if workload.queue is not None else {}),
            "rayClusterSpec": self._cluster(release),
        }

    def _cluster(self, release: Release) -> Object:
        memory = {"object-store-memory": _OBJECTS}
        return {
            "rayVersion": self.ray_version,
            "authOptions": {"mode": "token"},
            "headGroupSpec": {
                # It drives: steps go to the workers.
                "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", **memory},
                "template": _template(release),
            },
            "workerGroupSpecs": [
                {
                    "groupName": "steps",
                    "replicas": self.workers,
                    "minReplicas": self.workers,
                    "maxReplicas": self.workers,
                    "rayStartParams": memory,
                    "template": _template(release),
                }
            ],
        }


def _template(release: Release) -> Object:
    """A pod of the training whose command the operator writes."""
    template = pod_template(release, training.training_pod(release))
    pod: dict[str, Any] = template["spec"]
    (own,) = (each for each in pod["containers"] if each["name"] == training.COMPONENT)
    rest = [each for each in pod["containers"] if each is not own]
    bare = {name: value for name, value in own.items() if name not in ("command", "args")}
    ray = {
        "livenessProbe": {**_HEALTH, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 120},
        "readinessProbe": {**_HEALTH, "initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 10},
    }
    # Ray runs in the first container of a pod.
    return {**template, "spec": {**pod, "containers": [{**ray, **bare}, *rest]}}
