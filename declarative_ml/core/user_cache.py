"""Small files kept for the user between projects: whatever is lost here is made again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from declarative_ml.core.atomic import write_bytes


def folder() -> Path:
    """Where they are: `declarative-ml` in $XDG_CACHE_HOME, or in ~/.cache. It need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "declarative-ml"


def kept(name: str, valid: Callable[[bytes], bool], make: Callable[[], bytes | None]) -> bytes | None:
    """The file `name`, or what `make` gives, which is then kept. Trouble with the folder is no trouble."""
    try:
        path = folder() / name
        content = path.read_bytes()
        if valid(content):
            return content
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        pass
    made = make()
    if made is not None:
        with contextlib.suppress(OSError, RuntimeError):
            write_bytes(folder() / name, made)
    return made
