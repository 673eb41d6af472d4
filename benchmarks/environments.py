"""A virtual environment for each peer, outside the repository, made once and pinned.

Peers ask for versions that exclude each other and ours, so each has its own. A folder is named after its
requirements: a changed pin makes a new one. One that cannot be made is an absence with a reason, which the
report shows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from declarative_ml.core import user_cache
from declarative_ml.core.atomic import write_text

READY = "ready.json"


@dataclass(frozen=True)
class Recipe:
    """What a peer needs."""

    installs: tuple[tuple[str, ...], ...]
    """One `pip install` each, in this order; the pins of a step bind the later ones too."""
    programs: tuple[str, ...] = ()
    """Programs that must be on the path."""

    @property
    def digest(self) -> str:
        """Twelve characters that change with any pin and with the version of Python."""
        told = json.dumps([self.installs, sys.version_info[:2]])
        return hashlib.sha256(told.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Environment:
    """A Python that can run a contender."""

    python: Path
    digest: str
    packages: tuple[str, ...]
    """Everything that is installed, as `pip freeze` says it."""


@dataclass(frozen=True)
class Absent:
    """Why a peer cannot take part on this machine."""

    reason: str


def bench_folder() -> Path:
    """Where environments and results are kept: `bench` in the user's cache. It need not exist."""
    return user_cache.folder() / "bench"


def environment(name: str, folder: Path, recipe: Recipe) -> Environment | Absent:
    """The environment of the peer `name` below `folder`, made now if it is not there."""
    for program in recipe.programs:
        if shutil.which(program) is None:
            return Absent(f"{program} is not on the path")
    place = folder / f"{name}-{recipe.digest}"
    python = place / "bin" / "python"
    if not (place / READY).exists():
        reason = _make(place, recipe)
        if reason is not None:
            return Absent(reason)
    ready = json.loads((place / READY).read_text())
    return Environment(python, recipe.digest, tuple(ready["packages"]))


def _make(place: Path, recipe: Recipe) -> str | None:
    """Build the environment; the reason why not. What a kill left half done, and other pins left, goes."""
    name = place.name.rpartition("-")[0]
    for old in place.parent.glob(f"{name}-*"):
        shutil.rmtree(old)
    place.parent.mkdir(parents=True, exist_ok=True)
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    told: list[str] = []
    commands: list[list[str]] = [[sys.executable, "-m", "venv", str(place)]]
    for step in recipe.installs:
        told += step
        commands.append([*pip, "install", *told])
    for command in commands:
        reason = _run(command)
        if reason is not None:
            shutil.rmtree(place, ignore_errors=True)
            return reason
    done = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    ready = {"installs": recipe.installs, "packages": done.stdout.split()}
    write_text(place / READY, json.dumps(ready, indent=1))
    return None


def _run(command: Sequence[str]) -> str | None:
    """Run the command; when it fails, the line that says why."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or [f"exit status {done.returncode}"])[-1]
