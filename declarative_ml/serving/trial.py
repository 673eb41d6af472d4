"""A bundle served for a trial, by itself: python -m declarative_ml.serving.trial BUNDLE BYTES SCRATCH.

The very service of `dml serve`, on any free port of this machine, until stdin ends. Says one line when it is
ready. What only training needs cannot be imported here, and memory has a limit.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.scoring.worker import BLOCKED

if TYPE_CHECKING:
    from declarative_ml.serving.app import Application

TABLES = ("pyarrow",)
"""What a service may have: bodies of Arrow need it."""


class _Absent:
    """An import of what only training needs fails."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in BLOCKED and name not in TABLES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(path: str, most_bytes: int, scratch: str) -> None:
    """Serve the bundle until stdin ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    sys.meta_path.insert(0, _Absent())
    tempfile.tempdir = scratch
    # The address has a way of its own: a library that prints cannot come between.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(value: dict[str, Any]) -> None:
        out.write(json.dumps(value).encode() + b"\n")
        out.flush()

    from declarative_ml.core.errors import DmlError
    from declarative_ml.scoring.answering import refusal
    from declarative_ml.serving.server import Settings, serve
    from declarative_ml.spec.service import Serve

    def told(application: Application, address: str) -> None:
        digest = application.service.first.manifest.model_digest
        say({"ready": True, "model_digest": digest, "port": int(address.rpartition(":")[2])})

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        serve(Settings(bundles=(Path(path),), options=Serve(port=0)), told)
    except DmlError as error:
        say(refusal(error))


def _end_with_stdin() -> None:
    """Whoever started this has ended, however that happened."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
