"""What this package says of itself: its requirements, from the clone that runs or from its installation."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import declarative_ml

DISTRIBUTION = "declarative-ml"
ENTRY_POINTS = "[console_scripts]\ndml = declarative_ml.cli:main\n"


@cache
def requirements() -> tuple[str, ...]:
    """Every requirement with its markers, those of extras among them, as in a wheel's METADATA.

    Of a clone its pyproject.toml tells: what was installed from it may be older.
    """
    project = _clone()
    if project is None:
        return tuple(metadata.requires(DISTRIBUTION) or ())
    found = list(project["dependencies"])
    for extra, members in project["optional-dependencies"].items():
        found += [_of_extra(Requirement(text), extra) for text in members]
    return tuple(found)


@cache
def extras() -> tuple[str, ...]:
    """The names of the extras."""
    project = _clone()
    if project is None:
        return tuple(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ())
    return tuple(project["optional-dependencies"])


def wheel_metadata() -> str:
    """METADATA: name, version, requirements and extras."""
    lines = ["Metadata-Version: 2.4", f"Name: {DISTRIBUTION}", f"Version: {declarative_ml.__version__}"]
    lines += ["License-Expression: Apache-2.0", "Requires-Python: >=3.11"]
    lines += [f"Provides-Extra: {name}" for name in extras()]
    lines += [f"Requires-Dist: {text}" for text in requirements()]
    return "\n".join(lines) + "\n"


def _clone() -> dict[str, dict[str, list[str]]] | None:
    """The table `project` of the pyproject.toml beside the package, where it is ours."""
    path = Path(declarative_ml.__file__).parents[1] / "pyproject.toml"
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == DISTRIBUTION else None


def _of_extra(requirement: Requirement, extra: str) -> str:
    bare = str(requirement).partition(";")[0].strip()
    condition = f"extra == '{extra}'"
    return f"{bare}; ({requirement.marker}) and {condition}" if requirement.marker else f"{bare}; {condition}"
