"""A bundle as it is served: started by itself, asked by requests, watched from outside.

That is the service itself, asked over HTTP; where what it needs is not installed, the slim process
`scoring.worker`, spoken to by lines of JSON. Who asks sees `Served` alone.
"""

from __future__ import annotations

import contextlib
import http.client
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

SERVICE, WORKER = "declarative_ml.serving.trial", "declarative_ml.scoring.worker"
JSON = "application/json"
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
    port: int | None = None
    """Of the service; None: it is asked through pipes."""
    _read: bytearray = field(default_factory=bytearray)

    def ask(self, request: Any) -> dict[str, Any]:
        """The answer to a request: an object as JSON, or bytes as they are, without a line break.

        Raises StepFailed when the process ends or says nothing in time.
        """
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        if self.port is not None:
            return _as_told_through_pipes(self.post(body, JSON))
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_line` says how it ended
            self.process.stdin.write(body + b"\n")
            self.process.stdin.flush()
        return self._line(ANSWER_SECONDS)

    def post(self, body: bytes, media: str) -> bytes:
        """What the service answers at /predict to a body, whatever the status.

        Raises StepFailed when the process ends or says nothing in time.
        """
        assert self.port is not None
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            link.request("POST", "/predict", body, {"content-type": media})
            return link.getresponse().read()
        except TimeoutError as error:
            raise _silent(ANSWER_SECONDS) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._ended() from error
        finally:
            link.close()

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
        self.port = first.get("port")

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        pipe, until = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._read:
            if time.monotonic() > until:
                raise _silent(seconds)
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


def _silent(seconds: float) -> StepFailed:
    return StepFailed(
        f"the served bundle said nothing for {seconds:.0f} seconds",
        hint="when the machine is less busy, the same command tries again",
    )


def _as_told_through_pipes(body: bytes) -> dict[str, Any]:
    """The service's answer, with its refusals as `scoring.answering` words them."""
    found: dict[str, Any] = json.loads(body)
    if "error" in found:
        return {"error": {"message": found["error"], "hint": found.get("hint")}}
    return found


def _size(bundle: Path) -> int:
    """Bytes of a bundle's model, or of all of a .zip."""
    place = bundle / MODEL if bundle.is_dir() else bundle
    return place.stat().st_size if place.is_file() else 0


@contextlib.contextmanager
def serve(
    bundle: Path,
    scratch: Path,
    *,
    folder: Path | None = None,
    tick: Callable[[], None] = lambda: None,
    over_http: bool = False,
) -> Iterator[Served]:
    """Serve the bundle in a process of its own until the block ends; `over_http` needs the extra `serve`.

    Its errors go to a log in `scratch`. It works in `folder` (absent: `scratch`), from where folders of text
    pipelines are looked for. `tick` is called while it is waited for; what it raises goes up and ends it.
    Raises DataError for a bundle that does not open, StepFailed for a process that ends by itself.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    place, began = scratch / "served.log", time.perf_counter()
    with (
        place.open("wb") as log,
        child(
            SERVICE if over_http else WORKER,
            str(bundle.absolute()),
            str(MOST_BYTES + _MODEL_COPIES * _size(bundle)),
            *([str(scratch.absolute())] if over_http else []),
            folder=folder or scratch,
            log=log,
            threads=1,
            pipes=True,
        ) as process,
    ):
        served = Served(process, place, tick)
        served._start(began)
        yield served
