"""Test rows beyond those that fit in memory give the metrics, gates and pictures of those that do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.learning import scores, value_groups
from declarative_ml.steps import raw, tested
from declarative_ml.steps.tested import AnsweredRows, read_tested

GATES = {
    "by_colour": {"metric": "log_loss", "max": 9, "slice": "colour", "rows": 3},
    "both": {"metric": "accuracy", "min": 0, "slice": {"wild": "yes", "colour": "red"}, "rows": 2},
    "held_out": {"metric": "brier", "max": 9, "part": "validation"},
}


def _found(report: Any, step: str) -> Path:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return Path(found)


def _measured(report: Any) -> tuple[AnsweredRows, Any]:
    assert report.error is None, report.error
    metrics = json.loads((_found(report, "evaluate") / "metrics.json").read_text())
    gates = json.loads((_found(report, "gate") / "gates.json").read_text())["gates"]
    numbers = [[[part["name"], part["rows"], part["observed"]] for part in gate["parts"]] for gate in gates]
    return read_tested(_found(report, "evaluate")), [metrics, numbers]


def _alike(one: Any, other: Any) -> bool:
    """Numbers alike but for the last bits of float32 answers, everything else the same."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(other == (pytest.approx(one, rel=1e-5, abs=1e-6) if isinstance(one, float) else one))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["kind", "length"])
def test_many_rows_are_measured_as_few(
    target: str,
    flowers: Callable[..., Path],
    run: Callable[..., Any],
    write_flowers: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = target == "length"
    gates = {**GATES, "by_colour": {**GATES["by_colour"], "metric": "mae"}} if number else GATES
    if number:
        gates = {"by_colour": gates["by_colour"]}
    evaluate = {
        "gates": gates,
        "slices": ["colour", {"wild": "yes"}],
        **({"interval": 0.5} if number else {}),
    }

    def measured(folder: str) -> tuple[AnsweredRows, Any, Any]:
        path = flowers(
            folder,
            target=target,
            evaluate=evaluate,
            data={"source": "flowers.csv", "split": {"method": "random", "test": 0.5, "folds": 2}},
        )
        write_flowers(path.with_name("flowers.csv"), 400)
        report = run(path)
        return *_measured(report), report

    few, expected, plain = measured("few")
    monkeypatch.setattr(raw, "ROWS_AT_ONCE", 32)
    monkeypatch.setattr(scores, "AT_ONCE", 20)
    monkeypatch.setattr(scores, "_PART", 50)
    monkeypatch.setattr(value_groups, "_STRETCH", 7)
    monkeypatch.setattr(tested, "SHOWN", 100)
    many, found, thin = measured("many")
    assert np.array_equal(many.rows[:], few.rows[:]) and np.array_equal(many.truth[:], few.truth[:])
    np.testing.assert_allclose(many.prediction[:], few.prediction[:], atol=1e-6)
    if number:  # of rows of about one width, the last bits choose the fifth
        groups = [item[0]["interval"].pop("groups") for item in (found, expected)]
        for one, other in zip(*groups, strict=True):
            assert one["rows"] == other["rows"] and one["width"] == pytest.approx(other["width"], rel=1e-5)
        assert sum(one["coverage"] for one in groups[0]) == pytest.approx(
            sum(one["coverage"] for one in groups[1])
        )
    assert _alike(found, expected)
    said = "Pictures of test rows"
    assert said in (thin.folder / "report.html").read_text()
    assert said not in (plain.folder / "report.html").read_text()
