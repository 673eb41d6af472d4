"""A disk on which there is no room left, or that may not be written, told from other faults of the system."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

_WORDS = (
    re.compile("No space left on device"),  # Arrow's, without a number
    re.compile("^[0-9]+ requested and [0-9]+ written$"),  # numpy's
    re.compile("database or disk is full"),  # SQLite's, whoever wraps them
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_HINT = "make room on the disk and run again: finished steps are kept"


def is_full(error: BaseException) -> bool:
    """Whether the error, or one that it came from, says that there is no room: on the disk, or by a quota."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        if any(words.search(str(seen)) for words in _WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def why_closed(path: Path) -> str | None:
    """Why a file cannot be written, or made, at the path; None where it can. Nothing is made to find out."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    closed = next((each for each in (path, folder) if each.exists() and not os.access(each, os.W_OK)), None)
    if closed is None:
        return None
    read_only = os.statvfs(closed).f_flag & os.ST_RDONLY
    return f"{closed} is on a read-only file system" if read_only else f"{closed} may not be written"
