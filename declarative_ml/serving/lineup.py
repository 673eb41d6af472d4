"""Which bundles a service has to serve now: one small file, written by the process that looks where they come
from, and followed by all that answer requests. So every worker changes to the same bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from declarative_ml.core.atomic import write_text
from declarative_ml.core.component import Section

FILE = "lineup.json"

Role = Literal["serving", "canary", "shadow"]


class Entry(Section):
    """One bundle, and what it is there for."""

    role: Role = "serving"
    bundle: Path
    origin: str = Field(default="", description="Where it comes from, as a person wrote it")
    number: str = Field(default="", description="Its version in the registry, or the run that made it")
    share: float = 1.0
    by: str | None = None


class Lineup(Section):
    """All of them. The first that serves answers where no model is named."""

    entries: tuple[Entry, ...]
    trouble: dict[str, str] = Field(default_factory=dict, description="By origin: why it is not followed now")
    failures: int = Field(default=0, description="Looks at an origin that failed, since the service began")
    reloads: int = Field(default=0, description="Changes of the bundles, since the service began")

    def serving(self) -> tuple[Entry, ...]:
        """Those that answer by themselves."""
        return tuple(entry for entry in self.entries if entry.role == "serving")

    def aside(self, role: Role) -> Entry | None:
        """The one with this role."""
        return next((entry for entry in self.entries if entry.role == role), None)


def write_lineup(path: Path, lineup: Lineup) -> None:
    """Write the file, whole."""
    write_text(path, lineup.model_dump_json(indent=1) + "\n")


def read_lineup(path: Path) -> Lineup:
    """What the file says."""
    return Lineup.model_validate(json.loads(path.read_text(encoding="utf-8")))


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file does; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
