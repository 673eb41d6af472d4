"""What serving installs and loads, and what a service costs before its first answer."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from service_process import serving

from declarative_ml.store.bundle import Bundle

LOOPS = 30
"""That the processor time of a start may take. Measured beside many busy neighbours, who slow imports and
loops differently: 11 of the slower loop, 22 of the faster."""
HEAVY = {"torch", "mlflow", "mlflow-skinny", "pandas", "scikit-learn", "shap", "matplotlib", "tensorflow"}


def brought_by(lines: list[str], extras: frozenset[str], found: set[str]) -> set[str]:
    """The distributions that these requirements bring, by what those that are installed say of themselves."""
    for line in lines:
        needed = Requirement(line)
        wanted = needed.marker is None or any(
            needed.marker.evaluate({"extra": extra}) for extra in extras | {""}
        )
        below = needed.name.lower().replace("_", "-")
        if wanted and below not in found:
            found.add(below)
            with contextlib.suppress(PackageNotFoundError):
                brought_by(requires(below) or [], frozenset(needed.extras), found)
    return found


def test_the_extra_serve_installs_nothing_of_training() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    found = brought_by(lines, frozenset(), set())
    assert {"onnxruntime", "fastapi", "uvicorn"} <= found
    assert found & HEAVY == set()


LOADED = """
import sys
from declarative_ml.serving.server import Settings, build
build(Settings(bundles=(sys.argv[1],))).service.close()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_service_loads_nothing_of_training(bundle_of: Callable[[str], Bundle]) -> None:
    command = [sys.executable, "-c", LOADED, str(bundle_of("stays").path)]
    found = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    heavy = {"torch", "mlflow", "pandas", "sklearn", "shap", "lightgbm", "scipy", "onnx", "duckdb", "pyarrow"}
    assert "onnxruntime" in found
    assert found & heavy == set()


def loop_seconds() -> float:
    """Processor time of a loop in Python, as a measure of how fast this machine is now."""
    began, total = time.process_time(), 0
    for number in range(2_000_000):
        total += number % 7
    return time.process_time() - began


def test_the_first_answer_is_cheap(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    """In units of a loop, which neighbours and slow processors make dearer as well."""
    loops = [loop_seconds()]
    with serving(bundle_of("stays").path) as running:
        assert running.ask("POST", "/predict", {"rows": [row]})[0] == 200
        spent, resident = running.cpu_seconds(), running.resident_mebibytes()
    loops.append(loop_seconds())
    print(f"first answer after {spent:.2f} s of processor time, {resident:.0f} MiB resident, loop {loops}")
    assert resident < 150
    assert spent < LOOPS * max(loops)
