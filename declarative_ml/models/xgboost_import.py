"""XGBoost without scikit-learn, which it imports only to wrap itself in estimators.

`import xgboost` loads scikit-learn, and pandas with it, wherever they are installed: about 1.4 CPU seconds
for wrappers that nothing here uses. They are optional to XGBoost, so for the length of its import they are
declared absent, to this thread only, and the copy gets a name of its own: a later `import xgboost` of the
user's own still finds them.
"""

from __future__ import annotations

import sys
import threading
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import MissingDependency
from declarative_ml.models.lone_import import without

if TYPE_CHECKING:
    from types import ModuleType

PRIVATE = "_xgboost_alone"
"""The name of the private copy among the loaded modules."""
_UNUSED = ("sklearn", "pandas", "matplotlib", "graphviz")
_LOCK = threading.Lock()


def import_xgboost() -> Any:
    """The xgboost module; a private copy where nobody has imported it yet. Raises MissingDependency."""
    with _LOCK:
        return sys.modules["xgboost"] if "xgboost" in sys.modules else _import_alone()


@cache
def _import_alone() -> ModuleType:
    found = PathFinder.find_spec("xgboost")
    if found is None or found.origin is None:
        raise MissingDependency("xgboost", "xgboost")
    spec = spec_from_file_location(
        PRIVATE, found.origin, submodule_search_locations=found.submodule_search_locations
    )
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[PRIVATE] = module
    try:
        with without(_UNUSED, "XGBoost"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[PRIVATE]
        raise
    return module
