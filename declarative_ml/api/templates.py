"""Look at templates, and start a spec from one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.homes import LocalHome
from declarative_ml.spec.positions import Node
from declarative_ml.spec.templates import find, names
from declarative_ml.spec.yaml_reader import MAX_BYTES, read_yaml


def known(folder: Path) -> list[str]:
    """The names that `extends` finds from a spec in `folder`."""
    beside = {path.stem for path in (folder / "specs").glob("*.yaml")}
    return sorted({*names(), *beside})


def text(name: str, folder: Path) -> str:
    """The template as it is written. Raises UsageError when there is none."""
    home = find(name, LocalHome("spec.yaml", None, folder.resolve() / "spec.yaml"))
    return home.content(MAX_BYTES).decode("utf-8-sig", errors="replace")


def describe(name: str, folder: Path) -> dict[str, Any]:
    """`name`, `about` (the first sentence of its comment, or its description) and `params`."""
    content = text(name, folder)
    root, _ = read_yaml(content, name)
    params = root.value.get("params") if root is not None and root.is_mapping else None
    declared = params.plain() if params is not None and params.is_mapping else {}
    return {"name": name, "about": _about(content, root), "params": declared}


def _about(content: str, root: Node | None) -> str:
    lines = []
    for line in content.splitlines():
        if not line.startswith("# ") or line.startswith(("#   ", "# yaml-")):
            break
        lines.append(line[2:])
    if lines:
        return re.split(r"(?<=\.) ", " ".join(lines), maxsplit=1)[0]
    description = root.value.get("description") if root is not None and root.is_mapping else None
    return str(description.value) if description is not None else ""


def write_spec(
    name: str, path: Path, given: Sequence[str], *, title: str | None = None, force: bool = False
) -> list[str]:
    """Write a spec at `path` that extends `name` with `given` (PARAM=VALUE). Returns the params to fill in.

    Raises UsageError for a param that the template does not have, and where `path` exists.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="choose another file with -o, or overwrite it with --force")
    declared = describe(name, path.parent)["params"]
    values = dict(_pair(argument, name, declared) for argument in given)
    missing = [param for param, about in declared.items() if param not in values and "default" not in about]
    lines = [
        "# yaml-language-server: $schema=.dml/spec.v1.json",
        "version: 1",
        f"name: {title or _name_of(path)}",
        "",
        "extends:",
        f"  use: {json.dumps(name, ensure_ascii=False)}",
        *(["  with:"] if declared else []),
        *(_line(param, about, values) for param, about in declared.items()),
        "",
        "# What stands below is laid over the template; `dml explain --origin` says what is from where.",
    ]
    write_text(path, "\n".join(lines) + "\n")
    return missing


def _pair(argument: str, name: str, declared: dict[str, Any]) -> tuple[str, str]:
    param, equals, value = argument.partition("=")
    if not equals or param not in declared:
        raise UsageError(
            f"{name} has no param '{param}'" if equals else f"cannot read --with {argument}",
            hint=f"--with PARAM=VALUE; params: {', '.join(declared) or 'none'}",
        )
    return param, value


def _line(param: str, about: dict[str, Any], values: dict[str, str]) -> str:
    comment = f"   # {about['description']}" if about.get("description") else ""
    if param in values:
        value = (
            values[param] if about.get("type") != "string" else json.dumps(values[param], ensure_ascii=False)
        )
        return f"    {param}: {value}{comment}"
    if "default" in about:
        return f"    # {param}: {json.dumps(about['default'], ensure_ascii=False)}{comment}"
    return f"    {param}: {comment.strip()}".rstrip()


def _name_of(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().parent.name.lower()).strip("-")[:63]
    return name or "my-model"
