"""Looks where the served bundles come from, and writes a new lineup when one has changed.

One thread of the process that started the service does this for all workers. What cannot be reached or is
broken changes nothing but the lineup's `trouble`: the bundles of before go on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.serving.fleet import require_fit, side_fault
from declarative_ml.serving.lineup import FILE, Entry, Lineup, Role, write_lineup
from declarative_ml.serving.origins import Found, Origin
from declarative_ml.store.bundle import Bundle, Manifest

log = logging.getLogger("declarative_ml.serving")

TICK = 0.2
MOST_PATIENCE = 16
"""Times the time between two looks: the longest wait for an origin that fails again and again."""


@dataclass(frozen=True)
class Wanted:
    """One bundle to serve, and what it is there for."""

    origin: Origin
    role: Role = "serving"
    share: float = 1.0
    by: str | None = None


@dataclass
class _Followed:
    wanted: Wanted
    found: Found
    manifest: Manifest
    failed: int = 0
    """Looks in a row."""
    due: float = 0.0


@dataclass
class Watcher:
    """Follows the origins. `asked` may be set at any time, also by a signal: then all are looked at now."""

    wanted: Sequence[Wanted]
    folder: Path
    poll: float = 30.0
    reload: bool = False
    asked: bool = False
    clock: Callable[[], float] = time.monotonic
    chance: random.Random = field(default_factory=random.Random)
    _followed: list[_Followed] = field(default_factory=list)
    _lineup: Lineup = field(default_factory=lambda: Lineup(entries=()))
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def file(self) -> Path:
        """The lineup, for those that answer."""
        return self.folder / FILE

    def begin(self) -> Lineup:
        """Look at all origins, and write the first lineup. Raises DmlError for what cannot be served."""
        self._followed = []
        for wanted in self.wanted:
            found = wanted.origin.look(None, self.folder)
            self._followed.append(_Followed(wanted, found, Bundle.open(found.path).manifest))
        self._lineup = self._drawn_up()
        require_fit(self._lineup, self._manifests())
        for item in self._followed:
            self._plan(item)
        write_lineup(self.file, self._lineup)
        return self._lineup

    def start(self) -> None:
        """Go on looking, in a thread."""
        self._thread = threading.Thread(target=self._work, name="dml-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a look that is under way is not waited for."""
        self._ended.set()

    def _work(self) -> None:
        while not self._ended.wait(TICK):
            try:
                self.step()
            except Exception:
                # A full disk, for example: the thread goes on, and so do the models.
                log.exception("looking for new models failed")

    def step(self) -> None:
        """Look at the origins that are due."""
        everything, self.asked = self.asked, False
        if everything:
            log.warning("asked to look for new models")
        due = [item for item in self._followed if everything or self._is_due(item)]
        if not due:
            return
        trouble, failures = dict(self._lineup.trouble), self._lineup.failures
        for item in due:
            try:
                self._look(item)
                trouble.pop(item.wanted.origin.shown, None)
            except Exception as error:  # noqa: BLE001
                # Whatever is wrong there, the models of before go on; the next look may succeed.
                told = error.message if isinstance(error, DmlError) else repr(error)
                failures += 1
                trouble[item.wanted.origin.shown] = told
                if item.failed == 0 or everything:
                    log.warning("%s: %s; the model of before goes on", item.wanted.origin.shown, told)
                item.failed += 1
            self._plan(item)
        self._publish(trouble, failures)

    def _look(self, item: _Followed) -> None:
        found = item.wanted.origin.look(item.found, self.folder)
        if found is not item.found:
            item.manifest = Bundle.open(found.path, verify=True).manifest
            item.found = found
        if item.failed:
            log.warning("%s is there again", item.wanted.origin.shown)
        item.failed = 0

    def _is_due(self, item: _Followed) -> bool:
        return (item.wanted.origin.always or self.reload) and self.clock() >= item.due

    def _plan(self, item: _Followed) -> None:
        """When to look next: later and later at what fails, and never all services at the same moment."""
        patience = min(2**item.failed, MOST_PATIENCE)
        item.due = self.clock() + self.poll * patience * self.chance.uniform(0.8, 1.2)

    def _publish(self, trouble: dict[str, str], failures: int) -> None:
        drawn = self._drawn_up()
        entries, told = _fitting(drawn.entries, self._manifests())
        said = {entry.origin for entry in drawn.entries}
        trouble = {name: text for name, text in trouble.items() if name in said} | told
        changed = entries != self._lineup.entries
        lineup = Lineup(
            entries=entries,
            trouble=trouble,
            failures=failures,
            reloads=self._lineup.reloads + changed,
        )
        if lineup != self._lineup:
            write_lineup(self.file, lineup)
            self._lineup = lineup
        if changed:
            listed = ", ".join(f"{entry.origin} {entry.number}".strip() for entry in entries)
            log.warning("changing to %s", listed)

    def _manifests(self) -> dict[Path, Manifest]:
        return {item.found.path: item.manifest for item in self._followed}

    def _drawn_up(self) -> Lineup:
        entries = [
            Entry(
                role=item.wanted.role,
                bundle=item.found.path,
                origin=item.wanted.origin.shown,
                number=item.found.number,
                share=item.wanted.share,
                by=item.wanted.by,
            )
            for item in self._followed
        ]
        return Lineup(entries=tuple(entries))


def _fitting(
    entries: Sequence[Entry], manifests: Mapping[Path, Manifest]
) -> tuple[tuple[Entry, ...], dict[str, str]]:
    """The entries without a canary or shadow that a new first model leaves behind, with the reasons; and
    without the second of two that have become the same version."""
    first = manifests[next(entry for entry in entries if entry.role == "serving").bundle]
    kept: list[Entry] = []
    told: dict[str, str] = {}
    for entry in entries:
        if entry.role != "serving" and (reason := side_fault(first, manifests[entry.bundle], entry)):
            told[entry.origin] = reason
            continue
        kept.append(entry)
        try:
            require_fit(Lineup(entries=tuple(kept)), manifests)
        except UsageError as error:
            told[entry.origin] = error.message
            kept.pop()
    return tuple(kept), told
