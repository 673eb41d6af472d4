"""The content-addressed store: artifacts by the digest of their bytes, actions by their key.

    artifacts/<digest>/…        a folder of files, read only, complete from the moment it is visible
    actions/<key>.json          which artifact a step with this key made: the commit point
    work/<key>/                 a running step's own folder: checkpoints survive a kill
    locks/<key>                 flock per key; it dies with its process

An artifact is published first and its action record last, so a kill at any moment leaves either
nothing or everything. Two processes may share a store: the second waits for the lock, then hits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import publish_folder, read_json, write_json
from declarative_ml.core.digest import digest_folder
from declarative_ml.core.faults import fault_point


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
    def lock(self, key: str) -> Iterator[None]:
        """Hold the key alone among all processes that share this store."""
        path = self.root / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
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

    def sweep(self, keep_keys: set[str], *, older_than: float = 3600.0) -> tuple[int, int]:
        """Delete what no kept action needs. Returns (artifacts deleted, bytes freed).

        Folders of processes that are gone, and files younger than `older_than` seconds that a
        running process may still need, are told apart by age and by process number.
        """
        kept: set[str] = set()
        now = time.time()
        for record in (self.root / "actions").glob("*/*.json"):
            action = self.find(record.stem)
            young = now - record.stat().st_mtime < older_than
            if action is not None and (record.stem in keep_keys or young):
                kept.add(action.digest)
            else:
                record.unlink(missing_ok=True)
        dropped = freed = 0
        for folder in (self.root / "artifacts").glob("*/*"):
            if folder.name in kept or now - folder.stat().st_mtime < older_than:
                continue
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            dropped += 1
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.root / "building").glob("*-*"):
            if not Path(f"/proc/{folder.name.partition('-')[0]}").exists():
                shutil.rmtree(folder, ignore_errors=True)
        return dropped, freed

    def _record(self, key: str) -> Path:
        return self.root / "actions" / key[:2] / f"{key}.json"

    @staticmethod
    def _complete(folder: Path, files: dict[str, int]) -> bool:
        try:
            return all((folder / name).stat().st_size == size for name, size in files.items())
        except OSError:
            return False
