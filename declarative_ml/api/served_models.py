"""Where the models of a service come from: specs, bundles, a registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.api.model import open_model, registry_cache
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.service import Serve
from declarative_ml.store.bundle import is_bundle
from declarative_ml.trackers.registry_name import RegistryName, read_registry_name
from declarative_ml.trackers.registry_reading import RegistryPlace

if TYPE_CHECKING:
    from declarative_ml.serving.lineup import Role
    from declarative_ml.serving.origin_watch import Wanted
    from declarative_ml.serving.origins import Found, Origin


@dataclass(frozen=True)
class Asked:
    """How specs are to be read, and where the registry is."""

    spec: str | None
    profile: str | None
    overrides: tuple[str, ...]
    store: str | None
    name: str | None = None
    """What the spec registers."""
    place: RegistryPlace | None = None
    reload: bool = False

    @property
    def workspace(self) -> Path:
        """Of the spec, or of this folder."""
        return Workspace.beside(Path(self.spec or "spec.yaml"), self.store).root

    def at(self, place: RegistryPlace) -> Asked:
        """The same, with a registry."""
        return replace(self, place=place)

    def origin(self, model: str) -> Origin:
        """Where a model comes from."""
        from declarative_ml.serving.origins import FromBundle, FromRegistry

        if (wanted := read_registry_name(model)) is not None:
            assert self.place is not None
            return FromRegistry(self.place, self._named(wanted), registry_cache())
        if not is_spec(model):
            return FromBundle(Path(model), model, self.reload)
        return _FromRuns(model, self)

    def _named(self, wanted: RegistryName) -> RegistryName:
        name = wanted.name or self.name
        if name is None:
            raise UsageError(
                f"{wanted} names no model",
                hint="registry:NAME@champion, or track: {register: NAME} in the spec",
            )
        return replace(wanted, name=name)


@dataclass(frozen=True)
class _FromRuns:
    """The latest good run of a spec."""

    spec: str
    asked: Asked
    always: bool = False

    @property
    def shown(self) -> str:
        return self.spec

    def look(self, known: Found | None, scratch: Path) -> Found:
        from declarative_ml.serving.origins import Found

        asked = self.asked
        bundle = open_model(
            self.spec, profile=asked.profile, overrides=asked.overrides, store=asked.store
        ).path
        return (
            known
            if known is not None and known.path == bundle
            else Found(str(bundle), bundle, bundle.parent.name)
        )


def wanted_models(models: Sequence[str], options: Serve, asked: Asked) -> list[Wanted]:
    """Everything that is to be served, and what for."""
    from declarative_ml.serving.origin_watch import Wanted

    found = []
    for model in models:
        # What a spec says it serves takes the place of its latest run.
        is_replaced = model == asked.spec and options.model is not None
        found.append(Wanted(asked.origin(options.model if is_replaced and options.model else model)))
    shadow, canary = options.shadow, options.canary
    if canary is not None:
        role: Role = "canary"
        found.append(Wanted(asked.origin(canary.model), role, canary.share, canary.by))
    if shadow is not None:
        found.append(Wanted(asked.origin(shadow.model), "shadow", shadow.share))
    return found


def is_spec(model: str) -> bool:
    """Whether it is the path of a spec: no bundle, and nothing in a registry."""
    if read_registry_name(model) is not None:
        return False
    place = Path(model)
    return not place.is_dir() and place.suffix != ".zip" and not is_bundle(model)
