"""Kubernetes: the service as a Deployment, the training as a Job or CronJob."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from declarative_ml.deployers.base import ALL_KEYS, Deployer, Object, Release, Rendered
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.manifests import access, foreign, ground, predicting, scaling, serving, training
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.model import uses_store
from declarative_ml.deployers.model_servers import OURS, SERVERS, ModelServer, Runtime


class Kubernetes(Deployer):
    """Plain objects of a cluster: they are let into namespaces with the security standard `restricted`."""

    type: Literal["kubernetes"] = "kubernetes"
    runtime: Runtime = Field(
        default=OURS,
        description="What answers: dml, our service; triton, by model.onnx; tf-serving, by the "
        "savedmodel of `convert`",
    )
    runtime_image: str | None = Field(
        default=None,
        description="triton, tf-serving: the server's own image, which `dml package` puts the model into",
    )

    serves: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = ALL_KEYS

    @field_validator("runtime_image")
    @classmethod
    def _named_exactly(cls, image: str | None) -> str | None:
        if image is not None:
            Image.read(image)
        return image

    @model_validator(mode="after")
    def _has_image(self) -> Kubernetes:
        if (self.runtime == OURS) != (self.runtime_image is None):
            raise ValueError("'runtime_image' belongs to 'runtime: triton' and 'tf-serving', which need it")
        return self

    @property
    def answers(self) -> Runtime:
        """See Deployer.answers."""
        return self.runtime

    def needs_plan(self, release: Release) -> bool:
        """One job a step: then it must be known which steps there are."""
        return release.train is not None and release.train.parallel == "steps"

    def render(self, release: Release) -> Rendered:
        """The objects in the order in which they are applied."""
        return Rendered(
            tuple(
                in_order(
                    [*_around(release), *self._serving(release), *_training(release), *_predicting(release)]
                )
            )
        )

    def _serving(self, release: Release) -> list[Object]:
        if release.serve is None:
            return []
        workload, image = serving.serving(release)
        account = ground.service_account(release, serving.COMPONENT, workload, image.version)
        found = [
            account,
            *(_by_us(release) if self.runtime == OURS else _by(release, SERVERS[self.runtime])),
            scaling.autoscaler(release),
            scaling.disruption_budget(release),
            access.ingress(release),
        ]
        return [each for each in found if each is not None]


def _by_us(release: Release) -> list[Object | None]:
    return [
        serving.config_map(release),
        access.serving_policy(release),
        serving.service(release),
        serving.deployment(release, serving.serving_pod(release)),
        access.service_monitor(release),
    ]


def _by(release: Release, server: ModelServer) -> list[Object | None]:
    return [
        access.serving_policy(release, server.ports),
        serving.service(release, server.ports),
        serving.deployment(release, foreign.server_pod(release, server)),
        access.service_monitor(release, *server.metrics),
    ]


def _around(release: Release) -> list[Object]:
    found = [ground.namespace(release)] if release.create_namespace else []
    volume = ground.store_volume(release) if uses_store(release) else None
    return found if volume is None else [*found, volume]


def _predicting(release: Release) -> list[Object]:
    return [] if release.predict is None else predicting.objects(release)


def _training(release: Release) -> list[Object]:
    if release.train is None:
        return []
    workload, image = training.training(release)
    return [
        ground.service_account(release, training.COMPONENT, workload, image.version),
        training.config_map(release),
        access.training_policy(release, training.COMPONENT, workload, image.version),
        *training.training_jobs(release),
    ]
