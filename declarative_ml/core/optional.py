"""Import of optional libraries, with the extra to install in the error."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from declarative_ml.core.errors import MissingDependency

_MODULES = {"scikit-learn": "sklearn", "xgboost-cpu": "xgboost", "elastic-apm": "elasticapm"}
"""Distributions whose module has another name."""


def require(module: str, extra: str) -> Any:
    """Import and return `module`. Raises MissingDependency naming `extra` when it is not installed."""
    if not installed(module):
        raise MissingDependency(module.partition(".")[0], extra)
    return import_module(module)


def installed(module: str) -> bool:
    """Whether the top-level package of `module`, or of the distribution so named, can be imported.

    It is not imported for that.
    """
    return find_spec(_MODULES.get(module, module).partition(".")[0]) is not None
