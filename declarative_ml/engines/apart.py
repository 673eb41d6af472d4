"""A step in a process of its own, whose memory is watched: what a run with a memory ceiling is made of.

A process gives all its memory back when it ends, libraries included, so that a step's memory is its own.
The ceiling is for the run as a whole: this process, the step's, and all that it starts. A step that comes to
it is ended at once; it never takes the machine's memory first.

`python -m declarative_ml.engines.apart` is the other end: it reads one JSON object, does the step, and writes
a line of JSON for each call of the step's context.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from declarative_ml.core import errors
from declarative_ml.core.errors import DmlError, MissingDependency, StepFailed
from declarative_ml.core.resident import resident_bytes
from declarative_ml.core.size import shown
from declarative_ml.graph.plan import Step
from declarative_ml.steps import STEPS
from declarative_ml.steps.context import Finished, StepContext

_TICK = 0.05
"""Seconds between two looks at the memory."""
_NEEDED = 400 << 20
"""Bytes of a step beside what it may use for speed alone: libraries, and one part of its rows at a time."""

_ENVIRONMENT = {"MIMALLOC_PURGE_DELAY": "0"}
"""Arrow's allocator gives back at once what it does not need: it would keep up to half a gigabyte of it, the
more the slower the machine is just now."""


def run_apart(context: StepContext, ceiling: int) -> int:
    """Do a step in another process. Returns the most memory that the run had meanwhile, in bytes.

    Raises what the step raises; StepFailed where the run came to `ceiling` bytes, or the process broke off.
    """
    own = resident_bytes() or 0
    spare = max(0, ceiling - own - _NEEDED)
    with _process(context.out) as (process, log):
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(_call(context, spare)).encode())
        process.stdin.close()
        with _watched(ceiling, process) as watch:
            failure = _followed(context, process.stdout)
        process.wait()
        if watch.reached:
            raise _beyond(context.step, ceiling, watch.peak)
        if failure is not None:
            raise failure
        if process.returncode:
            raise _broken(context.step, process.returncode, log)
    return watch.peak


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The other end, in a group of its own: an interrupt is ours to take, and it ends when we do."""
    log = folder.with_name(f"{folder.name}.log")
    try:
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "declarative_ml.engines.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
        try:
            yield process, log
        finally:
            _end(process)
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
    finally:
        log.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Watch:
    """What was seen: the most memory, and whether that was the ceiling."""

    peak = 0
    reached = False


@contextlib.contextmanager
def _watched(ceiling: int, process: subprocess.Popen[bytes]) -> Iterator[_Watch]:
    """Look at the memory until the block is left; end the process where it comes to the ceiling."""
    watch, ended = _Watch(), threading.Event()

    def look() -> None:
        while not ended.wait(_TICK):
            watch.peak = max(watch.peak, resident_bytes() or 0)
            if watch.peak > ceiling:
                watch.reached = True
                _end(process)
                return

    thread = threading.Thread(target=look, name="dml-memory")
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def _followed(context: StepContext, lines: IO[bytes]) -> DmlError | None:
    """Pass the calls of the other end on; the error that it ended with, if it did."""
    for line in lines:
        call = json.loads(line)
        name, arguments = call["call"], call["with"]
        if name == "progress":
            context.progress(*arguments)
        elif name == "pin":
            context.pin(arguments[0])
        elif name == "cut_short":
            context.cut_short()
        elif name == "failed":
            return _error(*arguments)
    return None


def _error(kind: str, message: str, hint: str | None) -> DmlError:
    if kind == MissingDependency.__name__:
        found: DmlError = MissingDependency("", "")
        found.message, found.hint = message, hint
        return found
    cls: type[DmlError] = getattr(errors, kind, StepFailed)
    return cls(message, hint=hint)


def _beyond(step: Step, ceiling: int, peak: int) -> StepFailed:
    return StepFailed(
        f"step {step.id} came to the ceiling of resources.memory: the run had {shown(peak)}, and may have "
        f"{shown(ceiling)}",
        hint="raise resources.memory; finished steps are kept",
    )


def _broken(step: Step, status: int, log: Path) -> StepFailed:
    said = log.read_text("utf-8", errors="replace").strip().splitlines()
    why = f"signal {-status}" if status < 0 else f"exit status {status}"
    return StepFailed(
        f"step {step.id} broke off with {why}" + (f": {said[-1]}" if said else ""),
        hint="finished steps are kept; DML_DEBUG=1 shows more",
    )


def _call(context: StepContext, spare: int) -> dict[str, Any]:
    """What the other end needs to know of the context, as JSON."""
    return {
        "step": context.step.model_dump(mode="json"),
        "inputs": {role: str(path) for role, path in context.inputs.items()},
        **{name: str(getattr(context, name)) for name in ("out", "scratch", "workspace")},
        "key": context.key,
        "threads": context.threads,
        "finished": {name: asdict(item) for name, item in context.finished.items()},
        "pinned": dict(context.pinned),
        "deadline": None if context.deadline is None else context.deadline(),
        "memory": spare,
    }


def _context(call: dict[str, Any], say: Callable[..., None]) -> StepContext:
    deadline = call["deadline"]
    return StepContext(
        step=Step.model_validate(call["step"]),
        inputs={role: Path(path) for role, path in call["inputs"].items()},
        **{name: Path(call[name]) for name in ("out", "scratch", "workspace")},
        key=call["key"],
        threads=call["threads"],
        finished={name: Finished(**item) for name, item in call["finished"].items()},
        progress=lambda fraction, message: say("progress", fraction, message),
        deadline=None if deadline is None else lambda: deadline,
        cut_short=lambda: say("cut_short"),
        pin=lambda pinned: say("pin", dict(pinned)),
        pinned=call["pinned"],
        memory=call["memory"],
    )


def main() -> int:
    """The other end."""
    # What libraries print must not come between the lines.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(name: str, *arguments: Any) -> None:
        lines.write(json.dumps({"call": name, "with": arguments}) + "\n")

    context = _context(json.load(sys.stdin), say)

    try:
        import_module(STEPS[context.step.kind]).run(context)
    except DmlError as error:
        say("failed", type(error).__name__, error.message, error.hint)
    except Exception as error:
        if os.environ.get("DML_DEBUG"):
            raise
        message = f"step {context.step.id} failed: {type(error).__name__}: {error}"
        hint = "finished steps are kept; DML_DEBUG=1 shows the traceback"
        say("failed", StepFailed.__name__, message, hint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
