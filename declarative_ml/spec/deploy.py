"""The section `deploy`: where the service and the training run; and the door from a spec to a release."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, field_validator, model_validator

from declarative_ml.core.component import Section
from declarative_ml.core.secret import Secret
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.deployers.base import Deployer
from declarative_ml.deployers.base import Patch as PatchOfObjects
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.model import IN_IMAGE, IN_STORE
from declarative_ml.deployers.sections import (
    PredictWorkload,
    SecretRef,
    ServeWorkload,
    TrainWorkload,
    Volume,
)
from declarative_ml.sources.remote import STORE_PATH
from declarative_ml.sources.sink import Sink
from declarative_ml.sources.table_writer import ENDINGS
from declarative_ml.spec.any_source import AnySink, AnySource
from declarative_ml.trackers.registry_name import read_registry_name

if TYPE_CHECKING:
    AnyDeployer = Deployer
else:
    AnyDeployer = Annotated[Union[tuple(DEPLOYERS.classes())], Field(discriminator="type")]  # noqa: UP007

DEFAULT = "kubernetes"


WORK = {"serve": "the service", "train": "the training", "predict": "batch scoring"}
"""What runs somewhere, in words."""


def _checked_model(model: str | None) -> str | None:
    if model is not None and model not in (IN_IMAGE, IN_STORE) and read_registry_name(model) is None:
        raise ValueError(f"{model!r} is neither image nor store, nor a version in the registry")
    return model


class DeployServe(ServeWorkload):
    """Where and how the service runs."""

    to: AnyDeployer = Field(
        default_factory=lambda: DEPLOYERS.parse(DEFAULT), description="The target, or its options"
    )

    @field_validator("model")
    @classmethod
    def _somewhere(cls, model: str | None) -> str | None:
        return _checked_model(model)


class DeployTrain(TrainWorkload):
    """Where and how the training runs."""

    to: AnyDeployer = Field(
        default_factory=lambda: DEPLOYERS.parse(DEFAULT), description="The target, or its options"
    )


class DeployPredict(PredictWorkload):
    """Where and how batches are scored: what `dml predict` does, by a schedule or once."""

    to: AnyDeployer = Field(
        default_factory=lambda: DEPLOYERS.parse(DEFAULT), description="The target, or its options"
    )
    source: AnySource = Field(description="The rows to score: a source as under `data`, or its path")
    output: AnySink | str = Field(
        description="The file that is written, whole, each time: csv, tsv, parquet, jsonl or arrow by "
        "extension, on a volume or at s3://…; or a sink such as {type: sql, url, table, mode}"
    )

    @field_validator("model")
    @classmethod
    def _somewhere(cls, model: str | None) -> str | None:
        return _checked_model(model)

    @field_validator("output")
    @classmethod
    def _of_a_kind(cls, output: Sink | str) -> Sink | str:
        if isinstance(output, str) and "://" in output and not STORE_PATH.match(output):
            hint = "tables as {type: sql, url: …, table: …}"
            raise ValueError(f"files are written to volumes and object stores, and {hint}")
        if isinstance(output, str) and PurePosixPath(output).suffix not in ENDINGS:
            raise ValueError(f"{output!r} has no extension of {', '.join(ENDINGS)}")
        return output

    def resolved(self, folder: Path) -> DeployPredict:
        """The same with paths taken from `folder`."""
        output = self.output
        if isinstance(output, Sink):
            output = output.resolved(folder)
        elif not STORE_PATH.match(output):
            output = str(folder / Path(output).expanduser())
        return self.model_copy(update={"source": self.source.resolved(folder), "output": output})


class Operation(Section):
    """One operation of a JSON patch (RFC 6902)."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"] = Field(description="What to do")
    path: str = Field(description="JSON pointer, such as /spec/template/spec/dnsPolicy")
    value: Any = Field(default=None, description="For add, replace and test")
    source: str | None = Field(default=None, alias="from", description="For move and copy")


class Patch(Section):
    """A last change of rendered objects."""

    kind: str = Field(min_length=1, description="Kind of the objects, such as Deployment")
    name: str | None = Field(default=None, description="Of one object; absent: all of the kind")
    merge: dict[str, Any] | None = Field(
        default=None, description="Laid over the object: lists merge by name, null removes"
    )
    operations: tuple[Operation, ...] = Field(default=(), description="A JSON patch")

    @model_validator(mode="after")
    def _one_of(self) -> Patch:
        if (self.merge is None) == (not self.operations):
            raise ValueError("give either 'merge' or 'operations'")
        return self


class Deploy(Section):
    """Images, and where the service and the training run."""

    image: str | None = Field(
        default=None, description="HOST/NAME:TAG of the service; the training's has the tag TAG-train"
    )
    base: str | None = Field(
        default=None,
        description="What `dml package` builds the images on, with a tag or, better, a digest; absent: "
        "Debian's slim image of the Python at hand",
    )
    namespace: str | None = Field(default=None, description="Absent: the spec's name")
    create_namespace: bool = Field(
        default=False, description="Also render the namespace, with the security standard `restricted`"
    )
    secrets: dict[str, SecretRef] = Field(
        default_factory=dict, description="Environment variable of the pods -> where its value is kept"
    )
    pull_secrets: tuple[str, ...] = Field(default=(), description="Secrets that let images be pulled")
    part_of: str | None = Field(default=None, description="The larger application; absent: the spec's name")
    labels: dict[str, str] = Field(default_factory=dict, description="Of all objects and pods")
    annotations: dict[str, str] = Field(default_factory=dict, description="Of all objects and pods")
    store: Volume = Field(
        default=Volume(size="10Gi"), description="The workspace that trainings share, and the service reads"
    )
    pod: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of every pod spec, laid over what is rendered; lists merge by name",
    )
    serve: DeployServe | None = Field(
        default=None, description="The service; absent: with its defaults where there is no other work"
    )
    train: DeployTrain | None = Field(default=None, description="The training; absent: none")
    predict: DeployPredict | None = Field(default=None, description="Batch scoring; absent: none")
    patches: tuple[Patch, ...] = Field(default=(), description="Last changes of rendered objects")

    @field_validator("base")
    @classmethod
    def _named_exactly(cls, base: str | None) -> str | None:
        if base is not None:
            Image.read(base)
        return base

    @property
    def service(self) -> DeployServe | None:
        """The service that is wanted: a section without workloads means one with the defaults, unless it only
        says what `dml package` builds on."""
        only_base = self.image is None and self.base is not None
        alone = self.train is None and self.predict is None and not only_base
        return DeployServe() if self.serve is None and alone else self.serve

    def patches_of_objects(self) -> tuple[PatchOfObjects, ...]:
        """The patches as deployers take them."""
        return tuple(
            PatchOfObjects(
                patch.kind,
                patch.name,
                patch.merge,
                tuple(each.model_dump(by_alias=True, exclude_unset=True) for each in patch.operations),
                place,
            )
            for place, patch in enumerate(self.patches)
        )


def environment_of(section: Any) -> set[str]:
    """The environment variables that the secrets of a section name."""
    return {found[1] for text in references_of(section) if (found := _VARIABLE.match(text))}


_VARIABLE = re.compile(r"^\$\{env:([A-Za-z_][A-Za-z0-9_]*)")


def references_of(value: Any) -> Iterator[str]:
    """The references of all secrets in a section."""
    if isinstance(value, Secret):
        yield value.reference
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references_of(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references_of(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from references_of(item)
