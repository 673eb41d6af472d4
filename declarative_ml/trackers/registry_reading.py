"""A version in MLflow's registry, found and fetched without MLflow: a service has no room for it.

Of an embedded store the sqlite file and the folders beside it are read; a server is asked over HTTP by what
its clients use: the REST API, and its proxy for artifacts. https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from declarative_ml.core.atomic import publish_folder
from declarative_ml.core.digest import digest_file, digest_json
from declarative_ml.core.errors import DataError, DmlError, UsageError
from declarative_ml.core.secret import Secret
from declarative_ml.store.bundle import (
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    MODEL,
    Bundle,
    parse_manifest,
)
from declarative_ml.trackers.base import Registered
from declarative_ml.trackers.mlflow_entities import registered_version
from declarative_ml.trackers.mlflow_http import NotThere, Server
from declarative_ml.trackers.mlflow_sqlite import places_in_sqlite, versions_in_sqlite
from declarative_ml.trackers.mlflow_store import Store, locate
from declarative_ml.trackers.registry_name import RegistryName

BUNDLE = "bundle"
MOST_BYTES = 8 << 30
"""Of one version, all files together."""


@dataclass(frozen=True)
class RegistryPlace:
    """Where a registry is."""

    workspace: Path
    uri: str | None = None
    """None: the sqlite file in the workspace."""
    token: Secret | None = None
    """None: what MLflow's own variables hold, such as MLFLOW_TRACKING_TOKEN, if anything."""

    def open(self) -> Registry:
        """The registry, which nobody has asked yet. Raises DmlError for a kind that needs MLflow."""
        store = locate(self.workspace, self.uri)
        if store.database is not None:
            return _Embedded(store)
        if urlsplit(store.uri).scheme in ("http", "https"):
            return _Remote(Server(store, self.token))
        raise DmlError(
            f"a service cannot read the registry {store.shown}",
            hint="give it an MLflow server (http://…), or the sqlite file",
        )


class Registry(Protocol):
    """What a service asks a registry."""

    @property
    def shown(self) -> str:
        """Its address, without a password."""

    def find(self, wanted: RegistryName) -> Registered:
        """The version that is meant now. Raises DmlError where there is none, or nobody answers."""

    def files(self, registered: Registered) -> Files:
        """The way to its files."""


Files = Callable[[str, Path, int], None]
"""A file's name in the bundle, where to write it, and how many bytes it may have."""


def fetch(registry: Registry, registered: Registered, cache: Path) -> Bundle:
    """The bundle of a version, from `cache` where it is there whole. It appears there at once, verified.

    Raises DataError when a file is not, byte for byte, the one that was evaluated.
    """
    target = (
        cache / digest_json([registry.shown, registered.name, registered.version, registered.run_id])[:24]
    )
    if target.is_dir():
        try:
            return _checked(Bundle.open(target, verify=True), registered)
        except DataError:
            shutil.rmtree(target)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        _download(registry.files(registered), temporary, registered)
        _checked(Bundle.open(temporary, verify=True), registered)
        publish_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle.open(target)


def _checked(bundle: Bundle, registered: Registered) -> Bundle:
    found = bundle.manifest.model_digest
    if registered.model_digest and found != registered.model_digest:
        raise DataError(
            f"version {registered.version} of {registered.name} has the model digest "
            f"{registered.model_digest}, and its bundle {found}",
            hint="the artifacts of its run were changed: register the model again",
        )
    return bundle


def _download(files: Files, folder: Path, registered: Registered) -> None:
    try:
        files(MANIFEST, folder / MANIFEST, MAX_MANIFEST_BYTES)
    except NotThere as error:
        raise DataError(
            f"version {registered.version} of {registered.name} holds no bundle",
            hint="only versions that dml run registered can be fetched",
        ) from error
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), folder / MANIFEST)
    if len(manifest.files) > MAX_FILES:
        raise DataError(f"the bundle lists more than {MAX_FILES} files")
    left = MOST_BYTES
    for name, digest in manifest.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        files(name, place, min(left, MAX_FILE_BYTES))
        left -= place.stat().st_size
        if digest_file(place) != digest:
            raise DataError(
                f"version {registered.version} of {registered.name}: {name} does not match its digest",
                hint="the download was cut, or the artifacts of the run were changed",
            )


@dataclass(frozen=True)
class _Embedded:
    store: Store

    @property
    def shown(self) -> str:
        return self.store.shown

    def find(self, wanted: RegistryName) -> Registered:
        assert self.store.database is not None
        for found in versions_in_sqlite(self.store.database, wanted.name):
            if found.version == wanted.version or (
                wanted.alias is not None and wanted.alias in found.aliases
            ):
                return found
        raise _absent(wanted, self.shown)

    def files(self, registered: Registered) -> Files:
        assert self.store.database is not None
        places = places_in_sqlite(self.store.database, registered)
        if places is None:
            raise DataError(f"the run of version {registered.version} of {registered.name} is gone")
        run, model = places

        def write(name: str, target: Path, most: int) -> None:
            source = _local(model) / MODEL if name == MODEL else _local(run) / BUNDLE / name
            if not source.is_file():
                raise NotThere(f"{source} does not exist")
            if source.stat().st_size > most:
                raise DataError(f"{name} is larger than {most:,} bytes")
            shutil.copyfile(source, target)

        return write


def _local(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise DataError(
            f"the artifacts lie at {parts.scheme}://…, which a service cannot read",
            hint="give the service an MLflow server that serves the artifacts",
        )
    return Path(url2pathname(parts.path) if parts.scheme else uri)


@dataclass(frozen=True)
class _Remote:
    server: Server

    @property
    def shown(self) -> str:
        return self.server.store.shown

    def find(self, wanted: RegistryName) -> Registered:
        named = {"name": wanted.name}
        try:
            if wanted.version is not None:
                path, query = "model-versions/get", {**named, "version": str(wanted.version)}
            else:
                path, query = "registered-models/alias", {**named, "alias": wanted.alias}
            found = self.server.ask(path, query)["model_version"]
        except NotThere:
            raise _absent(wanted, self.shown) from None
        return registered_version(
            str(found["name"]),
            int(found["version"]),
            found.get("run_id"),
            int(found.get("creation_timestamp", 0)),
            tags=_tags(found),
            aliases=[str(alias) for alias in found.get("aliases", [])],
        )

    def files(self, registered: Registered) -> Files:
        version = {"name": registered.name, "version": str(registered.version)}
        model = str(self.server.ask("model-versions/get-download-uri", version)["artifact_uri"])
        run = self.server.ask("runs/get", {"run_id": registered.run_id})["run"]["info"]
        root = str(run["artifact_uri"])

        def write(name: str, target: Path, most: int) -> None:
            if name == MODEL:
                path = _proxied(model, MODEL)
                query = {**version, "path": MODEL} if path is None else {}
                self.server.download(path or "model-versions/get-artifact", query, target, most)
            else:
                path = _proxied(root, f"{BUNDLE}/{name}")
                query = {"run_id": registered.run_id, "path": f"{BUNDLE}/{name}"} if path is None else {}
                self.server.download(path or "get-artifact", query, target, most)

        return write


def _proxied(root: str, name: str) -> str | None:
    """The path at the server's proxy for artifacts; None where they lie elsewhere, and the server fetches."""
    parts = urlsplit(root)
    if parts.scheme != "mlflow-artifacts":
        return None
    return "api/2.0/mlflow-artifacts/artifacts/" + quote(f"{parts.path.strip('/')}/{name}")


def _tags(found: Any) -> dict[str, str]:
    return {str(tag["key"]): str(tag.get("value", "")) for tag in found.get("tags", [])}


def _absent(wanted: RegistryName, shown: str) -> UsageError:
    which = f"version {wanted.version}" if wanted.version is not None else f"alias {wanted.alias!r}"
    return UsageError(
        f"the registry {shown} has no model {wanted.name!r} with {which}",
        hint=f"dml models {wanted.name} lists what there is; dml promote {wanted.name} makes a champion",
    )
