"""What of a spec reaches a service that is deployed: its model, and the options of `serve` and `monitor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from declarative_ml.deployers.image import SCRATCH
from declarative_ml.deployers.model import IN_IMAGE, IN_STORE
from declarative_ml.spec.document import Spec
from declarative_ml.spec.monitor import Monitor
from declarative_ml.spec.service import Serve
from declarative_ml.trackers.registry_name import read_registry_name

SIDES = ("shadow", "canary")
HOST = "systemd"
"""The target that runs on a machine as it is, with the files that are there."""
REGISTRY_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""What every client of MLflow reads where nothing else names the credentials."""


def deployed_model(spec: Spec) -> str:
    """`image`, `store`, or a version in the registry by its whole name: what `deploy.serve.model` says, else
    `serve.model`, else the image's own."""
    service = spec.deploy.service if spec.deploy is not None else None
    said = (service.model if service is not None else None) or spec.serve.model or IN_IMAGE
    return _named(said, spec)


def scoring_model(spec: Spec) -> str:
    """The same for `deploy.predict`: what it says, else the model of the service."""
    scoring = spec.deploy.predict if spec.deploy is not None else None
    said = scoring.model if scoring is not None else None
    return deployed_model(spec) if said is None else _named(said, spec)


def follows_registry(spec: Spec) -> bool:
    """Whether the service asks the registry for a model, be it for a canary or shadow."""
    return any(read_registry_name(model) for model in (deployed_model(spec), *sides_there(spec).values()))


def asks_server(spec: Spec) -> bool:
    """Whether that registry is a server, which may want to see credentials."""
    return follows_registry(spec) and spec.track.uri is not None


def deployed_options(spec: Spec) -> dict[str, Any]:
    """The file of `dml serve --options`: the section `serve` as JSON values, as far as it means something
    where only the image and the registry are, with the section `monitor` under its name."""
    left_out = {"model", "reload"} if deployed_model(spec) != IN_STORE else {"model"}
    left_out |= set() if asks_server(spec) else {"registry_token"}
    if not follows_registry(spec):
        left_out |= {"poll"} if not spec.serve.reload or "reload" in left_out else set()
    options = spec.serve.model_dump(mode="json", exclude={*left_out, *SIDES})
    for name, model in sides_there(spec).items():
        options[name] = getattr(spec.serve, name).model_dump(mode="json") | {"model": model}
    monitor = spec.monitor
    if monitor.log is not None and not is_there(spec, monitor.log.path, writable=True):
        monitor = monitor.model_copy(update={"log": None})
    return options if monitor == Monitor() else {**options, "monitor": monitor.model_dump(mode="json")}


def is_there(spec: Spec, path: str, *, writable: bool = False) -> bool:
    """Whether the service finds a path where it is deployed: on a volume, or in its own folder."""
    service = spec.deploy.service if spec.deploy is not None else None
    place = PurePosixPath(path)
    if service is None:
        return False
    if service.to.type == HOST:
        return not writable or place.is_relative_to(f"/var/lib/dml/{spec.name}")
    places = [mount.at for mount in service.volumes.values() if not (writable and mount.read_only)]
    return any(place.is_relative_to(each) for each in [*places, *([SCRATCH] if writable else [])])


def serving_part(spec: Spec) -> tuple[Serve, Monitor]:
    """The sections that the pods of the service read, without the registry's token where none asks it."""
    serve = spec.serve
    if not asks_server(spec):
        serve = serve.model_copy(update={"registry_token": None})
    return serve, spec.monitor


def sides_there(spec: Spec) -> dict[str, str]:
    """The canary and the shadow that are in the registry, by their whole names: bundles stay here."""
    found = {}
    for name in SIDES:
        side = getattr(spec.serve, name)
        if side is not None and read_registry_name(side.model) is not None:
            found[name] = _named(side.model, spec)
    return found


def _named(model: str, spec: Spec) -> str:
    wanted = read_registry_name(model)
    if wanted is None:
        return model
    return str(replace(wanted, name=wanted.name or spec.track.register_as))
