"""Imports of a library without others that it only wraps or recognises."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _Absent:
    """A finder that lets one thread find none of the unused libraries."""

    def __init__(self, unused: Sequence[str], user: str) -> None:
        self._unused, self._user = unused, user
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse an unused library; leave everything else to the next finder."""
        if name.partition(".")[0] in self._unused and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed by {self._user} here", name=name)
        return None


@contextmanager
def without(unused: Sequence[str], user: str) -> Iterator[None]:
    """Declare the libraries `unused` absent while `user` is imported, to this thread only."""
    absent = _Absent(unused, user)
    # New lists: another thread's import may be walking the old one, and would skip a finder if it shrank.
    sys.meta_path = [absent, *sys.meta_path]
    try:
        yield
    finally:
        sys.meta_path = [finder for finder in sys.meta_path if finder is not absent]
