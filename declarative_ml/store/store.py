"""The content-addressed store: artifacts by the digest of their bytes, actions by their key.

    artifacts/<digest>/…        a folder of files, read only, complete from the moment it is visible
    actions/<key>.json          which artifact a step with this key made: the commit point
    work/<key>/                 a running step's own folder: checkpoints survive a kill
    locks/<key>                 flock per key; it dies with its process
    in_use                      flock, shared by the runs at work, held alone by the sweep

An artifact is published first and its action record last, so a kill at any moment leaves either
nothing or everything. Two processes may share a store: the second waits for the lock, then hits.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from declarative_ml.core.atomic import publish_folder, read_json, write_json
from declarative_ml.core.digest import digest_folder
from declarative_ml.core.errors import UsageError
from declarative_ml.core.faults import fault_point

POLL_SECONDS = 0.05
CHECKPOINT_SECONDS = 7 * 86_400.0
"""Checkpoints of killed steps are kept this long, so that cleaning up costs nobody a night's work."""


@dataclass(frozen=True)
class Action:
    """A finished step: the artifact it made, and what is worth knowing beside it."""

    key: str
    digest: str
    step: str
    seconds: float
    status: str
    """`run`, or `skipped` when the step's guard said that there is nothing to do."""
    detail: str = ""
    pinned: dict[str, Any] = field(default_factory=dict)
    """What a run without a clock has to be told to make the same artifact (see StepContext.pin)."""
    peak_bytes: int = 0
    """The most memory of the run while it ran, where the run had a ceiling; 0: not measured."""


class Store:
    """Artifacts and actions below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the artifact with this digest lives."""
        return self.root / "artifacts" / digest[:2] / digest

    def scratch(self, key: str) -> Path:
        """The folder in which the step with this key may keep checkpoints while it runs."""
        folder = self.root / "work" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def find(self, key: str) -> Action | None:
        """The finished action with this key, if its artifact is whole."""
        record = self._record(key)
        try:
            fields = read_json(record)
            files: dict[str, int] = fields.pop("files")
            action = Action(**fields)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return action if self._complete(self.path(action.digest), files) else None

    def actions(self) -> Iterator[Action]:
        """Every finished action, in no particular order."""
        for record in (self.root / "actions").glob("*/*.json"):
            action = self.find(record.stem)
            if action is not None:
                yield action

    @contextmanager
    def lock(self, key: str, *, poll: Callable[[int], None] = lambda attempt: None) -> Iterator[None]:
        """Hold the key alone among all processes that share this store.

        While another holds it, `poll` is called again and again with 0, 1, 2, …; it may raise.
        """
        path = self.root / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            attempt = 0
            while not _flock(stream, fcntl.LOCK_EX):
                poll(attempt)
                attempt += 1
                time.sleep(POLL_SECONDS)
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `sweep` away while a run relies on what it found here."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "in_use").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            yield

    @contextmanager
    def building(self) -> Iterator[Path]:
        """A temporary folder for an artifact's files, on the store's file system."""
        parent = self.root / "building"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, action_fields: dict[str, Any]) -> Action:
        """Move the finished `folder` into the store and record the action. Returns the action."""
        digest = digest_folder(folder)
        files = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        }
        target = self.path(digest)
        if target.is_dir() and not self._complete(target, files):
            shutil.rmtree(target)
        publish_folder(folder, target)
        action = Action(digest=digest, **action_fields)
        fault_point(f"{action.step}:publish")
        write_json(self._record(action.key), {**vars(action), "files": files})
        shutil.rmtree(self.root / "work" / action.key, ignore_errors=True)
        return action

    def forget(self, key: str) -> None:
        """Drop the action record, so that its step runs again."""
        self._record(key).unlink(missing_ok=True)

    def sweep(
        self, keep_keys: Set[str], *, older_than: float = 3600.0, keep_since: float = math.inf
    ) -> tuple[int, int]:
        """Delete what no kept action needs, and what killed processes left. Returns (artifacts, bytes).

        Kept are the actions with `keep_keys`, those younger than `older_than` seconds, and those made
        at or after the time `keep_since`. Raises UsageError while a run uses the store.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "in_use").open("a") as stream:
            if not _flock(stream, fcntl.LOCK_EX):
                raise UsageError(f"a run is using {self.root}", hint="clean it when the run has ended")
            recent = min(time.time() - older_than, keep_since)
            kept = self._sweep_actions(keep_keys, recent)
            self._sweep_left_overs()
            return self._sweep_artifacts(kept, recent)

    def _sweep_actions(self, keep_keys: Set[str], recent: float) -> set[str]:
        """Drop the records that nobody keeps. Returns the digests of the artifacts to keep."""
        kept: set[str] = set()
        for record in (self.root / "actions").glob("*/*.json"):
            action = self.find(record.stem)
            if action is not None and (record.stem in keep_keys or record.stat().st_mtime >= recent):
                kept.add(action.digest)
            else:
                record.unlink(missing_ok=True)
        return kept

    def _sweep_artifacts(self, kept: Set[str], recent: float) -> tuple[int, int]:
        dropped = freed = 0
        for folder in (self.root / "artifacts").glob("*/*"):
            if folder.name in kept or folder.stat().st_mtime >= recent:
                continue
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            dropped += 1
            shutil.rmtree(folder, ignore_errors=True)
        return dropped, freed

    def _sweep_left_overs(self) -> None:
        """What a kill left: unfinished folders and what was said of them, temporary records, old checkpoints,
        and all locks."""
        for entry in (self.root / "building").glob("*-*"):
            if Path("/proc", entry.name.partition("-")[0]).exists():
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        for file in [*(self.root / "actions").glob("*/.*"), *(self.root / "locks").glob("*")]:
            file.unlink(missing_ok=True)
        for folder in (self.root / "work").glob("*"):
            if time.time() - folder.stat().st_mtime > CHECKPOINT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def _record(self, key: str) -> Path:
        return self.root / "actions" / key[:2] / f"{key}.json"

    @staticmethod
    def _complete(folder: Path, files: dict[str, int]) -> bool:
        try:
            return all((folder / name).stat().st_size == size for name, size in files.items())
        except OSError:
            return False


def _flock(stream: IO[str], how: int) -> bool:
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
