"""One thing in the section `deploy` that cannot be, and the types of those that find it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from declarative_ml.spec.positions import Path


@dataclass(frozen=True)
class DeployFault:
    """One thing that cannot be deployed so, or will not do what it seems to."""

    code: str
    path: Path
    message: str
    hint: str
    at_key: bool = False
    warning: bool = False


Faults = Iterator[DeployFault]
