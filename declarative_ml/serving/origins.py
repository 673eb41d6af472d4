"""Where a served bundle comes from, and how to see that it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from declarative_ml.core.digest import digest_json
from declarative_ml.store.bundle import Bundle
from declarative_ml.trackers.registry_name import RegistryName
from declarative_ml.trackers.registry_reading import RegistryPlace, fetch


@dataclass(frozen=True)
class Found:
    """A bundle that does not change any more."""

    key: str
    """Equal as long as the origin gives the same bundle."""
    path: Path
    number: str = ""


class Origin(Protocol):
    """One place."""

    @property
    def shown(self) -> str:
        """What a person wrote."""

    @property
    def always(self) -> bool:
        """Whether it is looked at again and again, also without `reload`."""

    def look(self, known: Found | None, scratch: Path) -> Found:
        """What is there now; `known` itself where nothing changed. Copies go to `scratch`.

        Raises DmlError.
        """


@dataclass(frozen=True)
class FromBundle:
    """A folder or .zip, which somebody may replace."""

    path: Path
    shown: str
    copied: bool = False
    """From the first look on: somebody is expected to replace it."""
    always: bool = False

    def look(self, known: Found | None, scratch: Path) -> Found:
        """A copy, which stays while the folder goes on changing; at first the bundle itself will do."""
        bundle = Bundle.open(self.path)
        key = digest_json(bundle.manifest.model_dump(mode="json"))
        if known is not None and known.key == key:
            return known
        if known is None and not self.copied:
            return Found(key, self.path)
        copy = scratch / key[:24]
        return Found(key, copy if copy.is_dir() else bundle.unpack(copy).path)


@dataclass(frozen=True)
class FromRegistry:
    """The version that a registry names."""

    place: RegistryPlace
    wanted: RegistryName
    cache: Path | None
    """None: copies live as long as the service."""
    always: bool = True

    @property
    def shown(self) -> str:
        """As on the command line."""
        return str(self.wanted)

    def look(self, known: Found | None, scratch: Path) -> Found:
        """The version's bundle, downloaded and verified when it is another one than before."""
        registry = self.place.open()
        version = registry.find(self.wanted)
        key = f"{version.name}/{version.version} {version.run_id} {version.model_digest}"
        if known is not None and known.key == key:
            return known
        return Found(key, fetch(registry, version, self.cache or scratch).path, str(version.version))
