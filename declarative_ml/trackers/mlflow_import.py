"""MLflow without its tools for language models, which tracking does not use.

They bring a web framework along and make up a quarter of `import mlflow`. MLflow loads its model flavours
on first use; here these two packages are loaded so as well, and their parts that the store needs alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any

_LATER = ("genai", "gateway")
_STORE = ("mlflow.genai.judges", "mlflow.store.tracking.sqlalchemy_store")
"""In this order: the store imports parts of `genai` that import each other in a circle."""


def import_without_genai() -> Any:
    """The mlflow module, and with it the store for databases. `mlflow.genai` still works, on first use.

    Raises ImportError or AttributeError, and leaves no trace, where a version of MLflow is built otherwise.
    """
    try:
        with _packages_not_run():
            mlflow = import_module("mlflow")
            for name in _STORE:
                import_module(name)
            lazy = import_module("mlflow.utils.lazy_load").LazyLoader
        for name in _LATER:
            vars(mlflow)[name] = lazy(f"mlflow.{name}", vars(mlflow), f"mlflow.{name}")
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
            del sys.modules[name]
        raise
    return mlflow


@contextmanager
def _packages_not_run() -> Iterator[None]:
    """For a while the packages are there with their modules, but their own `__init__` has not run."""
    found = find_spec("mlflow")
    places = list((found.submodule_search_locations if found else None) or [])
    names = [f"mlflow.{name}" for name in _LATER]
    for name in names:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [f"{place}/{name.rpartition('.')[2]}" for place in places]
        sys.modules[name] = module_from_spec(spec)
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
