"""Serve models over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from declarative_ml.api.model import open_model
from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.optional import installed
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.service import Serve
from declarative_ml.store.bundle import is_bundle

_NEEDED = ("fastapi", "uvicorn", "msgspec", "httptools", "prometheus_client")
_LOOPBACK = ("127.", "localhost", "::1")

Told = Callable[[list[str], str, list[str]], None]


def serve(
    models: Sequence[str],
    options: Mapping[str, Any],
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
    told: Told = lambda names, address, hints: None,
) -> None:
    """Serve specs' latest good runs, or bundles, until SIGTERM or SIGINT ends it; then return.

    `options` go over those of the first spec's section `serve`. `told` gets the models' names, the address
    and what a person should know, once the port is open. Raises MissingDependency without the extra `serve`.
    """
    for module in _NEEDED:
        if not installed(module):
            raise MissingDependency(module, "serve")
    from declarative_ml.serving.server import Settings
    from declarative_ml.serving.server import serve as run

    bundles = [open_model(model, profile=profile, overrides=overrides, store=store).path for model in models]
    section = _section(models, profile, overrides)
    chosen = Serve.model_validate({**section.model_dump(), **options})
    settings = Settings(bundles=tuple(bundles), options=chosen)
    run(
        settings,
        lambda application, address: told(
            [model.name for model in application.service.models], address, _hints(chosen)
        ),
    )


def _section(models: Sequence[str], profile: str | None, overrides: Sequence[str]) -> Serve:
    """The section of the first spec among the models."""
    for model in models:
        if not Path(model).is_dir() and not is_bundle(model):
            return load_spec(Path(model), profile=profile, overrides=overrides).spec.serve
    return Serve()


def _hints(options: Serve) -> list[str]:
    if options.token is None and not options.host.startswith(_LOOPBACK):
        return [
            f"warning: whoever reaches {options.host} may ask the model; "
            "serve.token in the spec makes requests bring a token"
        ]
    return []
