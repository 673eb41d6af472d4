"""The training as a TrainJob of Kubeflow Trainer (2.2 or later): one pod, whose processes train together.

A TrainJob names a runtime, which a cluster's people look after, and patches it: only so much of a pod can be
set. https://www.kubeflow.org/docs/components/trainer/operator-guides/runtime-patches/
"""

from __future__ import annotations

from typing import Any

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.image import CONFIG, SPEC_FILE, STORE
from declarative_ml.deployers.manifests.names import LONGEST, OWN, fit, name_of
from declarative_ml.deployers.manifests.pod import pod_template
from declarative_ml.deployers.manifests.training import COMPONENT, head, training, training_pod

_NODE = "node"
"""What runtimes call the job of the training, and its container."""
_TRAINER = ("image", "command", "args", "env")
_CONTAINER = ("securityContext", "volumeMounts")
_POD = (
    *("affinity", "imagePullSecrets", "nodeSelector", "schedulingGates", "securityContext"),
    *("serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "volumes"),
)
"""What a patch may say of a pod; the rest is the runtime's."""
_LEFT = frozenset({"restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "containers"})
_LEFT_OF_CONTAINER = frozenset({"name", "imagePullPolicy", "resources", "terminationMessagePolicy"})
_SUFFIXES = 20
"""Characters that the names of its job and pods have more, and the hash."""


def train_job(release: Release, runtime: str) -> Object:
    """The TrainJob, under a name that changes with its content: most of it cannot be changed.

    Raises UsageError for fields of the pod that only the runtime can have.
    """
    workload, _ = training(release)
    template = pod_template(release, training_pod(release, "run", f"{CONFIG}/{SPEC_FILE}", "--store", STORE))
    container = _only_container(template["spec"])
    spec: Object = {
        "activeDeadlineSeconds": seconds_of(workload.deadline),
        "runtimeRef": {"name": runtime},
        "trainer": {
            **{key: container[key] for key in _TRAINER if key in container},
            "numNodes": 1,
            "numProcPerNode": release.processes,
            "resourcesPerNode": container["resources"],
        },
        "runtimePatches": [_patch(template, container)],
    }
    if workload.queue is not None:
        spec = {"suspend": True, **spec}
    name = fit(name_of(release, COMPONENT, longest=200), LONGEST - _SUFFIXES)
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": head(release, f"{name}-{digest_json(spec)[:8]}"),
        "spec": spec,
    }


def _only_container(spec: Object) -> Object:
    """The container of the training, where the pod has nothing that a patch cannot say."""
    foreign = sorted(set(spec) - {*_POD, *_LEFT})
    container: dict[str, Any] = next(each for each in spec["containers"] if each["name"] == COMPONENT)
    foreign += sorted(
        f"containers.{key}" for key in set(container) - {*_TRAINER, *_CONTAINER, *_LEFT_OF_CONTAINER}
    )
    foreign += [f"containers.{each['name']}" for each in spec["containers"] if each is not container]
    if foreign:
        raise UsageError(
            f"a TrainJob cannot set {', '.join(foreign)} of a pod",
            hint="set it in the runtime that the target names, or deploy to kubernetes",
        )
    return container


def _patch(template: Object, container: Object) -> Object:
    pod = {key: template["spec"][key] for key in _POD if key in template["spec"]}
    pod["containers"] = [{"name": _NODE, **{key: container[key] for key in _CONTAINER if key in container}}]
    job = {
        "name": _NODE,
        "template": {"spec": {"template": {"metadata": template["metadata"], "spec": pod}}},
    }
    return {
        "manager": f"{OWN}/dml",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }
