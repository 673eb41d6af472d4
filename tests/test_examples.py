"""Every example runs through the command line, does nothing the second time, and predicts."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/spec.yaml"))
CHAIN = "seed-text"
"""The one with everything takes a minute: test_seed_text.py."""
TRACKED = "titanic"
"""Tracking takes seconds a run, so one example has it."""


def dml(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", *arguments],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def run(name: str, folder: Path) -> dict[str, Any]:
    quick = [] if name == TRACKED else ["--set", "track=false"]
    spec = str(folder / name / "spec.yaml")
    done = dml("run", spec, "--set", "explain.rows=3", *quick, "--format", "json", "--quiet")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples, as a fresh clone has them."""
    copied = tmp_path_factory.mktemp("work") / "examples"
    shutil.copytree(EXAMPLES, copied, ignore=shutil.ignore_patterns(".dml"))
    return copied


def needs(name: str) -> None:
    text = (EXAMPLES / name / "spec.yaml").read_text()
    wanted = {"palmerpenguins": "name: penguins", "torch": "type: mlp", "mlflow": f"name: {TRACKED}"}
    absent = [library for library, sign in wanted.items() if sign in text and find_spec(library) is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")


QUICK = ("penguins", TRACKED)
"""Run each time; the others with the slow tests."""


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
        if name != CHAIN
    ],
)
def test_example_runs(name: str, folder: Path) -> None:
    needs(name)
    first = run(name, folder)
    assert first["status"] == "ok"
    assert bool(first["mlflow_run_id"]) == (name == TRACKED)
    assert Path(first["report"]).stat().st_size > 50_000
    primary, spec = first["primary"], yaml.safe_load((folder / name / "spec.yaml").read_text())
    assert primary == spec["evaluate"]["metric"]
    assert_beats_no_skill(first)

    second = run(name, folder)
    assert {step["status"] for step in second["steps"]} <= {"cached", "skipped"}
    assert second["model_digest"] == first["model_digest"]

    new = folder / name / "new.csv"
    answers = list(
        csv.DictReader(io.StringIO(dml("predict", str(new.with_name("spec.yaml")), str(new)).stdout))
    )
    assert len(answers) == len(new.read_text().splitlines()) - 1
    assert all(answer["prediction"] for answer in answers)


def assert_beats_no_skill(result: dict[str, Any]) -> None:
    primary = result["primary"]
    score = result["metrics"]["test"][primary]
    (guess,) = (
        scores[primary]
        for name, scores in result["baselines"]["test"].items()
        if name in ("majority", "mean")
    )
    lower_is_better = primary in ("log_loss", "rmse")
    assert score < 0.9 * guess if lower_is_better else score > 1.1 * guess


@pytest.mark.parametrize("name", NAMES)
def test_example_is_explained(name: str) -> None:
    page = (EXAMPLES / name / "README.md").read_text()
    assert page.startswith("# ")
    assert f"dml run examples/{name}/spec.yaml" in page
    assert f"dml predict examples/{name}/spec.yaml examples/{name}/new.csv" in page
    assert "## Data" in page


def test_examples_are_small_and_listed() -> None:
    sizes = {path: path.stat().st_size for path in EXAMPLES.rglob("*.csv") if ".dml" not in path.parts}
    assert sum(sizes.values()) < 1_000_000
    index = (EXAMPLES / "README.md").read_text()
    assert all(f"({name}/README.md)" in index for name in NAMES)


@pytest.mark.slow
def test_raw_rows_are_refused_where_sql_looks_at_several_rows(folder: Path) -> None:
    spec = folder / "rain" / "spec.yaml"
    if not (folder / "rain" / ".dml").exists():
        run("rain", folder)
    done = dml("predict", str(spec), str(folder / "weather" / "data" / "2015.csv"), code=5)
    assert "data.sql cannot be re-run on new rows" in done.stderr
    assert "the rows lack 'temp_range'" in done.stderr
