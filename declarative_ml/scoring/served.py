"""A bundle as it is served: started by itself, asked by requests, watched from outside.

Today that is the slim process `scoring.worker`, spoken to by lines of JSON. A server that speaks HTTP takes
its place here, and nowhere else: who asks sees `Served` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from declarative_ml.core.child import TICK, child
from declarative_ml.core.errors import DataError, StepFailed
from declarative_ml.store.bundle import MODEL

START_SECONDS, ANSWER_SECONDS = 60.0, 30.0
"""Limits, not expectations: a start takes about a second, an answer milliseconds."""
MOST_BYTES = 4 << 30
"""Of memory, beside that for the model."""
_MODEL_COPIES = 8
_LAST_WORDS = 300


@dataclass
class Served:
    """A running service of one bundle."""

    process: subprocess.Popen[bytes]
    log: Path
    tick: Callable[[], None]
    start_seconds: float = 0.0
    """From the first instruction to the readiness to answer."""
    model_digest: str = ""
    _read: bytearray = field(default_factory=bytearray)

    def ask(self, request: Any) -> dict[str, Any]:
        """The answer to a request: an object as JSON, or bytes as they are, without a line break.

        Raises StepFailed when the process ends or says nothing in time.
        """
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_line` says how it ended
            self.process.stdin.write(body + b"\n")
            self.process.stdin.flush()
        return self._line(ANSWER_SECONDS)

    def peak_bytes(self) -> int | None:
        """The most memory that it has held so far; None where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(found[0]) * 1024 if found else None

    def _start(self, began: float) -> None:
        first = self._line(START_SECONDS)
        if "error" in first:
            raise DataError(first["error"]["message"], hint=first["error"]["hint"])
        self.start_seconds = time.perf_counter() - began
        self.model_digest = first["model_digest"]

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        pipe, until = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._read:
            if time.monotonic() > until:
                raise StepFailed(
                    f"the served bundle said nothing for {seconds:.0f} seconds",
                    hint="when the machine is less busy, the same command tries again",
                )
            if select.select([pipe], [], [], TICK)[0]:
                content = os.read(pipe, 1 << 20)
                if not content:
                    raise self._ended()
                self._read += content
            else:
                self.tick()
        line, _, rest = self._read.partition(b"\n")
        self._read = bytearray(rest)
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> StepFailed:
        code = self.process.wait()
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        told = lines[-1].strip()[:_LAST_WORDS] if lines else "no word"
        how = f"signal {-code}" if code < 0 else f"status {code}"
        return StepFailed(
            f"the process that serves the bundle ended with {how}: {told}",
            hint="if memory ran out, close other programs; the same command tries again",
        )


def _size(bundle: Path) -> int:
    """Bytes of a bundle's model, or of all of a .zip."""
    place = bundle / MODEL if bundle.is_dir() else bundle
    return place.stat().st_size if place.is_file() else 0


@contextlib.contextmanager
def serve(
    bundle: Path, scratch: Path, *, folder: Path | None = None, tick: Callable[[], None] = lambda: None
) -> Iterator[Served]:
    """Serve the bundle in a process of its own until the block ends.

    Its errors go to a log in `scratch`. It works in `folder` (absent: `scratch`), from where folders of text
    pipelines are looked for. `tick` is called while it is waited for; what it raises goes up and ends it.
    Raises DataError for a bundle that does not open, StepFailed for a process that ends by itself.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    place, began = scratch / "served.log", time.perf_counter()
    with (
        place.open("wb") as log,
        child(
            "declarative_ml.scoring.worker",
            str(bundle.absolute()),
            str(MOST_BYTES + _MODEL_COPIES * _size(bundle)),
            folder=folder or scratch,
            log=log,
            threads=1,
            pipes=True,
        ) as process,
    ):
        served = Served(process, place, tick)
        served._start(began)
        yield served
