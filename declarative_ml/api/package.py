"""Write the build contexts of a spec's images: one that serves its model, one that trains it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from declarative_ml.api.model import open_model
from declarative_ml.api.planning import make_plan
from declarative_ml.core.atomic import publish_folder
from declarative_ml.core.errors import MissingDependency, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.deployers.contexts.dockerfile import default_base
from declarative_ml.deployers.contexts.write import (
    ImageContext,
    write_foreign_context,
    write_serve_context,
    write_train_context,
)
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.kubernetes import Kubernetes
from declarative_ml.deployers.model import IN_IMAGE
from declarative_ml.deployers.model_servers import OURS, SERVERS
from declarative_ml.graph.plan import Plan
from declarative_ml.spec.deployed import deployed_model, deployed_options, scoring_model
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.spec.monitor import Monitor
from declarative_ml.spec.service import Serve
from declarative_ml.store.bundle import Bundle, is_bundle
from declarative_ml.trackers.registry_name import read_registry_name

IMAGES = ("serve", "train")


def package(
    model: str,
    target: Path | None = None,
    *,
    images: Sequence[str] = IMAGES,
    base: str | None = None,
    with_model: bool = True,
    more: Sequence[str] = (),
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
) -> list[ImageContext]:
    """Write `target`/serve and `target`/train (default: NAME-image) for a spec, or for a bundle the first.

    Raises UsageError when `target` is there, when the spec has no good run and `with_model` asks for one,
    and for a base image whose name does not say which version.
    """
    loaded = None if _is_a_bundle(model) else load_spec(model, profile=profile, overrides=overrides)
    wanted = loaded.spec.deploy.base if loaded is not None and loaded.spec.deploy is not None else None
    base = checked_base(base or wanted or default_base())
    bundle = None
    if "serve" in images and (with_model or loaded is None):
        bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    name = loaded.spec.name if loaded is not None else Bundle.open(model).manifest.name
    target = target or Path(f"{name}-image")
    if target.exists():
        raise UsageError(f"{target} exists already", hint="remove it, or name another folder with -o")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        found = []
        foreign = None if loaded is None else _foreign(loaded.spec)
        if "serve" in images and loaded is not None and foreign is not None:
            found.append(_served_by(foreign, draft / "serve", loaded, bundle))
        elif "serve" in images:
            found.append(_serve(draft / "serve", base, loaded, bundle if with_model else None, more, model))
        if "train" in images and loaded is not None:
            found.append(_train(draft / "train", base, loaded))
        publish_folder(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [replace(context, path=target / context.path.name) for context in found]


def checked_base(base: str) -> str:
    """The name of a base image. Raises UsageError where it leaves open which version."""
    try:
        Image.read(base)
    except ValueError as error:
        raise UsageError(f"the base image: {error}", hint="best is a digest: NAME@sha256:…") from None
    return base


def _is_a_bundle(model: str) -> bool:
    path = Path(model)
    return path.is_dir() or path.suffix == ".zip" or (path.exists() and is_bundle(path))


def _foreign(spec: Spec) -> Kubernetes | None:
    """The target whose server of others gets an image; None: ours answers, or the target brings the image."""
    service = None if spec.deploy is None else spec.deploy.service
    target = None if service is None else service.to
    return target if isinstance(target, Kubernetes) and target.answers != OURS else None


def _served_by(target: Kubernetes, folder: Path, loaded: LoadedSpec, bundle: Bundle | None) -> ImageContext:
    if bundle is None or target.runtime_image is None:
        raise UsageError(
            f"{SERVERS[target.answers].title} serves the model inside of its image",
            hint="leave out --without-model",
        )
    spec = loaded.spec
    return write_foreign_context(
        folder,
        target.runtime_image,
        bundle,
        target.answers,
        name=spec.name,
        batch=spec.serve.max_rows,
        named=_named(loaded),
    )


def _serve(
    folder: Path, base: str, loaded: LoadedSpec | None, bundle: Bundle | None, more: Sequence[str], model: str
) -> ImageContext:
    if loaded is not None:
        options, named = deployed_options(loaded.spec), _named(loaded)
        more = [*more, *_watching(loaded.spec.monitor), *_scoring(loaded.spec)]
        follows, registry = deployed_model(loaded.spec), loaded.spec.track.uri
    else:
        manifest = Bundle.open(model).manifest
        options = Serve().model_dump(mode="json")
        named, follows, registry = _titled(manifest.name, manifest.description, ""), "", None
    environment = {"DML_SERVE_MODEL": follows, "DML_SERVE_WAIT": "1"} if read_registry_name(follows) else {}
    if environment and registry is not None:
        environment["MLFLOW_TRACKING_URI"] = registry
    return write_serve_context(folder, base, bundle, options, named=named, more=more, environment=environment)


def _watching(monitor: Monitor) -> list[str]:
    """The distributions without which the service cannot watch what the spec says."""
    apm = ["elastic-apm"] if monitor.apm is not None else []
    return [*apm, "pyarrow"] if monitor.log is not None and monitor.log.format == "parquet" else apm


def _scoring(spec: Spec) -> list[str]:
    """What batch scoring needs in this image: tables in and out."""
    scores = spec.deploy is not None and spec.deploy.predict is not None
    return ["pyarrow"] if scores and scoring_model(spec) == IN_IMAGE else []


def _train(folder: Path, base: str, loaded: LoadedSpec) -> ImageContext:
    text = spec_to_yaml(loaded.spec.model_copy(update={"deploy": None}), loaded.path.parent)
    libraries = {*plan_libraries(make_plan(loaded)), *target_libraries(loaded)}
    return write_train_context(folder, base, text, sorted(libraries), named=_named(loaded))


def target_libraries(loaded: LoadedSpec) -> tuple[str, ...]:
    """What the target of the training runs inside of the image. Raises MissingDependency for what is not
    installed here: the lock of the image could not name its version."""
    deploy = loaded.spec.deploy
    found = () if deploy is None or deploy.train is None else deploy.train.to.libraries
    for name in found:
        if not installed(name):
            raise MissingDependency(name, extra=name)
    return found


def plan_libraries(plan: Plan) -> list[str]:
    """The distributions that the steps of a plan use, the tracker's among them.

    Without the server: a training asks its bundle through pipes where that is not installed.
    """
    found = {name for step in plan.steps for name in step.libraries} - {"uvicorn"}
    return sorted(found | ({"mlflow"} if any(step.kind == "track" for step in plan.steps) else set()))


def _named(loaded: LoadedSpec) -> dict[str, str]:
    return _titled(loaded.spec.name, loaded.spec.description, loaded.spec.owner)


def _titled(name: str, description: str, owner: str) -> dict[str, str]:
    return {"title": name, "description": description, "authors": owner}
