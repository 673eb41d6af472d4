"""The registry of models: what is in it, and which version is the champion."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import GateFailed, UsageError
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import CHALLENGER, CHAMPION, METRIC_TAG, Registered, Tracker
from declarative_ml.trackers.promotions import Promotion, took_effect

_SPECS = (".yaml", ".yml")
HOW = "`dml run` with `track: {register: NAME}` in the spec makes one"


@dataclass(frozen=True)
class Registry:
    """A registry, and the model that is meant in it."""

    tracker: Tracker
    workspace: Workspace
    name: str | None
    """None: whichever there is."""

    def versions(self) -> list[Registered]:
        """The versions, the newest first."""
        return self.tracker.versions(self.workspace.root, self.name)

    def one(self) -> tuple[str, list[Registered]]:
        """The one model that is meant, and its versions. Raises UsageError when there is none, or several."""
        versions = self.versions()
        names = sorted({version.name for version in versions})
        if len(names) == 1:
            return names[0], versions
        if names:
            raise UsageError(f"the registry has {len(names)} models", hint=f"name one: {', '.join(names)}")
        if self.name is None:
            raise UsageError("the registry has no models", hint=HOW)
        others = sorted({version.name for version in self.tracker.versions(self.workspace.root, None)})
        raise UsageError(
            f"the registry has no model '{self.name}'", hint=f"it has {', '.join(others)}" if others else HOW
        )


@dataclass(frozen=True)
class Move:
    """What a promotion or rollback did. `promotion` is None when the alias pointed there already."""

    name: str
    version: Registered
    alias: str
    promotion: Promotion | None

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        told = f"{self.name}: version {self.version.version} is {self.alias}"
        if self.promotion is None:
            return f"{told} already"
        before = self.promotion.before
        return f"{told} now" + (", the first one" if before is None else f"; it was version {before}")

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        before = self.version.version if self.promotion is None else self.promotion.before
        moved = {"changed": self.promotion is not None, "before": before}
        return {"name": self.name, "version": self.version.version, "alias": self.alias, **moved}


def open_registry(
    model: str | None = None,
    *,
    tracking_uri: str | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
) -> Registry:
    """The registry that `model` is in: a name, or a spec whose `track.register` is the name.

    It is at `tracking_uri`, else where the spec (or ./spec.yaml) tracks, else in the workspace.
    """
    is_spec = model is not None and (model.endswith(_SPECS) or Path(model).is_file())
    place = Path(model) if is_spec and model is not None else Path("spec.yaml")
    loaded: LoadedSpec | None = None
    if is_spec or (place.is_file() and (tracking_uri is None or model is None)):
        loaded = load_spec(place, profile=profile, overrides=overrides)
    elif profile is not None or overrides:
        raise UsageError("--profile and --set change a spec, and there is none here", hint="name the spec")
    name = model
    if loaded is not None:
        track = loaded.spec.track
        name = name if not is_spec else track.register_as
        if is_spec and name is None:
            raise UsageError(f"{model} registers no model", hint="write track: {register: NAME}")
        if model is None and tracking_uri is None:
            name = track.register_as
        tracking_uri = tracking_uri or track.uri
    tracker = TRACKERS.parse({"type": "mlflow", "uri": tracking_uri})
    return Registry(tracker, Workspace.beside(place, store), name)


def models(registry: Registry) -> list[dict[str, Any]]:
    """Every version as JSON, the newest first. Raises UsageError where there are only other models."""
    versions = registry.versions()
    if not versions and registry.tracker.versions(registry.workspace.root, None):
        registry.one()
    return [describe(version) for version in versions]


def describe(version: Registered) -> dict[str, Any]:
    """A version as JSON."""
    tags = version.tags
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "metric": tags.get(METRIC_TAG),
        "score": version.score,
        "gates": version.gates,
        "created": version.created,
        "model_digest": version.model_digest or None,
        "spec_digest": tags.get("dml.spec_digest"),
        "data_fingerprint": tags.get("dml.data_fingerprint"),
        "mlflow_run_id": version.run_id or None,
    }


def history(registry: Registry) -> list[dict[str, Any]]:
    """Every promotion and rollback as JSON, the oldest first; `effective`: whether the alias moved."""
    name, versions = registry.one()
    records = registry.tracker.history(registry.workspace.root, name)
    aliases = {alias: version.version for version in versions for alias in version.aliases}
    return [
        {"name": name, **record.model_dump(mode="json"), "effective": effective}
        for record, effective in zip(records, took_effect(records, aliases), strict=True)
    ]


def promote(
    registry: Registry,
    *,
    version: int | None = None,
    run: str | None = None,
    alias: str = CHAMPION,
    force: bool = False,
) -> Move:
    """Point the alias to a version: by number, by the run that made it, else the challenger.

    Raises UsageError for a version that is not there, GateFailed for one that is not known to have passed.
    """
    name, versions = registry.one()
    chosen = _chosen(registry, name, versions, version, run)
    if chosen.gates not in ("passed", "none") and not force:
        raise GateFailed(
            f"version {chosen.version} of {name} "
            + (
                "did not pass its gates"
                if chosen.gates == "failed"
                else "was not registered by dml run: whether it passes its gates is not known"
            ),
            hint="--force promotes it all the same",
        )
    forced = chosen.gates not in ("passed", "none")
    moved = registry.tracker.promote(
        registry.workspace.root, name, chosen.version, alias, who=_who(), forced=forced
    )
    return Move(name, chosen, alias, moved)


def rollback(registry: Registry, *, alias: str = CHAMPION) -> Move:
    """Point the alias to the version that it pointed to before. Raises UsageError when there is none."""
    name, versions = registry.one()
    moved = registry.tracker.rollback(registry.workspace.root, name, alias, who=_who())
    chosen = next(version for version in versions if version.version == moved.version)
    return Move(name, chosen, alias, moved)


def _chosen(
    registry: Registry, name: str, versions: list[Registered], version: int | None, run: str | None
) -> Registered:
    if version is not None:
        found = [item for item in versions if item.version == version]
        wanted = f"version {version}"
    elif run is not None:
        found = _made_by(registry, name, versions, run)
        wanted = f"version of run {run}"
    else:
        found = [item for item in versions if CHALLENGER in item.aliases]
        wanted = f"version with the alias {CHALLENGER}"
    if len(found) != 1:
        known = ", ".join(str(item.version) for item in versions)
        raise UsageError(
            f"{name} has no {wanted}" if not found else f"{name} has {len(found)} versions of run {run}",
            hint=f"its versions: {known}",
        )
    return found[0]


def _made_by(registry: Registry, name: str, versions: list[Registered], run: str) -> list[Registered]:
    """The versions that a run of dml, or of the tracker, made; by its id or the start of it."""
    numbers = {
        registered["version"]
        for item in registry.workspace.runs()
        if item.id.startswith(run) and (registered := _registered_by(item.record)).get("name") == name
    }
    return [item for item in versions if item.version in numbers or item.run_id.startswith(run)]


def _registered_by(record: dict[str, Any]) -> dict[str, Any]:
    return dict(record.get("result", {}).get("registered") or {})


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
