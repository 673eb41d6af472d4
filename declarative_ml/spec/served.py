"""What `serve` asks of the registry, of bundles and of columns, and where that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path
from declarative_ml.spec.tuned import Fault
from declarative_ml.store.bundle import is_bundle
from declarative_ml.trackers.registry_name import read_registry_name

ALL_COLUMNS = "*"


def unnamed_models(spec: Spec) -> Iterator[Fault]:
    """Versions in the registry of nothing: the spec registers no model."""
    for path, model in _models(spec):
        wanted = read_registry_name(model)
        if wanted is not None and wanted.name is None and spec.track.register_as is None:
            message = f"{model} is of the model that the spec registers, and it registers none"
            yield Fault(
                path, message, "write track: {register: NAME}, or registry:NAME@champion", at_key=False
            )


def canary_faults(spec: Spec) -> Iterator[Fault]:
    """A canary that goes by what no request brings."""
    for path, column in canary_columns(spec):
        message = f"no request brings the column '{column}'"
        if column == spec.target.column:
            yield Fault(path, f"{message}: it is the target", "name a feature, or '*'", at_key=False)
        elif column in spec.exclude or (
            spec.features != "auto" and spec.others == "drop" and column not in spec.features
        ):
            yield Fault(path, f"{message}: it is no feature", "name a feature, or '*'", at_key=False)


def canary_columns(spec: Spec) -> Iterator[tuple[Path, str]]:
    """The column that the canary goes by, with its place."""
    canary = spec.serve.canary
    if canary is not None and canary.by is not None and canary.by != ALL_COLUMNS:
        yield ("serve", "canary", "by"), canary.by


def idle_reload(spec: Spec) -> Iterator[Fault]:
    """A reload that has nothing to follow: a warning."""
    sides = [side.model for side in (spec.serve.shadow, spec.serve.canary) if side is not None]
    if spec.serve.reload and spec.serve.model is not None and all(map(read_registry_name, sides)):
        message = "serve.reload has no effect: the registry is always followed"
        yield Fault(("serve", "reload"), message, "remove it; `poll` says how often")


def absent_bundles(spec: Spec) -> Iterator[Fault]:
    """Paths of a shadow or canary that lead to no bundle."""
    for path, model in _models(spec):
        if read_registry_name(model) is None and not is_bundle(model):
            what = "is no bundle" if FilePath(model).exists() else "does not exist"
            hint = "give the folder or .zip of a bundle, or registry:NAME@challenger"
            yield Fault(path, f"{model} {what}", hint, at_key=False)


def _models(spec: Spec) -> Iterator[tuple[Path, str]]:
    serve = spec.serve
    if serve.model is not None:
        yield ("serve", "model"), serve.model
    if serve.shadow is not None:
        yield ("serve", "shadow", "model"), serve.shadow.model
    if serve.canary is not None:
        yield ("serve", "canary", "model"), serve.canary.model
