"""Schemathesis makes requests from the OpenAPI document, right and wrong ones, and checks the answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from service_process import Running

# A schema cannot say that lengths fit shapes, that a text holds a date, or that a CSV has the right columns:
# what it allows may be refused, with 400, 413 or 422 and no other answer.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 413, 422]
negative_data_rejection.expected-statuses = [400, 401, 405, 413, 415, 422]
"""


@pytest.mark.slow
def test_all_checks_of_schemathesis_pass(running: Running, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or shutil.which(
        "schemathesis"
    )
    if program is None:
        pytest.skip("schemathesis is not installed")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    found = subprocess.run(
        [
            *(program, "--config-file", "schemathesis.toml", "run"),
            f"http://127.0.0.1:{running.port}/openapi.json",
            *("--checks", "all", "--max-examples", "20", "--seed", "7", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "Tested: " in found.stdout
    assert running.ask("GET", "/healthz")[0] == 200
