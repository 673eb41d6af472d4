"""Specs and templates brought to the current version of the format."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import write_bytes
from declarative_ml.core.errors import Problem, SpecError
from declarative_ml.spec.homes import LocalHome
from declarative_ml.spec.migrations import Migrated, Migration, migrate_text
from declarative_ml.spec.migrations.extended import OldTemplate, old_templates
from declarative_ml.spec.yaml_reader import MAX_BYTES

_MARK = b"\xef\xbb\xbf"
"""Some editors of Windows begin UTF-8 with it."""


@dataclass(frozen=True)
class MigratedSpec:
    """One file before and after; nothing is written yet."""

    path: Path
    before: bytes
    after: bytes
    result: Migrated
    templates: tuple[OldTemplate, ...]
    """What it extends and is not known to be current; without the files that are migrated with it."""

    @property
    def changes(self) -> bool:
        """Whether anything changes."""
        return self.before != self.after

    def diff(self) -> str:
        """The change as a unified diff; empty when there is none."""
        both = (self.before, self.after)
        old, new = (re.split(r"\r\n|\r|\n", content.decode("utf-8-sig")) for content in both)
        lines = difflib.unified_diff(old, new, str(self.path), str(self.path), lineterm="")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """What `dml migrate --format json` prints of it."""
        return {
            "file": str(self.path),
            "found": self.result.found,
            "current": self.result.current,
            "changes": self.changes,
            "steps": list(self.result.steps),
            "diff": self.diff(),
            "templates": [{"name": each.label, "version": each.version} for each in self.templates],
        }


def migrate_specs(paths: Sequence[Path], migrations: Sequence[Migration] | None = None) -> list[MigratedSpec]:
    """What each file becomes in the current version. Nothing is written.

    Raises SpecError with the problems of all files when one of them cannot be migrated.
    """
    found: list[MigratedSpec] = []
    problems: list[Problem] = []
    together = {path.resolve() for path in paths}
    for path in paths:
        try:
            found.append(_migrate(path, together, migrations))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return found


def write_migrated(spec: MigratedSpec, target: Path | None = None) -> Path:
    """Write the file, or `target`, atomically. Returns its path. Line ends and permissions stay."""
    path = (target or spec.path).resolve()  # what a link points to is written, not the link
    mode = path.stat().st_mode if path.exists() else spec.path.stat().st_mode
    write_bytes(path, spec.after)
    path.chmod(mode & 0o777)
    return target or spec.path


def _migrate(path: Path, together: set[Path], migrations: Sequence[Migration] | None) -> MigratedSpec:
    before = _read(path)
    mark = _MARK if before.startswith(_MARK) else b""
    text = before[len(mark) :].decode()
    result = migrate_text(text, str(path), migrations)
    home = LocalHome(str(path), None, path.resolve())
    templates = [
        template
        for template in old_templates(text, home, result.current)
        if not (template.is_local and Path(template.label).resolve() in together)
    ]
    return MigratedSpec(path, before, mark + result.text.encode(), result, tuple(templates))


def _read(path: Path) -> bytes:
    """The file's bytes, which are UTF-8. Raises SpecError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            hint = "a spec is short: is this the data file?"
            raise _refused("DML007", f"the spec is larger than {MAX_BYTES:,} bytes", path, hint)
        content.decode()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
        raise _refused("DML001", f"cannot read the spec: {reason}", path, "check the path") from error
    except UnicodeDecodeError as error:
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise _refused("DML002", message, path, "save the file as UTF-8") from error
    return content


def _refused(code: str, message: str, path: Path, hint: str) -> SpecError:
    return SpecError([Problem(code, message, file=str(path), hint=hint)])
