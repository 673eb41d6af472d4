"""The workspace `.dml/` beside a spec: store, run history, memo of file digests.

store/          content-addressed artifacts
runs/<id>/      spec.yaml plan.json events.jsonl run.json report.html bundle/
mlflow.db       tracking, unless it goes to a server
digests.json    file digests by path, size, time and inode
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.core.digest import digest_file
from declarative_ml.core.disk import why_closed
from declarative_ml.core.errors import UsageError
from declarative_ml.store.store import Store

FOLDER = ".dml"
RUN_FILE = "run.json"


@dataclass(frozen=True)
class Run:
    """One run of the history. `record` is empty for a run that was interrupted."""

    id: str
    folder: Path
    record: dict[str, Any]

    @property
    def status(self) -> str:
        """`ok`, `failed` or `interrupted`."""
        return str(self.record.get("result", {}).get("status", "interrupted"))

    @property
    def bundle(self) -> Path:
        """The bundle that the run made."""
        return self.folder / "bundle"


class Workspace:
    """Paths and history below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def beside(cls, path: Path, store: str | None = None) -> Workspace:
        """The workspace of the spec or data at `path`, or at the folder given by `--store`."""
        if store is not None:
            if "://" in store:
                raise UsageError(
                    f"--store {store}: only local folders work in this version",
                    hint="give a folder; on several machines use a shared file system",
                )
            return cls(Path(store))
        return cls(path.resolve().parent / FOLDER)

    @cached_property
    def store(self) -> Store:
        """The content-addressed store."""
        return Store(self.root / "store")

    def new_run(self) -> tuple[str, Path]:
        """An id that sorts by time, and its folder."""
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        folder = self.root / "runs" / run_id
        folder.mkdir(parents=True)
        return run_id, folder

    def runs(self) -> Iterator[Run]:
        """All runs, the newest first, each read when it is reached."""
        folders = sorted((self.root / "runs").glob("*-*"), reverse=True)
        return (self._read(folder) for folder in folders if folder.is_dir())

    def run(self, run_id: str) -> Run:
        """The run with this id or unique start of an id; `latest` is the newest good one."""
        if run_id == "latest":
            found = list(islice((run for run in self.runs() if run.status == "ok"), 1))
        else:
            found = [run for run in self.runs() if run.id.startswith(run_id)]
        if len(found) != 1:
            known = ", ".join(run.id for run in islice(self.runs(), 5)) or "none yet"
            raise UsageError(
                f"no run '{run_id}' in {self.root}" if not found else f"'{run_id}' fits {len(found)} runs",
                hint=f"the newest runs: {known}",
            )
        return found[0]

    def place(self, spec: Path) -> str:
        """Where the spec is, seen from the workspace: a project that is moved keeps its history."""
        return Path(os.path.relpath(spec.resolve(), self.root.resolve())).as_posix()

    def latest(self, spec: Path, name: str) -> Run | None:
        """The latest good run of the spec file."""
        wanted = self.place(spec)
        for run in self.runs():
            if (
                run.status == "ok"
                and run.record.get("spec_path") == wanted
                and run.record.get("name") == name
            ):
                return run
        return None

    def last_documents(self, spec: Path) -> dict[str, Any]:
        """Step id -> key document of the newest run of the spec, finished or not."""
        wanted = self.place(spec)
        for run in self.runs():
            if run.record.get("spec_path") == wanted and "documents" in run.record:
                documents: dict[str, Any] = run.record["documents"]
                return documents
        return {}

    def digests(
        self, files: Iterable[str], *, fresh: bool = False, most: int | None = None
    ) -> dict[str, str]:
        """Path -> SHA-256 of each file, remembered while size, time and inode stay the same.

        Files of more than `most` bytes that would have to be read are left out.
        """
        memo_file = self.root / "digests.json"
        try:
            memo: dict[str, list[Any]] = {} if fresh else read_json(memo_file)
        except (OSError, ValueError):
            memo = {}
        found, changed = {}, False
        for name in files:
            status = Path(name).stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
            known = memo.get(name)
            if known is None or known[:3] != stamp:
                if most is not None and status.st_size > most:
                    continue
                known = [*stamp, digest_file(Path(name))]
                memo[name], changed = known, True
            found[name] = str(known[3])
        if changed:
            with suppress(OSError):  # it spares the next command some time, and is all that looking writes
                write_json(memo_file, memo)
        return found

    def require_open(self) -> None:
        """Raise UsageError for a workspace in which no run can be written."""
        closed = why_closed(self.root / "runs" / "run")
        if closed is not None:
            raise UsageError(
                f"the workspace cannot be written: {closed}",
                hint="--store FOLDER keeps it elsewhere; what has run can be read where it is",
            )

    @staticmethod
    def _read(folder: Path) -> Run:
        try:
            record = read_json(folder / RUN_FILE)
        except (OSError, ValueError):
            record = {}
        return Run(folder.name, folder, record)


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(value, ensure_ascii=False) + "\n")
