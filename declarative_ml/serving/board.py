"""What the workers of a service have counted together: each leaves its numbers in a file for the others.

A worker writes its numbers down each second, and before it tells them to anyone. So a sum that was told never
goes backwards, even when a worker is killed: what is forgotten is at most a second that nobody has seen. A
worker that begins takes the place of one that is gone, and counts on from its numbers; there are never more
files than there were workers at once. Nobody waits for anybody, as there is no one to ask.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import msgspec

log = logging.getLogger("declarative_ml.serving")

EVERY_SECONDS = 1.0
"""How old the numbers of other workers may be."""
_MEMORY = Path("/dev/shm")
"""Where files lie in memory on Linux: a disk that is slow must not hold up the event loop."""

_encode = msgspec.json.Encoder().encode


class Tally(Protocol):
    """Something that a worker counts, and that can be added up over workers."""

    def snapshot(self) -> Any:
        """The numbers, of types that JSON has."""

    def absorb(self, snapshot: Any) -> None:
        """Add the numbers of another, or of an earlier process."""

    def empty(self) -> Self:
        """Another of the same kind, with nothing counted."""


Counted = TypeVar("Counted", bound=Tally)


class _Left(msgspec.Struct):
    """The file of one worker."""

    tallies: dict[str, Any] = {}
    shown: dict[str, Any] = {}


class Board:
    """The numbers of this worker, and what the others have left of theirs."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the workers of this service leave their numbers; None: there is one worker."""
        self._folder = folder
        self._tallies: dict[str, Tally] = {}
        self._shown: dict[str, Callable[[], Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.place = 0
        """Which of the workers this is."""
        self._inherited: dict[str, Any] = {}
        self._lock: int | None = None
        if folder is not None:
            self.place, self._lock = _free_place(folder)
            self._inherited = _read(folder, self.place).tallies

    @property
    def folder(self) -> Path | None:
        """Where the workers meet; None: there is one worker."""
        return self._folder

    def add(self, name: str, tally: Tally) -> None:
        """Count `tally` in, from what a worker before left under the name, or this one before."""
        before = self._tallies.get(name)
        if before is tally:
            return
        if before is not None:
            tally.absorb(before.snapshot())
        elif name in self._inherited:
            tally.absorb(self._inherited.pop(name))
        self._tallies[name] = tally

    def total(self, tally: Counted) -> Counted:
        """What all workers have counted under the name of this one; of others up to a second ago."""
        name = next(name for name, known in self._tallies.items() if known is tally)
        whole = tally.empty()
        whole.absorb(tally.snapshot())
        self.write()
        for left in self._others().values():
            if name in left.tallies:
                whole.absorb(left.tallies[name])
        return whole

    def show(self, name: str, state: Callable[[], Any]) -> None:
        """Let the others see what is true of this process now. `state` gives types that JSON has, on the
        event loop; what it said ends with the process."""
        self._shown[name] = state

    def hide(self, name: str) -> None:
        """Show nothing under the name any more."""
        self._shown.pop(name, None)

    def shown(self, name: str) -> dict[int, Any]:
        """Place -> what every worker that runs now shows under the name, of others up to a second old."""
        found = {self.place: self._shown[name]()} if name in self._shown else {}
        for place, left in self._others().items():
            if self._folder is not None and name in left.shown and _is_taken(self._folder, place):
                found[place] = left.shown[name]
        return dict(sorted(found.items()))

    def write(self) -> None:
        """Leave the numbers for the others. Where that fails the service goes on, and its log says so."""
        if self._folder is None:
            return
        tallies = {name: tally.snapshot() for name, tally in self._tallies.items()}
        shown = {name: state() for name, state in self._shown.items()}
        content = _encode(_Left({**self._inherited, **tallies}, shown))
        path = _numbers(self._folder, self.place)
        # Not by core.atomic: nobody else writes here, and nothing has to survive the machine.
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(content)
            fresh.replace(path)
        except OSError as error:
            log.warning("other workers do not see what this one counts: %s", error)

    def start(self) -> None:
        """Write each second from now on; call it on the event loop."""
        if self._folder is not None:
            self.write()
            self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self.start)

    def close(self) -> None:
        """Write a last time, and let another have the place."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lock is not None:
            self.write()
            os.close(self._lock)
            self._lock = None

    def _others(self) -> dict[int, _Left]:
        if self._folder is None:
            return {}
        places = (int(path.stem) for path in self._folder.glob("*.json"))
        return {place: _read(self._folder, place) for place in places if place != self.place}


@contextmanager
def meeting_place() -> Iterator[Path]:
    """A private folder for the numbers of workers, in memory where the system has that; then removed."""
    within = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dml-serve-", dir=within, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _numbers(folder: Path, place: int) -> Path:
    return folder / f"{place}.json"


def _read(folder: Path, place: int) -> _Left:
    try:
        return msgspec.json.decode(_numbers(folder, place).read_bytes(), type=_Left)
    except FileNotFoundError:
        return _Left()


def _free_place(folder: Path) -> tuple[int, int]:
    """The first place that no living worker has, and the lock that takes it: the system frees it with us."""
    for place in count():
        lock = os.open(folder / f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return place, lock
    raise AssertionError  # count() does not end


def _is_taken(folder: Path, place: int) -> bool:
    """Whether a living worker has the place."""
    try:
        lock = os.open(folder / f"{place}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
