"""Kubernetes: the service as a Deployment, the training as a Job or CronJob."""

from __future__ import annotations

from typing import ClassVar, Literal

from declarative_ml.deployers.base import ALL_KEYS, Deployer, Object, Release, Rendered
from declarative_ml.deployers.manifests import access, ground, predicting, scaling, serving, training
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.model import uses_store


class Kubernetes(Deployer):
    """Plain objects of a cluster: they are let into namespaces with the security standard `restricted`."""

    type: Literal["kubernetes"] = "kubernetes"

    serves: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = ALL_KEYS

    def needs_plan(self, release: Release) -> bool:
        """One job a step: then it must be known which steps there are."""
        return release.train is not None and release.train.parallel == "steps"

    def render(self, release: Release) -> Rendered:
        """The objects in the order in which they are applied."""
        return Rendered(
            tuple(
                in_order([*_around(release), *_serving(release), *_training(release), *_predicting(release)])
            )
        )


def _around(release: Release) -> list[Object]:
    found = [ground.namespace(release)] if release.create_namespace else []
    volume = ground.store_volume(release) if uses_store(release) else None
    return found if volume is None else [*found, volume]


def _serving(release: Release) -> list[Object]:
    if release.serve is None:
        return []
    workload, image = serving.serving(release)
    found = [
        ground.service_account(release, serving.COMPONENT, workload, image.version),
        serving.config_map(release),
        access.serving_policy(release),
        serving.service(release),
        serving.deployment(release),
        scaling.autoscaler(release),
        scaling.disruption_budget(release),
        access.ingress(release),
        access.service_monitor(release),
    ]
    return [each for each in found if each is not None]


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
