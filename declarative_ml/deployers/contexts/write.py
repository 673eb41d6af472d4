"""Write build contexts: folders that `docker build` takes. Equal inputs give equal bytes and times."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import declarative_ml
from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import UsageError
from declarative_ml.core.reading import Reading
from declarative_ml.deployers.contexts.dockerfile import (
    foreign_dockerfile,
    ignored,
    serve_dockerfile,
    train_dockerfile,
)
from declarative_ml.deployers.contexts.lock import Pin, lock_text, pins, serving_roots, training_roots
from declarative_ml.deployers.contexts.model_folder import write_model_folder
from declarative_ml.deployers.contexts.wheel import write_wheel
from declarative_ml.deployers.image import SERVE_FILE, SPEC_FILE
from declarative_ml.deployers.model_servers import FOLDER, SERVERS
from declarative_ml.store.bundle import Bundle
from declarative_ml.text.pipelines import is_folder

_TIME = 315_532_800
"""1980-01-01: of every file, unless SOURCE_DATE_EPOCH says another."""


@dataclass(frozen=True)
class ImageContext:
    """One written build context."""

    image: str
    """serve or train."""
    path: Path
    base: str
    pinned: tuple[Pin, ...] = field(default=())


def write_serve_context(
    folder: Path,
    base: str,
    bundle: Bundle | None,
    options: Mapping[str, Any],
    *,
    named: Mapping[str, str],
    more: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> ImageContext:
    """The image that serves `bundle`, or without one, whatever is mounted at /model.

    `options` are those of the section `serve`; secrets in them are references. `named` are title,
    description and authors; `more` distributions are installed besides, pyarrow for instance; `environment`
    lies over the image's own variables, such as DML_SERVE_MODEL.
    """
    pinned = pins(serving_roots([*more, *_readers(bundle)]))
    labels = _labels(base, named, {} if bundle is None else _digests(bundle))
    if bundle is not None:
        bundle.unpack(folder / "model")
    port = int(options["port"])
    text = serve_dockerfile(base, labels, port=port, with_model=bundle is not None, more=environment or {})
    write_text(folder / SERVE_FILE, json.dumps(options, indent=1, sort_keys=True) + "\n")
    _write_common(folder, text, pinned, compiled=False)
    return ImageContext("serve", folder, base, tuple(pinned))


def write_foreign_context(
    folder: Path, base: str, bundle: Bundle, runtime: str, *, name: str, batch: int, named: Mapping[str, str]
) -> ImageContext:
    """The image in which the server of others that `base` holds serves `bundle`.

    `name` is the model's for its clients, `batch` the most rows of a request. Raises UsageError for a bundle
    that the server cannot answer from.
    """
    server = SERVERS[runtime]
    write_model_folder(folder / FOLDER.removeprefix("/"), bundle, runtime, name=name, batch=batch)
    labels = _labels(base, named, _digests(bundle))
    text = foreign_dockerfile(base, labels, [server.command, *server.arguments(name)])
    _write_whole(folder, text)
    return ImageContext("serve", folder, base)


def write_train_context(
    folder: Path, base: str, spec_yaml: str, libraries: Sequence[str], *, named: Mapping[str, str]
) -> ImageContext:
    """The image that trains: the resolved spec, and what the `libraries` of its plan need."""
    pinned = pins(training_roots(libraries))
    write_text(folder / SPEC_FILE, spec_yaml)
    _write_common(folder, train_dockerfile(base, _labels(base, named, {})), pinned, compiled=True)
    return ImageContext("train", folder, base, tuple(pinned))


def _write_common(folder: Path, dockerfile: str, pinned: Sequence[Pin], *, compiled: bool) -> None:
    write_wheel(folder / "wheels", compiled=compiled)
    write_text(folder / "requirements.lock", lock_text(pinned))
    _write_whole(folder, dockerfile)


def _write_whole(folder: Path, dockerfile: str) -> None:
    write_text(folder / "Dockerfile", dockerfile)
    names = sorted({path.name for path in folder.iterdir()} - {"Dockerfile"})
    write_text(folder / ".dockerignore", ignored(names))
    _settle(folder)


def _settle(folder: Path) -> None:
    """The same modes and times for every file, whoever writes them and when."""
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", _TIME))
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (moment, moment))
    folder.chmod(0o755)
    os.utime(folder, (moment, moment))


def _labels(base: str, named: Mapping[str, str], digests: Mapping[str, str]) -> dict[str, str]:
    """The annotations of the OCI image specification, as far as they are known, and our digests."""
    name, _, digest = base.partition("@")
    found = {f"org.opencontainers.image.{key}": value for key, value in named.items() if value}
    found["org.opencontainers.image.base.name"] = name
    if digest:
        found["org.opencontainers.image.base.digest"] = digest
    found["declarative-ml.version"] = declarative_ml.__version__
    return {**found, **{f"declarative-ml.{key}": value for key, value in digests.items()}}


def _digests(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {"model-digest": manifest.model_digest, "spec-digest": manifest.spec_digest}


def _readers(bundle: Bundle | None) -> list[str]:
    """What reads texts that the graph cannot read alone: spaCy and the packages of its pipelines, tokenizers
    of the embedding models that the bundle carries.

    Raises UsageError for a pipeline in a folder, which an image does not have.
    """
    readings = [] if bundle is None else [item.reading for item in bundle.manifest.inputs if item.reading]
    pipelines = sorted({reading.pipeline for reading in readings if isinstance(reading, Reading)})
    if folders := [name for name in pipelines if is_folder(name)]:
        raise UsageError(
            f"the model reads texts by a spaCy pipeline in the folder {folders[0]}, which no image has",
            hint="make a package of it (python -m spacy package), install that, and train with its name",
        )
    known = metadata.packages_distributions()
    libraries = {name for reading in readings for name in reading.libraries}
    return [*sorted(libraries), *(known.get(name, [name])[0] for name in pipelines)]
