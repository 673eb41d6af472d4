"""SPEC or BUNDLE: find the bundle that a verb means. These verbs never train."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from declarative_ml.api.workspace import Workspace
from declarative_ml.core import user_cache
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle, is_bundle
from declarative_ml.trackers.registry_name import RegistryName, read_registry_name
from declarative_ml.trackers.registry_reading import RegistryPlace, fetch


def open_model(
    path: str,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
    tracking_uri: str | None = None,
) -> Bundle:
    """The bundle at `path`, of the latest good run of the spec at `path`, or of what a registry names
    (`registry:NAME@champion`), which is at `tracking_uri`, else $MLFLOW_TRACKING_URI, else in the workspace.

    Raises UsageError when the spec has no good run yet, DataError for a damaged bundle.
    """
    if (wanted := read_registry_name(path)) is not None:
        return _registered(wanted, store, tracking_uri)
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


def _registered(wanted: RegistryName, store: str | None, uri: str | None) -> Bundle:
    if wanted.name is None:
        raise UsageError(
            f"{wanted} names no model", hint=f"write registry:NAME{str(wanted)[len('registry') :]}"
        )
    workspace = Workspace.beside(Path("spec.yaml"), store).root
    registry = RegistryPlace(workspace, uri or os.environ.get("MLFLOW_TRACKING_URI")).open()
    folder = registry_cache()
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="dml-registry-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return fetch(registry, registry.find(wanted), folder)


def registry_cache() -> Path | None:
    """Where bundles of a registry are kept, between processes too; None: nowhere."""
    try:
        folder = user_cache.folder() / "registry"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a file system that cannot be written; no home
        return None
    return folder if os.access(folder, os.W_OK) else None
