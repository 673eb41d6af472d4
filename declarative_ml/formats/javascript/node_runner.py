"""A folder of the format onnx-web, run under Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import weakref
from contextlib import suppress
from importlib.resources import as_file
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from declarative_ml.formats.base import Rows

_OLDEST = 18
"""The version of Node from which on modules and private fields are as in browsers."""


def find_node() -> str | None:
    """The path of a Node that is new enough; None without one."""
    node = shutil.which("node")
    if node is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = told.strip().removeprefix("v").partition(".")[0]
    return node if major.isdigit() and int(major) >= _OLDEST else None


class NodeRun:
    """A process of Node that answers until this object is gone."""

    def __init__(self, node: str, script: Traversable, folder: Path, width: int) -> None:
        """Start it. `width`: how many numbers the answer to a row has. Raises DataError when Node refuses."""
        self._width = width
        with as_file(script) as path:
            self._process = subprocess.Popen(
                [node, str(path), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            self._stop = weakref.finalize(self, _stop, self._process)
            # The script is read by now: it answers.
            self._ask({"rows": []})

    def __call__(self, rows: Rows) -> np.ndarray:
        """Probabilities [n, C] or numbers [n, 1] of raw columns, float64."""
        columns = {
            name: [_number(value) for value in values.ravel().tolist()]
            if values.dtype.kind == "f"
            else values.ravel().tolist()
            for name, values in rows.items()
        }
        values = self._ask({"columns": columns})["values"]
        return np.array([float(value) for value in values]).reshape(-1, self._width)

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The module's own answers to rows of column: value. Raises DataError for rows that do not fit."""
        answers: list[dict[str, Any]] = self._ask({"rows": rows})["answers"]
        return answers

    def close(self) -> None:
        """End the process."""
        self._stop()

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise DataError("Node ended while it ran the model")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DataError(answer["error"])
        return answer


def _number(value: float) -> str:
    """A number as JavaScript spells it; JSON knows neither NaN nor infinity."""
    return repr(value).replace("nan", "NaN").replace("inf", "Infinity")


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # What Node did not read before it ended cannot be written any more.
            with suppress(BrokenPipeError):
                stream.close()
