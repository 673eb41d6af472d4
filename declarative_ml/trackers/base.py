"""What every tracker knows: runs, each written exactly once, and a registry of the models that may ship."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from declarative_ml.core.component import Component, Section
from declarative_ml.trackers.promotions import Promotion

KEY_TAG = "dml.key"
"""The tag that names a run, and the version that was registered of it, for ever."""
GATES_TAG = "dml.gates"
"""On a run and a version: `passed`, `failed`, or `none` where nothing was asked of the model."""
DIGEST_TAG = "dml.model_digest"
METRIC_TAG = "dml.metric"
"""The primary metric with the part that it was measured on, for example "test.roc_auc"."""
SCORE_TAG = "dml.score"
CHAMPION = "champion"
CHALLENGER = "challenger"
"""Aliases: the version that serves, and the newest one that was registered."""


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


class Registered(Section):
    """One version of a model in the registry."""

    name: str
    version: int
    aliases: tuple[str, ...] = ()
    run_id: str
    """The tracker's run that made it; empty for a version that names none."""
    model_digest: str
    """Of the bundle; empty where something else than dml registered the version."""
    created: str
    """UTC, for example 2026-03-01T09:30:00Z."""
    tags: dict[str, str] = Field(default_factory=dict)

    @property
    def gates(self) -> str:
        """`passed`, `failed` or `none`; `unknown` where something else than dml registered the version."""
        return self.tags.get(GATES_TAG, "unknown")

    @property
    def score(self) -> float | None:
        """The value of the primary metric, which the tag METRIC_TAG names."""
        text = self.tags.get(SCORE_TAG)
        return None if text is None else float(text)


class Tracker(Component):
    """Keeps the history of runs. `workspace` is the folder of the embedded store (`.dml`)."""

    type: str

    def require(self, workspace: Path) -> None:
        """Raise UsageError where it is plain before any work that no run can be recorded. Asks no server."""
        return

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

    @abstractmethod
    def register(
        self, workspace: Path, name: str, run_id: str, tags: Mapping[str, str], description: str = ""
    ) -> Registered:
        """The version of the model `name` that carries the key of `tags`; made of the run if there is none.

        It appears whole. The newest version gets the alias `challenger`.
        """

    @abstractmethod
    def registered(self, workspace: Path, name: str, alias: str) -> Registered | None:
        """The version that the alias points to, or None. Cheap on an embedded store."""

    @abstractmethod
    def versions(self, workspace: Path, name: str | None) -> list[Registered]:
        """The versions of a model, or of all of them, the newest first. Cheap on an embedded store."""

    @abstractmethod
    def fetch(self, workspace: Path, registered: Registered, target: Path) -> None:
        """Write the bundle of a version to the folder `target`, which must not exist and appears whole.

        Raises DataError when a file is not, byte for byte, the one that was evaluated.
        """

    @abstractmethod
    def promote(
        self,
        workspace: Path,
        name: str,
        version: int,
        alias: str = CHAMPION,
        *,
        who: str = "",
        forced: bool = False,
    ) -> Promotion | None:
        """Point the alias to the version, and write down what it replaced. None: it points there already.

        Whether the version deserves it is the caller's question.
        """

    @abstractmethod
    def rollback(self, workspace: Path, name: str, alias: str = CHAMPION, *, who: str = "") -> Promotion:
        """Point the alias to the version before the current one, any number of times in a row.

        Raises UsageError when there is none.
        """

    @abstractmethod
    def history(self, workspace: Path, name: str) -> list[Promotion]:
        """Every move of an alias of the model that was written down, the oldest first."""
