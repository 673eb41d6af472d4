from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from declarative_ml.learning.metrics import default_metrics, score
from declarative_ml.learning.statistics import ColumnProfile
from declarative_ml.learning.task import Task
from declarative_ml.report.content import MemberResult, ReportContent, SliceResult, StepResult

BINARY = Task(target="income", type="binary", classes=("no", "yes"))
MULTICLASS = Task(target="digit", type="multiclass", classes=("zero", "one", "two"))
NUMBER = Task(target="price", type="number")

MakeReport = Callable[..., ReportContent]


def _predictions(task: Task, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if task.type == "number":
        truth = rng.normal(100.0, 20.0, rows)
        return truth, truth + rng.normal(0.0, 5.0, rows)
    truth = rng.integers(0, len(task.classes), rows)
    margins = rng.normal(0.0, 1.0, (rows, len(task.classes)))
    margins[np.arange(rows), truth] += 2.0
    shifted = np.exp(margins)
    return truth, shifted / shifted.sum(axis=1, keepdims=True)


@pytest.fixture
def make_report() -> MakeReport:
    """A content with everything in it; keyword arguments replace fields."""

    def make(task: Task = BINARY, sample: int = 400, **fields: Any) -> ReportContent:
        truth, prediction = _predictions(task, sample)
        scores = {name: score(name, task, truth, prediction) for name in default_metrics(task)}
        primary = {"binary": "roc_auc", "multiclass": "log_loss", "number": "rmse"}[task.type]
        worse = {name: value * (1.3 if primary != "roc_auc" else 0.8) for name, value in scores.items()}
        value = scores[primary]
        standard: dict[str, Any] = {
            "description": "a description",
            "owner": "an owner",
            "created": "today",
            "rows": {"train": 1600, "test": sample},
            "metrics": {"test": scores, "validation": scores},
            "intervals": {"test": {primary: (value * 0.97, value * 1.03)}},
            "baselines": {"test": {"majority": worse, "linear": worse}},
            "truth": truth,
            "prediction": prediction,
            "curves": {
                f"train.{name}.fold{fold}": [
                    {"step": step, "train": 1 / step, "validation": 1 / step + 0.1} for step in range(1, 30)
                ]
                for name in ("lightgbm", "mlp")
                for fold in range(3)
            },
            "slices": [
                SliceResult("sex = male", 300, {primary: value}, (value * 0.9, value * 1.1)),
                SliceResult("sex = other", 3, {primary: float("nan")}),
            ],
            "importance": [("age", 0.2), ("hours", 0.7)],
            "profile": PROFILE,
            "features": {"age": "number", "city": "category", "joined": "date"},
            "dropped": {"id": "every value is different"},
            "notes": ["a note"],
            "steps": STEPS,
            "members": [MemberResult("lightgbm", 0.75, 3.2, 0.3), MemberResult("mlp", 0.25)],
            "provenance": {"Model digest": "abc123"},
            "commands": {"Predict": "dml predict spec.yaml new.csv"},
        }
        return ReportContent(name="adult", task=task, primary=primary, **(standard | fields))

    return make


PROFILE = [
    ColumnProfile(
        name="age",
        dtype="int64",
        rows=100,
        missing=3,
        distinct=50,
        distinct_exact=True,
        unique=False,
        constant=False,
        mean=38.5,
        std=10.25,
        min=17,
        max=90,
        edges=(17, 40, 90),
        counts=(60, 37),
    ),
    ColumnProfile(
        name="city",
        dtype="string",
        rows=100,
        missing=0,
        distinct=7,
        distinct_exact=True,
        unique=False,
        constant=False,
        top=(("Rome", 40), ("Oslo", 30), ("Bern", 10), ("Kyiv", 9), ("Riga", 8), ("Nice", 2), ("Lodz", 1)),
        mean_length=4.0,
    ),
    ColumnProfile(
        name="joined",
        dtype="date",
        rows=100,
        missing=0,
        distinct=90,
        distinct_exact=False,
        unique=False,
        constant=False,
        min=0.0,
        max=365.0,
        edges=(0.0, 365.0),
        counts=(100,),
    ),
    ColumnProfile(
        name="id",
        dtype="string",
        rows=100,
        missing=0,
        distinct=100,
        distinct_exact=True,
        unique=True,
        constant=False,
        top=(("a1", 1), ("a2", 1)),
        mean_length=2.0,
    ),
]

STEPS = [
    StepResult("acquire", "read", "cached", 1.0),
    StepResult("prepare", "encode", "run", 2.0, ["acquire"]),
    StepResult("train.mlp.fold0", "fit", "run", 3.0, ["prepare", "acquire"]),
    StepResult("train.mlp.fold1", "fit", "run", 4.0, ["prepare"]),
    StepResult("ensemble", "weigh", "skipped", 0.0, ["train.mlp.fold0", "train.mlp.fold1"]),
    StepResult("evaluate", "measure", "failed", 0.5, ["ensemble", "prepare"]),
]
