"""How much memory processes have: resident pages, as the system counts them (Linux; elsewhere unknown)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def resident_bytes(process: int | None = None) -> int | None:
    """The resident memory of a process (absent: this one) and of all that it started.

    Pages that several of them share count once for each. None where the system does not tell.
    """
    found = [_pages(each) for each in _family(os.getpid() if process is None else process)]
    pages = [each for each in found if each is not None]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") if pages else None


def _family(process: int) -> Iterator[int]:
    yield process
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _pages(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
