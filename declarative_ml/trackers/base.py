"""What every tracker knows: whether a run is already there, and how to write one, exactly once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from declarative_ml.core.component import Component, Section
from declarative_ml.core.errors import UsageError


@dataclass(frozen=True)
class NestedRun:
    """One trial of the run: a run of its own below it."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackContent:
    """One run to record. Everything optional is left out of the tracker when it is empty."""

    key: str
    """Names the run for ever: logging the same key twice leaves one finished run."""
    experiment: str
    run_name: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Flat names, for example "test.roc_auc". Values that are not finite are left out."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The resolved spec; nested mappings and lists are flattened to dotted names."""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Step id -> dicts with "step" and any of "train" and "validation"."""
    files: Mapping[str, Path | bytes | str] = field(default_factory=dict)
    """Relative artifact path, for example "report.html" or "plots/roc.svg" -> file, bytes or text."""
    dataset_name: str = ""
    dataset_digest: str = ""
    """The fingerprint of the data (MLflow keeps 36 characters of it)."""
    dataset_source: str = ""
    """Where the data came from, as text."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Part ("train", "validation", "test") -> number of rows."""
    model: Path | None = None
    """The ONNX file."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Graph inputs: column -> "float32", "int64" or "string"."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Graph outputs: name -> dtype. A trailing "[n]" gives the width, for example "float32[3]"."""
    example: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """A few rows of typed input columns: column -> values of equal length."""
    requirements: Sequence[str] = ()
    """What the model needs to run, for pip; never inferred."""
    nested: Sequence[NestedRun] = ()
    register_as: str | None = None
    """Name in the model registry; None: not registered."""


class Registered(Section):
    """One version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...] = ()
    run_id: str = ""
    model_digest: str = ""
    created: str = ""
    tags: dict[str, str] = Field(default_factory=dict)


class Tracker(Component):
    """Keeps the history of runs. `workspace` is the folder of the embedded store (`.dml`)."""

    type: str

    @abstractmethod
    def find(self, workspace: Path, key: str) -> str | None:
        """The id of the finished run with this key, or None. Cheap: it decides the no-op of a re-run.

        Raises DmlError when a remote tracker cannot be reached.
        """

    @abstractmethod
    def log(self, workspace: Path, content: TrackContent) -> str:
        """Record the run and return its id; where a finished run has the key already, only its id.

        What a killed process left under the same key is removed. Raises DmlError when the tracker
        cannot be reached or refuses.
        """

    def registered(self, workspace: Path, name: str, alias: str) -> Registered | None:
        """The version of the registered model `name` that has the alias; None where there is none, as in a
        tracker without a registry. Raises DmlError when a remote tracker cannot be reached."""
        return None

    def fetch(self, workspace: Path, registered: Registered, target: Path) -> None:
        """Write the verified bundle of a registered version into the new folder `target`."""
        raise UsageError(f"the tracker {self.type} has no model registry")
