"""`spec.lock.yaml`: which bytes of which templates a spec was last locked to.

A git template is taken at its locked commit, whatever its branch says by now. `--locked` refuses a spec
whose templates are not the locked ones; `dml template lock` writes the file anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import Problem
from declarative_ml.spec.templates import Used
from declarative_ml.spec.yaml_reader import read_yaml

VERSION = 1
Locked = dict[str, dict[str, str]]
"""A template's name as `extends` says it -> its digest, and what else pins it."""

_HEAD = (
    "# Written by `dml template lock`: the templates of this spec, pinned. Keep it under version control.\n"
)


def lock_path(spec: Path) -> Path:
    """The lock beside a spec: `spec.lock.yaml` for `spec.yaml`."""
    return spec.with_name(f"{spec.stem}.lock.yaml")


def entries(used: Iterable[Used], folder: Path) -> Locked:
    """What a lock in `folder` says of these templates; paths are relative to it."""
    return {
        Path(os.path.relpath(item.label, folder)).as_posix() if item.is_local else item.label: {
            "digest": f"sha256:{item.digest}",
            **item.pinned,
        }
        for item in used
    }


def write_lock(path: Path, used: Iterable[Used]) -> Locked:
    """Write the lock, atomically, and return what it says."""
    found = dict(sorted(entries(used, path.parent).items()))
    content = {"version": VERSION, "templates": found}
    write_text(path, _HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200))
    return found


def read_lock(path: Path, problems: list[Problem]) -> Locked | None:
    """What the lock says, None where there is none; a lock that is not one goes to `problems`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_problem(path, f"the lock cannot be read: {error}"))
        return None
    root, found = read_yaml(text, str(path))
    content: Any = root.plain() if root is not None and not found else None
    templates = content.get("templates") if isinstance(content, dict) else None
    if not isinstance(templates, dict) or not all(_is_entry(entry) for entry in templates.values()):
        problems.append(_problem(path, "this is not a lock"))
        return None
    if content.get("version") != VERSION:
        problems.append(_problem(path, f"the lock has version {content.get('version')!r}, not {VERSION}"))
        return None
    return templates


def commits(locked: Locked | None) -> dict[str, str]:
    """Git template -> locked commit."""
    return {name: entry["commit"] for name, entry in (locked or {}).items() if "commit" in entry}


def drift(locked: Locked | None, used: Iterable[Used], path: Path) -> list[Problem]:
    """What differs between the lock and the templates in use."""
    found = entries(used, path.parent)
    if locked is None:
        return [_problem(path, "there is no lock for the templates of this spec")] if found else []
    problems = []
    for name in sorted(found.keys() | locked.keys()):
        if name not in locked:
            problems.append(_problem(path, f"the template {name} is not in the lock"))
        elif name not in found:
            problems.append(_problem(path, f"the lock names {name}, which the spec does not use"))
        elif found[name] != locked[name]:
            what = _what(found[name], locked[name])
            problems.append(_problem(path, f"the template {name} is not the locked one{what}"))
    return problems


def _what(found: Mapping[str, str], locked: Mapping[str, str]) -> str:
    for key in ("commit", "version", "digest"):
        now, then = found.get(key), locked.get(key)
        if now != then:
            return f": {key} {_short(now)} instead of {_short(then)}"
    return ""


def _short(value: str | None) -> str:
    return "none" if value is None else value.removeprefix("sha256:")[:12]


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or "digest" not in entry:
        return False
    return all(isinstance(value, str) for value in entry.values())


def _problem(path: Path, message: str) -> Problem:
    return Problem("DML025", message, file=str(path), hint="`dml template lock` writes it anew")
