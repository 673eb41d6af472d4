"""Kubeflow Pipelines: the plan's graph as a compiled pipeline, each step a container of our image.

The IR of KFP 2 (PipelineSpec, then a PlatformSpec), as the SDK's compiler writes it, without the SDK:
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.graph_names import Task, by_steps, plan_of, tasks
from declarative_ml.deployers.host import clear_environment
from declarative_ml.deployers.image import CONFIG, PLAN_FILE, SCRATCH, SPEC_FILE, STORE, USER
from declarative_ml.deployers.manifests import ground, training
from declarative_ml.deployers.manifests.names import labels
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.serving import store_claim
from declarative_ml.deployers.manifests.text import as_yaml
from declarative_ml.deployers.manifests.trainjob import train_job
from declarative_ml.deployers.sections import PodResources

FILE = "pipeline.yaml"
_SCHEMA = "2.1.0"
_TRAINJOB = frozenset(
    {
        *("image", "resources", "env", "labels", "annotations", "volumes", "pod"),
        *("deadline", "grace", "queue"),
    }
)


class Kubeflow(Deployer):
    """pipeline.yaml to upload, with what its containers mount; or a TrainJob of Kubeflow Trainer."""

    type: Literal["kubeflow"] = "kubeflow"
    kind: Literal["pipeline", "trainjob"] = Field(
        default="pipeline",
        description="pipeline: a task for each step; trainjob: one pod runs the plan (Trainer 2.2 or later)",
    )
    runtime: str = Field(
        default="torch-distributed", min_length=1, description="The ClusterTrainingRuntime of a trainjob"
    )
    cache: bool = Field(
        default=False,
        description="Let Kubeflow skip steps that it has seen; our own store does so by content",
    )

    trains: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {"image", "resources", "env", "labels", "annotations", "volumes", "retries", "deadline"}
    )

    def takes(self) -> frozenset[str]:
        """A TrainJob is tried again as its runtime says, and can be queued."""
        return self.honours if self.kind == "pipeline" else _TRAINJOB

    def needs_plan(self, release: Release) -> bool:
        """Its graph is the pipeline's."""
        return release.train is not None and self.kind == "pipeline"

    def render(self, release: Release) -> Rendered:
        """The pipeline as a file and what has to be in the cluster before it runs, or all of a TrainJob."""
        if release.train is None:
            return Rendered()
        if self.kind == "trainjob":
            return self._trainjob(release)
        release = by_steps(release)
        found = tasks(plan_of(release))
        volume = ground.store_volume(release)
        objects = in_order([training.config_map(release), *([volume] if volume is not None else [])])
        documents = [self._pipeline(release, found), _platform(release, found)]
        return Rendered(
            tuple(objects),
            {FILE: "---\n".join(as_yaml(document) for document in documents)},
        )

    def _trainjob(self, release: Release) -> Rendered:
        workload, image = training.training(release)
        volume = ground.store_volume(release)
        found = [
            *([ground.namespace(release)] if release.create_namespace else []),
            ground.service_account(release, training.COMPONENT, workload, image.version),
            training.config_map(release),
            *([volume] if volume is not None else []),
            train_job(release, self.runtime),
        ]
        return Rendered(tuple(in_order(found)))

    def _pipeline(self, release: Release, found: list[Task]) -> Object:
        workload, image = training.training(release)
        executors = {
            f"exec-{task.name}": {
                "container": {
                    "image": str(image),
                    "command": ["dml"],
                    "args": _arguments(task),
                    "env": _environment(release),
                    "resources": _resources(workload.resources),
                }
            }
            for task in found
        }
        return {
            "components": {f"comp-{task.name}": {"executorLabel": f"exec-{task.name}"} for task in found},
            "deploymentSpec": {"executors": executors},
            "pipelineInfo": {"name": release.name},
            "root": {"dag": {"tasks": {task.name: self._task(task, workload.retries) for task in found}}},
            "schemaVersion": _SCHEMA,
            "sdkVersion": f"dml-{release.dml_version}",
        }

    def _task(self, task: Task, retries: int) -> Object:
        found: Object = {
            "cachingOptions": {"enableCache": True} if self.cache else {},
            "componentRef": {"name": f"comp-{task.name}"},
            "taskInfo": {"name": task.name},
        }
        if task.needs:
            found["dependentTasks"] = list(task.needs)
        if retries:
            found["retryPolicy"] = {
                "backoffDuration": "10s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "600s",
                "maxRetryCount": retries,
            }
        return found


def _arguments(task: Task) -> list[str]:
    if task.step:
        return ["step", f"{CONFIG}/{PLAN_FILE}", task.step, "--store", STORE]
    return ["run", f"{CONFIG}/{SPEC_FILE}", "--collect", "--store", STORE]


def _environment(release: Release) -> list[Object]:
    clear = {"HOME": SCRATCH, "TMPDIR": SCRATCH, **clear_environment(release, "train")}
    return [{"name": name, "value": text} for name, text in sorted(clear.items())]


def _resources(wanted: PodResources) -> Object:
    found: Object = {
        "resourceCpuRequest": wanted.cpu,
        "resourceMemoryRequest": wanted.memory,
        "resourceMemoryLimit": wanted.limits.memory or wanted.memory,
    }
    if wanted.limits.cpu is not None:
        found["resourceCpuLimit"] = wanted.limits.cpu
    if wanted.gpu:
        found["accelerator"] = {"resourceType": wanted.gpu_resource, "resourceCount": str(wanted.gpu)}
    return found


def _platform(release: Release, found: list[Task]) -> Object:
    """What a cluster mounts and forbids: extensions of Kubeflow for Kubernetes, the same for every step."""
    workload, image = training.training(release)
    config = training.config_map(release)["metadata"]["name"]
    claims = [(store_claim(release), STORE)]
    claims += [(mount.claim, mount.at) for _, mount in sorted(workload.volumes.items())]
    each: Object = {
        "activeDeadlineSeconds": str(seconds_of(workload.deadline)),
        "configMapAsVolume": [
            {
                "configMapName": config,
                "configMapNameParameter": _constant(config),
                "mountPath": CONFIG,
                "optional": False,
            }
        ],
        "emptyDirMounts": [
            {"mountPath": SCRATCH, "sizeLimit": workload.resources.scratch, "volumeName": "tmp"}
        ],
        "podMetadata": {
            "labels": labels(release, training.COMPONENT, workload, image.version),
            "annotations": {**release.annotations, **workload.annotations},
        },
        "pvcMount": [
            {"constant": claim, "mountPath": path, "pvcNameParameter": _constant(claim)}
            for claim, path in claims
        ],
        "securityContext": {"runAsGroup": str(USER), "runAsNonRoot": True, "runAsUser": str(USER)},
    }
    if release.train_secrets:
        each["secretAsEnv"] = [
            {
                "keyToEnv": [{"envVar": name, "secretKey": ref.key}],
                "optional": False,
                "secretName": ref.secret,
                "secretNameParameter": _constant(ref.secret),
            }
            for name, ref in sorted(release.train_secrets.items())
        ]
    if release.pull_secrets:
        each["imagePullSecret"] = [
            {"secretName": name, "secretNameParameter": _constant(name)} for name in release.pull_secrets
        ]
    executors = {f"exec-{task.name}": each for task in found}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _constant(value: str) -> Object:
    return {"runtimeValue": {"constant": value}}
