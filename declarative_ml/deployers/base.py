"""What every deployer knows: from a release, which says nothing of a platform, to objects or files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from declarative_ml.core.component import Component
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.model_servers import OURS, Runtime
from declarative_ml.deployers.sections import (
    PredictWorkload,
    SecretRef,
    ServeWorkload,
    TrainWorkload,
    Volume,
)
from declarative_ml.graph.plan import Plan

Object = dict[str, Any]
"""An object of the Kubernetes API, as plain JSON values."""

ALL_KEYS = frozenset[str]().union(
    *(each.model_fields for each in (ServeWorkload, TrainWorkload, PredictWorkload))
)
"""Every key of `deploy.serve`, `deploy.train` and `deploy.predict`."""


@dataclass(frozen=True)
class Scoring:
    """What batch scoring reads and writes, and with which model."""

    image: Image | None
    model: str
    """As `Release.model`."""
    words: tuple[str, ...]
    """Of `dml predict` behind the model: the source, and where to."""

    @property
    def asks_registry(self) -> bool:
        """Whether the model is one in the registry."""
        return self.model not in ("image", "store")


@dataclass(frozen=True)
class Patch:
    """A last change of rendered objects: strategic merge, or operations of RFC 6902."""

    kind: str
    name: str | None
    """None: all objects of the kind."""
    merge: Mapping[str, Any] | None = None
    operations: tuple[Mapping[str, Any], ...] = ()
    place: int = 0
    """Its position in `deploy.patches`."""


@dataclass(frozen=True)
class Release:
    """What is deployed. Equal specs give equal releases, on every machine."""

    name: str
    """The spec's name: a DNS-1123 label."""
    image: Image | None
    """Of the service."""
    train_image: Image | None
    namespace: str
    spec_digest: str
    spec_text: str
    """The spec as pods read it: resolved, without `deploy`, secrets as references."""
    serve_options: Mapping[str, Any]
    """The section `serve` as JSON values, and `monitor` in it; secrets are references."""
    model: str = "image"
    """`image`, `store`, or a version in the registry, such as registry:churn@champion."""
    asks_registry: bool = False
    """Whether the service asks the registry, for its model or for one beside it."""
    registry: str | None = None
    """The address of the tracking server; None: the registry lies in the store."""
    serve: ServeWorkload | None = None
    train: TrainWorkload | None = None
    predict: PredictWorkload | None = None
    scoring: Scoring | None = None
    """Where there is `predict`."""
    plan: Plan | None = None
    """None where only the shape of the objects matters."""
    serve_secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    train_secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    predict_secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    store: Volume = field(default_factory=lambda: Volume(size="10Gi"))
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    """How many train a network together."""
    part_of: str = ""
    create_namespace: bool = False
    pod: Mapping[str, Any] = field(default_factory=dict)
    """Fields of every pod spec; those of a workload lie over them."""
    pull_secrets: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()
    dml_version: str = ""

    def only(self, *, serve: bool = False, train: bool = False, predict: bool = False) -> Release:
        """The same without the workloads that are not wanted."""
        return replace(
            self,
            serve=self.serve if serve else None,
            train=self.train if train else None,
            predict=self.predict if predict else None,
        )


@dataclass(frozen=True)
class Rendered:
    """What a deployer makes of a release: objects for a cluster's API, or files by relative name."""

    objects: tuple[Object, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


class Deployer(Component):
    """A place where the work of a spec is deployed. Its fields are its own options.

    Subclasses declare `type: Literal["name"] = "name"`.
    """

    type: str
    serves: ClassVar[bool] = False
    """Whether it can run the service."""
    trains: ClassVar[bool] = False
    """Whether it can run the training."""
    predicts: ClassVar[bool] = False
    """Whether it can run batch scoring."""
    honours: ClassVar[frozenset[str]] = frozenset()
    """The keys of the workloads below `deploy` that it takes; of others the person is told."""
    cluster: ClassVar[bool] = False
    """Whether its objects go to a Kubernetes API: then apply, diff, delete, status and logs work."""

    spreads: ClassVar[bool] = False
    """Whether several pods of one training write the store at once, whatever the spec says of `parallel`."""

    @property
    def answers(self) -> Runtime:
        """Which server answers: ours, or that of others, which has none of our options."""
        return OURS

    def takes(self) -> frozenset[str]:
        """The keys that it honours with the options that it has."""
        return self.honours

    def needs_plan(self, release: Release) -> bool:
        """Whether rendering asks for `release.plan`, whose making looks at the data's files."""
        return False

    @abstractmethod
    def render(self, release: Release) -> Rendered:
        """The objects or files, byte for byte the same for the same release. Pure: no clock, no network.

        Renders the workloads that the release has, without its patches: those come after all objects of all
        targets. Raises UsageError for what it cannot express.
        """
