"""What a spec says of a workload, whatever it is deployed to: the sections below `deploy`.

Names and quantities are texts here: `spec.deploy_faults` says what is wrong with them, with codes.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration


class Replicas(Section):
    """How many pods serve."""

    min: int = Field(default=1, ge=1, le=10_000, description="At least so many")
    max: int | None = Field(
        default=None, ge=1, le=10_000, description="At most so many, as the load asks; absent: always `min`"
    )
    cpu_percent: int = Field(
        default=70, ge=1, le=1000, description="Of the requested cpu, on average: above it, more are started"
    )
    scale_down: Duration = Field(
        default="5m", description="Load must be low for so long before any is stopped"
    )

    @property
    def scales(self) -> bool:
        """Whether the number follows the load."""
        return self.max is not None and self.max > self.min


class Limits(Section):
    """Ceilings apart from the requests."""

    cpu: str | None = Field(default=None, description="Such as 2; absent: none")
    memory: str | None = Field(default=None, description="Such as 2Gi; absent: what is requested")


class PodResources(Section):
    """What a pod asks for."""

    cpu: str = Field(default="500m", description="Processors that are kept free for it: 500m, 2")
    memory: str = Field(
        default="512Mi", description="Memory that is kept free for it, and its ceiling: 512Mi"
    )
    limits: Limits = Field(default=Limits(), description="Ceilings that differ from the requests")
    scratch: str = Field(default="1Gi", description="Ceiling of the temporary files")
    shared_memory: str | None = Field(
        default=None,
        description="Of /dev/shm, such as 1Gi, on top of the memory; absent: the platform's 64 MB",
    )
    gpu: int = Field(default=0, ge=0, le=64, description="Graphics processors")
    gpu_resource: str = Field(default="nvidia.com/gpu", description="The name of the resource of one")
    gpu_label: str = Field(
        default="nvidia.com/gpu.product", description="The label of nodes that says its kind"
    )
    gpu_kind: str | None = Field(default=None, description="The value of that label; absent: any")


class SecretRef(Section):
    """An environment variable of the pods whose value a secret of the platform holds."""

    secret: str = Field(min_length=1, description="Name of the secret")
    key: str = Field(min_length=1, description="Key inside of it")
    only: Literal["serve", "train", "predict"] | None = Field(
        default=None, description="Which pods get it; absent: those whose part of the spec names it, else all"
    )


class Volume(Section):
    """Storage that outlives a pod."""

    claim: str | None = Field(default=None, description="A PersistentVolumeClaim that is there")
    size: str | None = Field(default=None, description="Make one of this size, such as 10Gi")
    storage_class: str | None = Field(default=None, description="Its storage class; absent: the cluster's")
    access: Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"] | None = Field(
        default=None,
        description="Absent: ReadWriteMany where steps run in parallel or several pods serve from it, "
        "else ReadWriteOnce",
    )

    @model_validator(mode="after")
    def _one_of(self) -> Volume:
        if (self.claim is None) == (self.size is None):
            raise ValueError("give either 'claim' or 'size'")
        return self


class Mount(Section):
    """A claim that is mounted in pods."""

    claim: str = Field(min_length=1, description="A PersistentVolumeClaim that is there")
    at: str = Field(min_length=1, description="Where it is mounted: an absolute path")
    read_only: bool = Field(default=True, description="Whether pods may only read it")


class Ingress(Section):
    """A way in from outside of the cluster."""

    host: str = Field(min_length=1, description="Name under which the service is reached")
    path: str = Field(default="/", description="Below this path")
    ingress_class: str = Field(min_length=1, description="The class of the controller, such as nginx")
    tls_secret: str = Field(min_length=1, description="The secret with the certificate")
    namespace: str = Field(
        default="ingress-nginx", min_length=1, description="Where the controller runs: it is let in"
    )
    annotations: dict[str, str] = Field(default_factory=dict, description="For the controller")


class Scrape(Section):
    """Prometheus collects the metrics: a ServiceMonitor of its operator."""

    interval: Duration = Field(default="30s", description="How often")
    labels: dict[str, str] = Field(
        default_factory=dict, description="By which Prometheus finds the ServiceMonitor"
    )
    namespace: str = Field(default="monitoring", min_length=1, description="Where Prometheus runs")


class Network(Section):
    """Who may talk to the pods, and to whom they may."""

    ingress: tuple[str, ...] = Field(
        default=(), description="Namespaces whose pods may ask the service; its own is always among them"
    )
    egress: tuple[str, ...] = Field(
        default=(), description="Addresses such as 10.0.0.0/8 that the pods may reach, beside names (DNS)"
    )


class Workload(Section):
    """What all pods of one kind have in common."""

    image: str | None = Field(default=None, description="Its image; absent: the one of `deploy`")
    resources: PodResources = Field(default=PodResources(), description="What a pod asks for")
    env: dict[str, str] = Field(default_factory=dict, description="Environment variables in clear")
    labels: dict[str, str] = Field(default_factory=dict, description="Of its objects and pods")
    annotations: dict[str, str] = Field(default_factory=dict, description="Of its objects and pods")
    volumes: dict[str, Mount] = Field(default_factory=dict, description="Claims to mount, by name")
    network: Network | None = Field(
        default=None,
        description="Who talks to whom; absent: in, only what is in the same namespace; out, only DNS for "
        "the service and everything for the training",
    )
    pod: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the pod spec, laid over what is rendered; lists merge by name",
    )


class ServeWorkload(Workload):
    """The service in the cluster."""

    model: str | None = Field(
        default=None,
        description="image: the bundle inside of the image; store: the latest good run in `deploy.store`; "
        "registry@champion and the like: what the registry names, followed; absent: `serve.model`, or image",
    )
    replicas: Replicas = Field(default=Replicas(), description="How many pods; a number: always so many")
    startup: Duration = Field(default="2m", description="A pod that does not answer by then is started anew")
    drain: Duration = Field(default="30s", description="For requests in flight when a pod is stopped")
    update: Literal["surge", "replace"] = Field(
        default="surge",
        description="surge: the new pod comes first; replace: the old one goes first (no room for two)",
    )
    ingress: Ingress | None = Field(default=None, description="A way in from outside; absent: none")
    scrape: Scrape | None = Field(
        default=None, description="Prometheus collects the metrics; true: with the defaults; absent: not"
    )


class JobWorkload(Workload):
    """Work that ends: once, or by a schedule."""

    schedule: str | None = Field(default=None, description="Five fields of cron: `0 3 * * 1`; absent: once")
    time_zone: str = Field(default="Etc/UTC", min_length=1, description="Of the schedule")
    retries: int = Field(default=2, ge=0, le=20, description="A pod that was lost or failed is started anew")
    deadline: Duration = Field(default="6h", description="The whole job ends by then")
    keep: Duration = Field(default="24h", description="A finished job is removed after")
    grace: Duration = Field(default="2m", description="Told to stop, a pod has so long to keep what it has")
    queue: str | None = Field(default=None, description="The Kueue queue that admits it")


class TrainWorkload(JobWorkload):
    """The training in the cluster."""

    resources: PodResources = Field(
        default=PodResources(cpu="2", memory="4Gi", scratch="4Gi"), description="What a pod asks for"
    )
    parallel: Literal["none", "steps"] = Field(
        default="none", description="none: one pod runs the plan; steps: each step is a job of its own"
    )


class PredictWorkload(JobWorkload):
    """Batch scoring in the cluster."""

    resources: PodResources = Field(
        default=PodResources(cpu="1", memory="2Gi", scratch="4Gi"), description="What a pod asks for"
    )
    model: str | None = Field(
        default=None,
        description="image: the bundle inside of the service's image; store: the latest good run in "
        "`deploy.store`; registry@champion and the like; absent: as the service",
    )
    keep_columns: tuple[str, ...] = Field(default=(), description="Columns of the source to copy")
