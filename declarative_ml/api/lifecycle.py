"""The verbs around a model's life as functions: its data, its tests, its registry, its log, its release.

`declarative_ml.api.session` has the others, and all names of the Python API. Specs and models are paths here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from declarative_ml.api.check import Checked
    from declarative_ml.api.models import Move, Registry
    from declarative_ml.api.test import Behaved
    from declarative_ml.deployers.contexts.write import ImageContext
    from declarative_ml.report.monitored import Monitored

SPEC = "spec.yaml"

AnyPath = str | Path


def check(spec: AnyPath = SPEC, data: AnyPath | None = None, *, store: AnyPath | None = None) -> Checked:
    """Hold the data of a spec, or the file `data`, against `data.checks`. Broken checks are in the result,
    whose `error` is the one that `dml check` ends with."""
    from declarative_ml.api.check import check_data

    return check_data(spec, _text(data), store=_text(store))


def test(
    model: AnyPath = SPEC,
    data: AnyPath | None = None,
    *,
    spec: AnyPath | None = None,
    store: AnyPath | None = None,
) -> Behaved:
    """Put behavioural tests to the latest good run of a spec, or to a bundle, over its test rows or those of
    `data`. Failed tests are in the result, whose `error` is the one that `dml test` ends with."""
    from declarative_ml.api.test import run_tests

    return run_tests(str(model), _text(data), spec=_text(spec), store=_text(store))


def reproduce(
    run: AnyPath = "latest", *, data: Sequence[AnyPath] = (), store: AnyPath | None = None
) -> Mapping[str, Any]:
    """Make a run (an id, the start of one, `latest`, or a bundle) again from its lock, and compare every
    byte. Returns what `dml reproduce --format json` prints; what differs is in it, with its cause."""
    from declarative_ml.api import reproduce as api

    again = api.prepare(api.find_locked(str(run), _text(store)), [str(path) for path in data])
    return api.reproduce(again)


def list_models(
    model: AnyPath | None = None, *, tracking_uri: str | None = None, store: AnyPath | None = None
) -> list[dict[str, Any]]:
    """The versions in the registry, the newest first: of one model (a name, or a spec), or of all."""
    from declarative_ml.api import models as api

    return api.models(_registry(model, tracking_uri, store))


def promote(
    model: AnyPath | None = None,
    *,
    version: int | None = None,
    run: str | None = None,
    alias: str = "champion",
    force: bool = False,
    tracking_uri: str | None = None,
    store: AnyPath | None = None,
) -> Move:
    """Make a registered version the champion: by number, by the run that made it, else the challenger.

    Raises UsageError for a version that is not there, GateFailed for one that is not known to have passed.
    """
    from declarative_ml.api import models as api

    registry = _registry(model, tracking_uri, store)
    return api.promote(registry, version=version, run=run, alias=alias, force=force)


def rollback(
    model: AnyPath | None = None,
    *,
    alias: str = "champion",
    tracking_uri: str | None = None,
    store: AnyPath | None = None,
) -> Move:
    """Make the champion before this one the champion again. Raises UsageError when there was none."""
    from declarative_ml.api import models as api

    return api.rollback(_registry(model, tracking_uri, store), alias=alias)


def monitor(
    model: AnyPath = SPEC,
    log: AnyPath | None = None,
    *,
    labels: AnyPath | None = None,
    key: str = "id",
    every: str = "1d",
    store: AnyPath | None = None,
) -> Monitored:
    """Drift of a prediction log by periods, and quality by labels that came later. Raises UsageError without
    a log, DataError for files that do not fit."""
    from declarative_ml.api import monitor as api

    return api.monitor(str(model), _text(log), labels=_text(labels), key=key, every=every, store=_text(store))


def card(model: AnyPath = SPEC, form: Literal["markdown", "html"] = "markdown") -> str:
    """The model card of a bundle, or of a spec's latest good run, as text."""
    from declarative_ml.api.card import model_card
    from declarative_ml.api.model import open_model

    return model_card(open_model(str(model)), form)


def deploy(spec: AnyPath = SPEC, *, to: str | None = None) -> str:
    """The objects and files that `dml deploy` prints for a spec, as text. Applying them is for the command
    line. Raises UsageError for what the target cannot express."""
    from declarative_ml.api import deploy as api

    return api.as_text(api.parts_of(api.load(spec), to=to))


def package(
    model: AnyPath = SPEC,
    path: AnyPath | None = None,
    *,
    images: Sequence[str] = ("serve", "train"),
    base: str | None = None,
    store: AnyPath | None = None,
) -> list[ImageContext]:
    """Write the build contexts of the images of a spec, or for a bundle that of its service, into folders
    below `path` (default: NAME-image). Raises UsageError where it exists, or without a good run."""
    from declarative_ml.api import package as api

    target = None if path is None else Path(path)
    return api.package(str(model), target, images=images, base=base, store=_text(store))


def serve(*models: AnyPath, store: AnyPath | None = None, **options: Any) -> None:
    """Serve specs' latest good runs, bundles, or registered versions (`registry:NAME@champion`) over HTTP
    until a signal ends it; for the main thread. `options` go over the spec's section `serve`: host, port,
    workers, … Raises UsageError for a model that is not there, MissingDependency without the extra `serve`.
    """
    from declarative_ml.api import serve as api

    api.serve([str(model) for model in models or (SPEC,)], options, store=_text(store))


def export_notebook(about: AnyPath, path: AnyPath | None = None, *, force: bool = False) -> Path:
    """Write a notebook about a spec, a bundle, or a run (an id, or `latest`). Returns its path. Raises
    UsageError where it exists and `force` is not set, MissingDependency without nbformat."""
    from declarative_ml.api import notebook as api

    return api.export_notebook(str(about), None if path is None else Path(path), force=force)


def _registry(model: AnyPath | None, tracking_uri: str | None, store: AnyPath | None) -> Registry:
    from declarative_ml.api.models import open_registry

    return open_registry(_text(model), tracking_uri=tracking_uri, store=_text(store))


def _text(path: AnyPath | None) -> str | None:
    return None if path is None else str(path)
