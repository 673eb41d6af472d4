"""Steps in processes of their own, under a ceiling of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.errors import DataError, StepFailed
from declarative_ml.core.resident import resident_bytes
from declarative_ml.engines.apart import run_apart
from declarative_ml.graph.plan import Step
from declarative_ml.steps.context import StepContext


def _ceiling() -> int:
    """The process of the tests counts too, and may have much by now."""
    return (resident_bytes() or 0) + (1 << 30)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """The context of a step that reads a small table."""
    (tmp_path / "out").mkdir()
    table = tmp_path / "t.csv"
    told: list[str] = []

    def make(text: str) -> StepContext:
        table.write_text(text)
        step = Step(
            id="acquire.source",
            kind="acquire",
            title="Read",
            params={"missing": [""]},
            outside={"sources": {"source": {"type": "file", "path": str(table)}}},
        )
        return StepContext(
            step=step,
            inputs={},
            **{name: tmp_path / name for name in ("out", "scratch", "workspace")},
            key="k",
            threads=1,
            finished={},
            progress=lambda fraction, message: told.append(message),
        )

    make.told = told  # type: ignore[attr-defined]
    return make


def test_a_step_is_done_and_measured(context: Any, tmp_path: Path) -> None:
    peak = run_apart(context("a,b\n1,2\n3,4\n"), _ceiling())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.arrow", "schema.json", "info.json"}
    assert (resident_bytes() or 0) < peak < _ceiling()
    assert "2 of 2 rows" in context.told
    assert not list(tmp_path.glob("*.log"))


def test_its_errors_are_raised_here(context: Any) -> None:
    with pytest.raises(DataError, match="has a header but no rows") as caught:
        run_apart(context("a,b\n"), _ceiling())
    assert caught.value.hint == "give a file with data"


def test_a_step_that_comes_to_the_ceiling_is_ended(context: Any) -> None:
    with pytest.raises(
        StepFailed, match=r"acquire.source came to the ceiling of resources.memory: the run had"
    ):
        run_apart(context("a,b\n1,2\n"), (resident_bytes() or 0) + (1 << 20))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", "lightgbm"])
def test_a_ceiling_does_not_change_the_model(model: str, flowers: Any, run: Any) -> None:
    free = run(flowers("free", model=model))
    held = flowers("held", model=model, resources={"cpu": 1, "memory": "1Gi"})
    # In a process of its own: that of the tests counts, and may have more by now.
    command = [sys.executable, "-m", "declarative_ml", "run", str(held), "--format", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, check=True)
    result = json.loads(done.stdout)
    assert result["model_digest"] == free.result["model_digest"]
    peaks = [step["peak_bytes"] for step in result["steps"] if step["status"] == "run"]
    assert all(0 < peak < 1 << 30 for peak in peaks)
    assert "estimated" in Path(result["report"]).read_text()
