"""Gates on real tables: a worse model is refused by the gate that is meant for it, an equal one passes."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
GATES = ("good-enough", "not-worse", "every-group")

Rows = list[dict[str, str]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.exists(), reason="the real tables lie in ../shared/data, which is absent"),
]


@dataclass(frozen=True)
class Table:
    """A real table with rows for training and for tests."""

    name: str
    target: str
    group: str
    """The column of the slices."""
    broken: str
    """The group whose targets are spoilt for the broken model."""
    metric: str
    limit: Mapping[str, float]
    by: float
    """What an equal model may lose by chance of its training alone."""
    spoil: Callable[[str], str]

    def rows(self, part: str) -> Rows:
        with (SHARED / self.name / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def shuffled(self) -> Rows:
        """The rows for training, with targets that tell nothing."""
        rows = self.rows("train")
        targets = [row[self.target] for row in rows]
        random.Random(1).shuffle(targets)
        return [{**row, self.target: target} for row, target in zip(rows, targets, strict=True)]

    def broken_group(self) -> Rows:
        """The rows for training, with wrong targets in one group."""
        return [
            {**row, self.target: self.spoil(row[self.target])} if row[self.group] == self.broken else row
            for row in self.rows("train")
        ]


TABLES = (
    Table(
        "telco_churn",
        "Churn",
        "Contract",
        "One year",
        "log_loss",  # few trees rank these rows well, and their probabilities tell little
        {"max": 0.5},
        -0.005,
        {"Yes": "No", "No": "Yes"}.__getitem__,
    ),
    Table(
        "adult",
        "income",
        "sex",
        "Female",
        "roc_auc",
        {"min": 0.85},
        -0.005,
        {"<=50K": ">50K", ">50K": "<=50K"}.__getitem__,
    ),
    Table(
        "california_housing",
        "median_house_value",
        "ocean_proximity",
        "INLAND",
        "rmse",
        {"max": 60_000},
        -1_500.0,
        lambda target: str(500_000 - float(target)),
    ),
)


@dataclass(frozen=True)
class Judged:
    """What `dml run` ended with."""

    code: int
    printed: Mapping[str, Any]
    said: str

    @property
    def failed(self) -> set[str]:
        return {gate["name"] for gate in self.printed["gates"] if not gate["passed"]}


@dataclass(frozen=True)
class Bench:
    """A table, its champion, and a workspace that they share."""

    table: Table
    folder: Path

    def run(self, train: Rows, champion: str | None = None, **options: Any) -> Judged:
        """Train a candidate on `train` and judge it on the table's own test rows."""
        _write(self.folder / "train.csv", train)
        _write(self.folder / "test.csv", self.table.rows("test"))
        spec = self.folder / "spec.yaml"
        spec.write_text(yaml.safe_dump(self._spec(champion, options)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "declarative_ml", "run", str(spec), "--format", "json", "--quiet"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.stdout, done.stderr
        return Judged(done.returncode, json.loads(done.stdout), done.stderr)

    def _spec(self, champion: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        table = self.table
        rival = {"metric": table.metric, "beats": "champion", "by": table.by}
        return {
            "name": table.name.replace("_", "-"),
            "data": {
                "source": "train.csv",
                "split": {"method": "files", "test": "test.csv", "validation": 0.1},
            },
            "target": table.target,
            "model": {"type": "lightgbm", **options},
            "evaluate": {
                "metric": table.metric,
                **({"champion": champion} if champion else {}),
                "gates": {
                    "good-enough": {"metric": table.metric, **table.limit},
                    "not-worse": rival,
                    "every-group": {**rival, "slice": table.group},
                },
            },
            "convert": ["onnx"],
        }


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module", params=TABLES, ids=[table.name for table in TABLES])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp(request.param.name))


@pytest.fixture(scope="module")
def champion(bench: Bench) -> str:
    first = bench.run(bench.table.rows("train"))
    assert first.code == 0, first.said
    assert not first.failed
    return str(first.printed["bundle"])


def test_an_equal_model_passes(bench: Bench, champion: str) -> None:
    """The same rows in another order: every bagging sample differs, the knowledge does not."""
    rows = bench.table.rows("train")
    random.Random(7).shuffle(rows)
    equal = bench.run(rows, champion, bagging_fraction=0.9)
    assert (equal.code, equal.printed["status"], equal.failed) == (0, "ok", set())


def test_too_few_trees_are_refused(bench: Bench, champion: str) -> None:
    worse = bench.run(bench.table.rows("train"), champion, rounds=2)
    assert (worse.code, worse.printed["status"]) == (4, "gate_failed")
    assert "not-worse" in worse.failed


def test_shuffled_targets_are_refused_by_every_gate(bench: Bench, champion: str) -> None:
    worse = bench.run(bench.table.shuffled(), champion)
    assert (worse.code, worse.printed["status"], worse.failed) == (4, "gate_failed", set(GATES))


def test_a_broken_slice_is_refused_by_its_gate_and_named(bench: Bench, champion: str) -> None:
    worse = bench.run(bench.table.broken_group(), champion)
    assert (worse.code, worse.printed["status"]) == (4, "gate_failed")
    assert "every-group" in worse.failed
    told = json.dumps([gate for gate in worse.printed["gates"] if gate["name"] == "every-group"])
    assert bench.table.broken in told
