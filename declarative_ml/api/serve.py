"""Serve models over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from declarative_ml.api.served_models import Asked, is_spec, wanted_models
from declarative_ml.core.errors import MissingDependency, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.spec.apm import Apm
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.monitor import Monitor, PredictionLog
from declarative_ml.spec.service import Serve
from declarative_ml.trackers.registry_name import read_registry_name
from declarative_ml.trackers.registry_reading import RegistryPlace

_NEEDED = ("fastapi", "uvicorn", "msgspec", "httptools", "prometheus_client")
_SERVER_URL = "ELASTIC_APM_SERVER_URL"
_LOOPBACK = ("127.", "localhost", "::1")
_URI = "MLFLOW_TRACKING_URI"

Told = Callable[[list[str], str, list[str]], None]


def serve(
    models: Sequence[str],
    options: Mapping[str, Any],
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
    file: str | Path | None = None,
    log: str | None = None,
    tracking_uri: str | None = None,
    wait: bool = False,
    told: Told = lambda names, address, hints: None,
) -> None:
    """Serve specs' latest good runs, bundles, or versions in the registry (`registry:NAME@champion`), until
    SIGTERM or SIGINT ends it; then return.

    `options` go over those of `file`, a section `serve` as JSON with `monitor` in it, or of the first spec's;
    `log` is a folder for the prediction log, in place of that of its section `monitor`. The registry is at
    `tracking_uri`, else where the first spec (or ./spec.yaml) tracks, else at $MLFLOW_TRACKING_URI, else in
    the workspace. With `wait` a model that is not there yet is waited for, and until then /readyz is 503.
    `told` gets the models' names, the address and what a person should know, once the port is open. Raises
    MissingDependency without the extra `serve`, or without `apm` where that is asked for.
    """
    for module in _NEEDED:
        if not installed(module):
            raise MissingDependency(module, "serve")
    from declarative_ml.serving.server import Settings
    from declarative_ml.serving.server import serve as run

    spec = next((model for model in models if is_spec(model)), None)
    with_here = any(read_registry_name(model) for model in models)
    said = _sections(spec, profile, overrides, with_here=with_here)
    section, monitor = (said.serve, said.monitor) if file is None else _read(Path(file), said.monitor)
    chosen = _with_options(section, options)
    if spec is None or file is not None:
        monitor = _with_server(monitor, os.environ)
    if log is not None:
        monitor = _with_log(monitor, log)
    if monitor.apm is not None and not installed("elastic-apm"):
        raise MissingDependency("elastic-apm", "apm")
    asked = Asked(spec, profile, tuple(overrides), store, said.registered, reload=chosen.reload)
    uri = tracking_uri or said.uri or os.environ.get(_URI)
    run(
        Settings(options=chosen, monitor=monitor),
        lambda application, address: told(
            [model.name for model in application.service.fleet.models], address, _hints(chosen)
        ),
        wanted_models(models, chosen, asked.at(RegistryPlace(asked.workspace, uri, chosen.registry_token))),
        wait=wait,
    )


def _with_options(section: Serve, options: Mapping[str, Any]) -> Serve:
    """The section with what the command line says. Raises UsageError, which names the option."""
    try:
        return Serve.model_validate({**section.model_dump(), **options})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "option"
        raise UsageError(f"--{name} cannot be {first['input']!r}", hint=first["msg"]) from error


@dataclass(frozen=True)
class _Said:
    """What the spec says of its service."""

    serve: Serve
    monitor: Monitor
    registered: str | None = None
    """The name in the registry."""
    uri: str | None = None
    """Of the tracking server."""


def _sections(spec: str | None, profile: str | None, overrides: Sequence[str], *, with_here: bool) -> _Said:
    """What the spec that is served says; `with_here` the registered name and the tracking server of the spec
    in this folder, where none is served."""
    place = Path(spec or "spec.yaml")
    alone = Serve(), Monitor()
    if spec is None and not (with_here and place.is_file()):
        if profile is not None or overrides:
            raise UsageError("--profile and --set change a spec, and there is none", hint="name the spec")
        return _Said(*alone)
    found = load_spec(place, profile=profile, overrides=overrides).spec
    sections = alone if spec is None else (found.serve, found.monitor)
    return _Said(*sections, found.track.register_as, found.track.uri)


def _with_server(monitor: Monitor, environment: Mapping[str, str]) -> Monitor:
    """In a container, Elastic's own variable says which APM server hears of it, whatever was rendered."""
    url = environment.get(_SERVER_URL)
    if not url:
        return monitor
    try:
        told = Apm.model_validate({**(monitor.apm.model_dump() if monitor.apm else {}), "url": url})
        return monitor.model_copy(update={"apm": told})
    except ValidationError:
        raise UsageError(
            f"{_SERVER_URL} is not the URL of a server", hint="such as https://apm.example.com:8200"
        ) from None


def _with_log(monitor: Monitor, folder: str) -> Monitor:
    """Written down in another folder than the spec says, or at all."""
    kept = monitor.log.model_dump() if monitor.log is not None else {}
    return monitor.model_copy(update={"log": PredictionLog.model_validate({**kept, "path": folder})})


class _File(Serve):
    """What `--options` reads."""

    monitor: Monitor | None = Field(default=None, description="The section `monitor` of the spec")


def _read(path: Path, monitor: Monitor) -> tuple[Serve, Monitor]:
    """The sections in a file; `monitor` where it does not say what is watched. Raises UsageError for a file
    that holds none."""
    try:
        found = _File.model_validate_json(path.read_bytes())
        return Serve.model_validate(
            found.model_dump(exclude={"monitor"})
        ), found.monitor or monitor or Monitor()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="give a file of JSON") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UsageError(
            f"{path}: {where}: {first['msg']}",
            hint="it holds the sections serve and monitor",
        ) from None


def _hints(options: Serve) -> list[str]:
    if options.token is None and not options.host.startswith(_LOOPBACK):
        return [
            f"warning: whoever reaches {options.host} may ask the model; "
            "serve.token in the spec makes requests bring a token"
        ]
    return []
