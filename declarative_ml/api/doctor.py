"""What works on this machine."""

from __future__ import annotations

import fcntl
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Literal

from declarative_ml.core.machine import processors
from declarative_ml.core.versions import library_version


@dataclass(frozen=True)
class Check:
    """One finding. `absent` is an optional library that is not installed."""

    name: str
    status: Literal["ok", "absent", "problem"]
    detail: str


OPTIONAL = {
    "torch": ("torch", "model: mlp"),
    "mlflow": ("mlflow", "tracking and `dml ui`"),
    "tensorboardX": ("tensorboard", "event files by `track: {tensorboard: true}`"),
    "optuna": ("tune", "search for options by `tune`"),
    "ray": ("ray", "`dml run --engine ray`"),
    "shap": ("shap", "plots of explanations"),
    "nbformat": ("notebook", "`dml export notebook`"),
    "spacy": ("spacy", "texts with `encoder: spacy`"),
    "tokenizers": ("embedding", "texts with `encoder: embedding`"),
    "matplotlib": ("shap", "plots of explanations"),
    "elastic-apm": ("apm", "`monitor.apm`: what the service tells Elastic"),
    "adbc-driver-postgresql": ("sql", "rows of PostgreSQL"),
    "adbc-driver-sqlite": ("sql", "rows of SQLite"),
    "palmerpenguins": ("samples", "the sample table penguins"),
    "scikit-learn": ("samples", "the other sample tables of real data"),
}


def examine() -> list[Check]:
    """Every check, the fast ones only: nothing heavy is imported."""
    checks = [Check("python", "ok", f"{sys.version.split()[0]} on {platform.machine()}")]
    for name in _required():
        version = library_version(name)
        problem = version == "absent"
        checks.append(
            Check(
                name,
                "problem" if problem else "ok",
                "is missing: reinstall declarative-ml" if problem else version,
            )
        )
    for name, (extra, use) in OPTIONAL.items():
        version = library_version(name)
        absent = version == "absent"
        detail = (
            f"not installed: {use}; pip install 'declarative-ml[{extra}]'" if absent else f"{version}: {use}"
        )
        checks.append(Check(name, "absent" if absent else "ok", detail))
    checks.append(Check("processors", "ok", str(processors())))
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    checks.append(Check("disk", "ok" if free > 1 else "problem", f"{free:.0f} GB free here"))
    checks.append(_locks())
    return checks


def _required() -> list[str]:
    """The distributions that the package itself asks for, without those of extras."""
    wanted = requires("declarative-ml") or []
    return [
        item.split(";")[0].split(">")[0].split("=")[0].strip() for item in wanted if "extra ==" not in item
    ]


def _locks() -> Check:
    """Whether this file system locks: two runs may share a store only where it does."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as first, Path(first.name).open() as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return Check("file locks", "ok", "work here")
    return Check("file locks", "problem", "do not work on this file system: do not share a store on it")
