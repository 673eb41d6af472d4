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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PRIVATE = "_xgboost_alone"
"""The name of the private copy among the loaded modules."""
_UNUSED = ("sklearn", "pandas", "matplotlib", "graphviz")
_LOCK = threading.Lock()


class _Absent:
    """A finder that lets one thread find none of the unused libraries."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse an unused library; leave everything else to the next finder."""
        if name.partition(".")[0] in _UNUSED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed by XGBoost here", name=name)
        return None


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
    absent = _Absent()
    # New lists: another thread's import may be walking the old one, and would skip a finder if it shrank.
    sys.meta_path = [absent, *sys.meta_path]
    sys.modules[PRIVATE] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[PRIVATE]
        raise
    finally:
        sys.meta_path = [finder for finder in sys.meta_path if finder is not absent]
    return module
