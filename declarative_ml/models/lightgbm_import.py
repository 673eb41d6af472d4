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
from typing import Any

from declarative_ml.models.lone_import import without

_UNUSED = ("sklearn", "pandas", "matplotlib", "graphviz", "dask", "distributed")
_LOCK = threading.Lock()


def import_lightgbm() -> Any:
    """The lightgbm module. Where nobody has imported it yet, a private copy: a later
    `import lightgbm` of the user's own still finds pandas and scikit-learn.
    """
    with _LOCK:
        return sys.modules["lightgbm"] if "lightgbm" in sys.modules else _import_alone()


@cache
def _import_alone() -> Any:
    try:
        with without(_UNUSED, "LightGBM"):
            return import_module("lightgbm")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]
