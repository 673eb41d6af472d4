"""How much working memory a model needs in TensorFlow Lite Micro.

With too little its interpreter says so, or crashes: the search is done in processes of their own.
What planning needs for a moment counts, so the answer is more than the interpreter says that it holds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from declarative_ml.core.errors import StepFailed
from declarative_ml.core.optional import require

RUNTIME = "tflite_micro.python.tflite_micro.runtime"
_LARGEST = 1 << 24
_LEAST_STEP = 16
_STEPS = 64


def needed_arena(model: Path) -> int:
    """Bytes of working memory that the .tflite starts with, at most a 64th more than it needs.

    Raises StepFailed where it does not start at all: an operator or a type is not there.
    """
    halves = [_LARGEST >> power for power in range(15)]
    enough = _smallest(model, halves)
    step = max(enough // 2 // _STEPS // _LEAST_STEP, 1) * _LEAST_STEP
    return _smallest(model, range(enough, enough // 2, -step))


def _smallest(model: Path, sizes: Sequence[int]) -> int:
    """The last of the falling sizes before one that is too small."""
    command = [sys.executable, "-P", "-m", "declarative_ml.formats.lite.arena", str(model)]
    tried = subprocess.run(
        [*command, *map(str, sizes)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    found = [int(line) for line in tried.stdout.splitlines() if line.isdigit()]
    if not found:
        said = [line for line in tried.stderr.splitlines() if line.strip()]
        raise StepFailed(f"TensorFlow Lite Micro cannot start the model: {'; '.join(said[:2]) or 'no word'}")
    return found[-1]


def _try(model: Path, sizes: Sequence[int]) -> None:
    """Print each size that the model starts with, up to the first that is too small."""
    runtime = require(RUNTIME, "tensorflow")
    content = model.read_bytes()
    for size in sizes:
        try:
            runtime.Interpreter.from_bytes(content, arena_size=size)
        except RuntimeError:
            return
        print(size, flush=True)


if __name__ == "__main__":
    _try(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]])
