from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from declarative_ml.core import machine


def test_the_machine_is_told() -> None:
    assert machine.python() == f"CPython {platform.python_version()}"
    assert machine.system().startswith(f"{platform.system()} {platform.machine()}")
    assert machine.processor()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the names are those of x86")
def test_instruction_sets_are_those_of_the_system() -> None:
    flags = Path("/proc/cpuinfo").read_text().split("flags")[1].split("\n")[0].split()
    found = machine.instructions()
    assert "sse4_2" in found
    assert set(found) <= set(flags)


def test_only_the_variables_that_matter_and_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in machine.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    assert machine.variables() == {"OMP_NUM_THREADS": "3"}


def test_a_limit_of_processors_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_QUOTA", quota)
    assert machine.processors() == 8
    for text, allowed in (
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("9900000 100000", 8),
        ("", 8),
    ):
        quota.write_text(f"{text}\n")
        assert machine.processors() == allowed
