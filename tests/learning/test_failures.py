from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from declarative_ml.learning.conditions import RawColumn
from declarative_ml.learning.contrasts import contrasts
from declarative_ml.learning.failures import Judged, find_failures, worst_rows
from declarative_ml.learning.row_losses import row_losses
from declarative_ml.learning.task import Task

BINARY = Task(target="left", type="binary", classes=("no", "yes"))
THREE = Task(target="kind", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="price", type="number")
ROWS = 1500


def columns(seed: int = 0) -> list[RawColumn]:
    random = np.random.default_rng(seed)
    texts = np.array(["word " * int(n) for n in random.integers(0, 30, ROWS)], dtype=object)
    lengths = np.array([float(len(text)) if text else np.nan for text in texts])
    return [
        RawColumn("plan", "category", np.array(["free", "paid"], dtype=object)[random.integers(0, 2, ROWS)]),
        RawColumn("age", "number", random.integers(18, 80, ROWS).astype(float)),
        RawColumn("joined", "date", random.integers(18_000, 19_000, ROWS).astype(float)),
        RawColumn("notes", "length", lengths, texts),
    ]


def judged(task: Task, wrong: np.ndarray, seed: int = 1) -> Judged:
    """Answers that are good, but for the rows of `wrong`, where they are confidently bad."""
    random = np.random.default_rng(seed)
    if task.type == "number":
        truth = random.normal(100, 20, ROWS)
        return Judged(task, columns(), truth, truth + random.normal(0, 3, ROWS) + 25 * wrong, "rmse")
    classes = len(task.classes)
    truth = random.integers(0, classes, ROWS)
    sure = np.full((ROWS, classes), 0.1 / (classes - 1))
    said = np.where(random.random(ROWS) < 0.1, (truth + 1) % classes, truth)
    sure[np.arange(ROWS), np.where(wrong, (truth + 1) % classes, said)] = 0.9
    return Judged(task, columns(), truth, sure, "roc_auc")


def young(paid: bool = True) -> np.ndarray:
    plan, age, *_ = columns()
    return (plan.values == ("paid" if paid else "free")) & (age.values < 30)


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_a_finding_tells_metrics_answers_columns_and_rows(task: Task) -> None:
    found = json.loads(json.dumps(find_failures(judged(task, young()))))
    first = found["segments"][0]
    assert first["segment"] == "plan = paid and age < 30"
    assert first["rows"] == int(young().sum()) and first["share"] == pytest.approx(young().mean())
    plain = "mae" if task.type == "number" else "accuracy"
    inside, outside = first["metrics"][plain], first["outside"][plain]
    low, high = first["interval"][plain]
    assert low <= inside <= high
    assert (inside > outside) is (task.type == "number")
    assert first["excess"][1] > 0
    example = first["examples"][0]
    assert [name for name, _ in example["values"]][:2] in (["plan", "age"], ["age", "plan"])
    assert dict(example["values"])["plan"] == "paid"
    assert found["rows"] == ROWS and found["columns"] == 4 and found["champion"] is None
    if task.type == "number":
        assert first["answers"]["said"] - first["answers"]["so"] == pytest.approx(25, abs=2)
    else:
        assert first["answers"]["wrong"] >= 0.95 * first["rows"]
        assert first["answers"]["surprise"] > 10


def test_hard_rows_are_no_surprise() -> None:
    """Where the truth is a coin and the model says so, it fails and knows it."""
    random = np.random.default_rng(0)
    chance = np.where(young(), 0.5, 0.02)
    truth = (random.random(ROWS) < chance).astype(np.int64)
    found = find_failures(Judged(BINARY, columns(), truth, np.stack([1 - chance, chance], 1), "log_loss"))
    assert found["segments"][0]["segment"] == "plan = paid and age < 30"
    assert abs(found["segments"][0]["answers"]["surprise"]) < 3


def test_two_models_side_by_side() -> None:
    candidate, champion = judged(BINARY, young()), judged(BINARY, young(paid=False))
    found = find_failures(replace(candidate, champion=champion.prediction))
    first = found["segments"][0]
    assert first["segment"] == "plan = paid and age < 30"
    assert first["champion"]["metrics"]["accuracy"] > 0.8 > first["metrics"]["accuracy"]
    assert first["examples"][0]["champion"]["answer"] in BINARY.classes
    (worse,) = found["champion"]["segments"]
    assert worse["segment"] == "plan = paid and age < 30", "and not the rows where the champion is worse"
    equal = find_failures(replace(candidate, champion=candidate.prediction))
    assert equal["champion"]["segments"] == [], "equally bad is not worse"
    assert equal["champion"]["loss"] == equal["loss"]


def test_texts_are_shown_and_not_only_their_lengths() -> None:
    column = columns()[3]
    found = find_failures(judged(BINARY, np.nan_to_num(column.values) >= 100))
    first = found["segments"][0]
    assert first["segment"].startswith("length of notes ≥")
    shown = dict(first["examples"][0]["values"])["notes"]
    assert shown.startswith("word word") and len(shown) <= 120


def test_columns_that_set_bad_rows_apart() -> None:
    made = columns()
    found = contrasts(made, young(), ~young(), 6)
    assert {item.column for item in found} == {"plan", "age"}
    for item in found:
        assert 0 < item.divergence <= 1
        assert sum(item.shares[0]) == pytest.approx(1) and sum(item.shares[1]) == pytest.approx(1)
    plan = next(item for item in found if item.column == "plan")
    assert dict(zip(plan.cells, plan.shares[0], strict=True))["paid"] == 1.0
    age = next(item for item in found if item.column == "age")
    assert age.cells == ("18", "79")
    half = np.arange(ROWS) % 2 == 0
    assert contrasts(made, half, ~half, 6) == []
    assert contrasts(made, np.zeros(ROWS, dtype=bool), half, 6) == []


def test_losses_are_bounded() -> None:
    loss, bound = row_losses(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert loss.tolist() == [0.0, bound] and bound == pytest.approx(4.605, abs=1e-3)
    truth = np.zeros(1000)
    errors = np.where(np.arange(1000) == 7, 1e9, 1.0)
    loss, bound = row_losses(truth, errors)
    assert loss.max() == bound == 1.0
    assert row_losses(truth, errors * 2, bound)[0].max() == 1.0


def test_the_worst_fifth() -> None:
    assert worst_rows(np.arange(100.0)).sum() == 20
    assert worst_rows(np.ones(100)).sum() == 0
    assert worst_rows(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("rows", [1, 12])
def test_few_rows_are_no_error(rows: int) -> None:
    whole = judged(BINARY, young())
    part: dict[str, Any] = {
        "columns": [
            RawColumn(
                item.name, item.kind, item.values[:rows], None if item.texts is None else item.texts[:rows]
            )
            for item in whole.columns
        ],
        "truth": whole.truth[:rows],
        "prediction": whole.prediction[:rows],
    }
    found = find_failures(replace(whole, **part))
    assert found["segments"] == [] and found["rows"] == rows
