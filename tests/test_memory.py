"""Reading is streamed: a table larger than memory allows is never held at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COLUMNS = 20
MEGABYTES = 300


@pytest.mark.slow
def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    row = ",".join(f"{number}.{number:04d}" for number in range(1, COLUMNS))
    block = "".join(f"{row},{'ab'[number % 2]}\n" for number in range(1000))
    with (tmp_path / "d.csv").open("w") as stream:
        stream.write(",".join([*(f"c{number}" for number in range(1, COLUMNS)), "y"]) + "\n")
        for part in range(MEGABYTES * 1_000_000 // len(block)):
            stream.write(block.replace("1.0001", f"{part}.5"))
    spec = {
        "name": "large",
        "data": {"source": "d.csv"},
        "target": "y",
        "model": "linear",
        "resources": {"cpu": 1},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "declarative_ml", "run", "spec.yaml", "-q", "--until", "acquire"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert usage.ru_maxrss / 1024 < 1000
