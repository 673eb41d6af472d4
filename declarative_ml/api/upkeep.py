"""The verbs around specs and the machine as functions: no run, no model.

`declarative_ml.api.session` has the others, and all names of the Python API. Specs are paths here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import UsageError

if TYPE_CHECKING:
    from declarative_ml.api.doctor import Check
    from declarative_ml.api.migrate import MigratedSpec

SPEC = "spec.yaml"

AnyPath = str | Path


def migrate(path: AnyPath = SPEC, *, write: bool = False) -> MigratedSpec:
    """A spec in the current version of the format; `diff()` shows the change, `write` writes it."""
    from declarative_ml.api.migrate import migrate_specs, write_migrated

    (found,) = migrate_specs([Path(path)])
    if write and found.changes:
        write_migrated(found)
    return found


def schema(name: str = "spec") -> dict[str, Any]:
    """The JSON Schema of a `spec`, a `plan` or a `bundle`. Raises UsageError for another name."""
    import json

    from declarative_ml.spec.schema import schema_text

    names = ("spec", "plan", "bundle")
    if name not in names:
        raise UsageError(f"there is no schema {name!r}", hint=f"there are {', '.join(names)}")
    found: dict[str, Any] = json.loads(schema_text(name))
    return found


def templates(folder: AnyPath = ".") -> list[dict[str, Any]]:
    """The templates that come with the package and those in `folder`/specs: name, about, params."""
    from declarative_ml.api.templates import describe, known

    return [describe(name, Path(folder)) for name in known(Path(folder))]


def doctor() -> list[Check]:
    """What works on this machine: libraries, processors, disk, file locks."""
    from declarative_ml.api.doctor import examine

    return examine()
