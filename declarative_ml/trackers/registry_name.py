"""How a version in the registry is written: registry:NAME@ALIAS, registry:NAME/VERSION.

A spec may leave the name to its `track.register`: registry@champion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from declarative_ml.trackers.base import CHAMPION

_WRITTEN = re.compile(r"registry(:[^@/:]+)?(@[A-Za-z0-9_-]+|/[1-9][0-9]*)?")


@dataclass(frozen=True)
class RegistryName:
    """One version in a registry: the one that an alias points to, or the one with a number."""

    name: str | None
    """None: the one that the spec registers."""
    alias: str | None = CHAMPION
    version: int | None = None

    def __str__(self) -> str:
        behind = f"@{self.alias}" if self.version is None else f"/{self.version}"
        return f"registry{'' if self.name is None else ':' + self.name}{behind}"


def read_registry_name(text: str) -> RegistryName | None:
    """What `text` names in a registry, the champion where it says no more; None where it is a path."""
    found = _WRITTEN.fullmatch(text)
    if found is None or text == "registry":
        return None
    name, behind = (found[1] or ":")[1:] or None, found[2] or f"@{CHAMPION}"
    if behind.startswith("@"):
        return RegistryName(name, behind[1:])
    return RegistryName(name, None, int(behind[1:]))
