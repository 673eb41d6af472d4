"""SPEC or BUNDLE: find the bundle that a verb means. These verbs never train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle, is_bundle


def open_model(
    path: str, *, profile: str | None = None, overrides: Sequence[str] = (), store: str | None = None
) -> Bundle:
    """The bundle at `path`, or of the latest good run of the spec at `path`.

    Raises UsageError when the spec has no good run yet, DataError for a damaged bundle.
    """
    place = Path(path)
    if place.is_dir() or place.suffix == ".zip":
        return Bundle.open(place)
    if place.exists() and is_bundle(place):
        return Bundle.open(place)
    loaded = load_spec(place, profile=profile, overrides=overrides)
    workspace = Workspace.beside(place, store)
    run = workspace.latest(place, loaded.spec.name)
    if run is None:
        raise UsageError(f"{path} has no finished run yet", hint=f"train it first: dml run {path}")
    return Bundle.open(run.bundle)
