"""LightGBM without the libraries that it imports only to recognise their objects.

`import lightgbm` loads scikit-learn, pandas and more wherever they are installed: about 2 CPU seconds
for wrappers that nothing here uses. They are optional to LightGBM, so for the length of its import they
are declared absent, to this thread only.
"""

from __future__ import annotations

import sys
import threading
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_UNUSED = ("sklearn", "pandas", "matplotlib", "graphviz", "dask", "distributed")


class _Absent:
    """A finder that lets one thread find none of the unused libraries."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse an unused library; leave everything else to the next finder."""
        if name.partition(".")[0] in _UNUSED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed by LightGBM here", name=name)
        return None


_LOCK = threading.Lock()


def import_lightgbm() -> Any:
    """The lightgbm module. Where nobody has imported it yet, a private copy: a later
    `import lightgbm` of the user's own still finds pandas and scikit-learn.
    """
    with _LOCK:
        return sys.modules["lightgbm"] if "lightgbm" in sys.modules else _import_alone()


@cache
def _import_alone() -> Any:
    absent = _Absent()
    # New lists: another thread's import may be walking the old one, and would skip a finder if it shrank.
    sys.meta_path = [absent, *sys.meta_path]
    try:
        module = import_module("lightgbm")
    finally:
        sys.meta_path = [finder for finder in sys.meta_path if finder is not absent]
        for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]
    return module
