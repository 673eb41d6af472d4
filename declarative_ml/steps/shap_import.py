"""shap's plots without what they import but do not use: scikit-learn, pandas, numba, scipy.stats.

`import shap` takes 3 CPU seconds, matplotlib included, most of it for explainers and for type checks
against libraries whose objects never come here. `import_plots` loads only the modules that draw, as a
private package (`import shap` elsewhere is not touched), and the statements `import pandas` and so on
inside them give stand-ins: an isinstance check against one is False, any other use is an ImportError.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PRIVATE = "_shap_plots_only"
"""The name of the private package among the loaded modules."""

_lock = threading.RLock()


@dataclass(frozen=True)
class ShapPlots:
    """The parts of shap that draw."""

    Explanation: Callable[..., Any]
    bar: Callable[..., Any]
    beeswarm: Callable[..., Any]
    waterfall: Callable[..., Any]
    scatter: Callable[..., Any]


def import_shap() -> Any:
    """The whole shap library, with its numba kernels as plain Python: for tables they take
    milliseconds, while compiling them takes ten seconds in every process. Raises MissingDependency.
    """
    with _lock, warnings.catch_warnings():
        # What shap's imports warn of, no reader can act on.
        warnings.simplefilter("ignore")
        numba = require("numba", "shap")
        compiled = numba.config.DISABLE_JIT
        numba.config.DISABLE_JIT = True
        try:
            return require("shap", "shap")
        finally:
            numba.config.DISABLE_JIT = compiled


def whole_shap() -> ShapPlots:
    """The plots of the whole library. Raises MissingDependency."""
    shap = import_shap()
    plots = shap.plots
    return ShapPlots(shap.Explanation, plots.bar, plots.beeswarm, plots.waterfall, plots.scatter)


@cache
def import_plots() -> ShapPlots:
    """The plots alone. Raises MissingDependency without shap, ImportError or AttributeError where a
    version of shap is built differently (`whole_shap` works then)."""
    found = find_spec("shap")
    if found is None or found.submodule_search_locations is None:
        raise MissingDependency("shap", "shap")
    finder = _Finder()
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.meta_path.insert(0, finder)
        try:
            return _load(list(found.submodule_search_locations))
        except BaseException:
            for name in [name for name in sys.modules if name.partition(".")[0] == PRIVATE]:
                del sys.modules[name]
            raise
        finally:
            sys.meta_path.remove(finder)


def _load(places: list[str]) -> ShapPlots:
    """Import the modules that draw; the packages around them import nothing of their own accord."""
    package = _empty_package(PRIVATE, places)
    explanation = importlib.import_module(f"{PRIVATE}._explanation")
    package.__dict__.update(Explanation=explanation.Explanation, Cohorts=explanation.Cohorts)
    _empty_package(f"{PRIVATE}.plots", [f"{place}/plots" for place in places])
    draw = {
        name: getattr(importlib.import_module(f"{PRIVATE}.plots._{name}"), name)
        for name in ("bar", "beeswarm", "waterfall", "scatter")
    }
    return ShapPlots(explanation.Explanation, **draw)


def _empty_package(name: str, places: list[str]) -> ModuleType:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = places
    package = sys.modules[name] = module_from_spec(spec)
    return package


class _Finder:
    """Finds the modules of the private package, to be loaded with stand-ins."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a private module; None leaves any other module to the next finder."""
        if not name.startswith(f"{PRIVATE}."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Gives one module an `import` statement of its own; no other module or thread sees it."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import_or_stand_in}
        super().exec_module(module)


def _import_or_stand_in(
    name: str,
    scope: Mapping[str, object] | None = None,
    local: Mapping[str, object] | None = None,
    names: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    top = name.partition(".")[0]
    if level == 0 and (name in _STAND_INS or top in _STAND_INS):
        return _STAND_INS.get(name) or _STAND_INS[top]
    # scipy loads its parts itself when they are first used.
    wanted = top if level == 0 and top == "scipy" and not names else name
    return builtins.__import__(wanted, scope, local, names or (), level)


class _NeverLoaded(type):
    """A class without instances, which cannot be called and has no attributes of its own."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise ImportError(f"{cls.__name__} is not loaded for the plots of shap")

    def __getattr__(cls, name: str) -> Any:
        raise ImportError(f"{cls.__name__}.{name} is not loaded for the plots of shap")


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _NeverLoaded(f"{self.__name__}.{name}", (), {})


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of numba.njit: what it compiles does the same uncompiled."""
    return function


_STAND_INS = {name: _StandIn(name) for name in ("numba", "pandas", "sklearn", "scipy.stats")}
_STAND_INS["numba"].__dict__["njit"] = _as_it_is
