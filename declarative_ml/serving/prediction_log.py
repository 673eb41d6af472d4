"""Requests and answers in files, written by a thread of their own; format in docs/monitor.md.

The file that grows is JSON lines and has `.part` behind its name; each write ends with a whole line. Full by
size or time it is made durable and renamed, or becomes a Parquet file that appears whole. A killed process
loses the rows that it had not yet written, about a second of them; the next one on the same folder renames
what it left. Rows that cannot be written, because too many wait or the disk is full, are dropped and counted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from declarative_ml.core.atomic import sync_folder
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import MissingDependency, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.core.size import bytes_of
from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.log_format import write_parquet
from declarative_ml.spec.monitor import PredictionLog
from declarative_ml.store.bundle import Manifest

log = logging.getLogger("declarative_ml.serving")

PART = ".part"
"""Behind the name of the file that grows."""
MOST_QUEUED = 50_000
"""Rows that wait for the writer; further ones are dropped."""
_TELL_SECONDS = 60.0
"""Between two lines of the service's log about files that cannot be written."""


@dataclass(slots=True)
class LoggedRows:
    """Rows of one or more requests."""

    origins: Sequence[tuple[str, float, int]]
    """Of each request: id, seconds since 1970, rows."""
    columns: Mapping[str, np.ndarray]
    """What the graph took, [N, 1]."""
    scored: Predictions
    prediction: np.ndarray
    """[N]: class names as text, or numbers."""


class LogWriter:
    """The log of one model in one process."""

    def __init__(self, options: PredictionLog, manifest: Manifest) -> None:
        """Raises UsageError for a folder that cannot be written to, MissingDependency without pyarrow for
        Parquet."""
        self._options, self._manifest = options, manifest
        self._folder = Path(options.path)
        if options.format == "parquet" and not installed("pyarrow"):
            raise MissingDependency("pyarrow", "serve")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"monitor.log: the folder {self._folder} cannot be made: {error.strerror}",
                hint="choose another path, or make it writable for the service",
            ) from error
        self.written = self.faults = 0
        """Rows in files, and failed writes."""
        self._refused = self._lost = 0
        self._put = self._taken = 0
        self._queue: queue.SimpleQueue[LoggedRows | None] = queue.SimpleQueue()
        self._random = random.Random()
        self._file: _Growing | None = None
        self._told = -_TELL_SECONDS
        self._thread = threading.Thread(target=self._work, name="dml-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Rows that are in no file: too many waited, or a write failed."""
        return self._refused + self._lost

    def put(self, rows: LoggedRows) -> None:
        """Write the rows soon; at once return. For one thread."""
        count = len(rows.scored)
        if self._put - self._taken + count > MOST_QUEUED:
            self._refused += count
            return
        self._put += count
        self._queue.put(rows)

    def close(self) -> None:
        """Write what waits, finish the file, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        self._guarded(self._recover, 0)
        while True:
            try:
                rows = self._queue.get(timeout=1.0)
            except queue.Empty:
                self._guarded(self._rotate, 0)
                continue
            if rows is None:
                self._guarded(self._finish, 0)
                return
            count = len(rows.scored)
            self._guarded(partial(self._write, rows), count)
            self._taken += count

    def _guarded(self, work: Callable[[], None], rows: int) -> None:
        """Do what the file system may refuse: then the rows are lost, and the service goes on."""
        try:
            work()
        except OSError as error:
            self.faults += 1
            self._lost += rows
            if time.monotonic() - self._told >= _TELL_SECONDS:
                self._told = time.monotonic()
                log.warning("the prediction log cannot be written: %s", error)

    def _write(self, rows: LoggedRows) -> None:
        chosen = self._sample(len(rows.scored))
        if not chosen:
            return
        lines, count = _lines(rows, chosen, self._manifest, frozenset(self._options.redact)), len(chosen)
        if self._file is None:
            self._file = _Growing(self._folder, self._manifest.name)
        self._file.write(b"".join(lines))
        self.written += count
        self._rotate()

    def _sample(self, rows: int) -> Sequence[int]:
        share = self._options.sample
        if share >= 1.0:
            return range(rows)
        return [row for row in range(rows) if self._random.random() < share]

    def _rotate(self) -> None:
        rotate, file = self._options.rotate, self._file
        if file is None:
            return
        late = time.monotonic() - file.began >= seconds_of(rotate.time)
        if late or file.size >= bytes_of(rotate.size):
            self._finish()

    def _finish(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            self._publish(file.path)

    def _recover(self) -> None:
        """Finish what killed processes left: files that no process holds."""
        for path in sorted(self._folder.glob(f"*{PART}")):
            if _name_of(self._manifest.name).match(path.name) and _release(path):
                self._publish(path)

    def _publish(self, path: Path) -> None:
        """Give a file that does not grow any more its last name and form, and delete those too many."""
        finished = path.with_name(path.name.removesuffix(PART))
        if self._options.format == "jsonl":
            path.rename(finished)
        else:
            write_parquet(path, finished.with_suffix(".parquet"), self._manifest)
            path.unlink()
        sync_folder(self._folder)
        if self._options.keep is not None:
            name = _name_of(self._manifest.name)
            files = [item for item in self._folder.iterdir() if name.match(item.name)]
            files = sorted(item for item in files if not item.name.endswith(PART))
            for old in files[: -self._options.keep]:
                old.unlink(missing_ok=True)


class _Growing:
    """The file that grows, held by a lock that a killed process gives back."""

    def __init__(self, folder: Path, model: str) -> None:
        now = datetime.now(UTC)
        stamp = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}"
        self.path = folder / f"{model}-{stamp}-{os.getpid()}-{os.urandom(2).hex()}.jsonl{PART}"
        self.began, self.size = time.monotonic(), 0
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, content: bytes) -> None:
        """Add whole lines. Raises OSError; the file then ends where it did before."""
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += len(content)

    def close(self) -> None:
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)


def _name_of(model: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(model)}-\d{{8}}T\d{{9}}-\d+-[0-9a-f]{{4}}\.(parquet|jsonl({PART})?)\Z")


def _release(path: Path) -> bool:
    """Cut a line off that is not whole. False where a process holds the file."""
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(os.dup(handle), "rb") as stream:
            end = sum(len(line) for line in stream if line.endswith(b"\n"))
        os.ftruncate(handle, end)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _lines(
    rows: LoggedRows, chosen: Sequence[int], manifest: Manifest, redacted: frozenset[str]
) -> Iterator[bytes]:
    import msgspec

    encode = msgspec.json.Encoder().encode
    origins = list(_origin_of_rows(rows.origins))
    nothing = [None] * len(rows.scored)
    columns = {
        name: nothing if name in redacted else values.reshape(-1).tolist()
        for name, values in rows.columns.items()
    }
    about: dict[str, Any] = {"model": manifest.name, "digest": manifest.model_digest}
    if hidden := sorted(redacted & columns.keys()):
        about["redacted"] = hidden
    answers = _answers(rows, manifest.task.classes)
    for row in chosen:
        key, when = origins[row]
        inputs = {name: _plain(values[row]) for name, values in columns.items()}
        line = {"time": when, "id": key, **about, "inputs": inputs}
        yield encode({**line, **{name: values[row] for name, values in answers.items()}}) + b"\n"


def _plain(value: Any) -> Any:
    """The value, with null for a missing text; a missing number becomes null in JSON by itself."""
    return None if value == "" else value


def _origin_of_rows(origins: Sequence[tuple[str, float, int]]) -> Iterator[tuple[str, str]]:
    """Id and time of each row: the request's id, with the row's number from 0 behind it if it has several."""
    for request, when, rows in origins:
        moment = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if rows == 1:
            yield request, moment
        else:
            yield from ((f"{request}/{number}", moment) for number in range(rows))


def _answers(rows: LoggedRows, classes: Sequence[str]) -> dict[str, list[Any]]:
    """Column -> a value for each row."""
    scored = rows.scored
    found: dict[str, list[Any]] = {"prediction": rows.prediction.tolist()}
    if scored.probabilities is not None:
        wide = scored.probabilities.tolist()
        found["probabilities"] = [dict(zip(classes, values, strict=True)) for values in wide]
    for name, values in (("lower", scored.lower), ("upper", scored.upper)):
        if values is not None:
            found[name] = values.tolist()
    return found
