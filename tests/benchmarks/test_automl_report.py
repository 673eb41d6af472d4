"""Ranks and the page: who is ahead, and nobody left out in silence."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_cells import MACHINE, TASKS, make_cell

from benchmarks.automl.ranking import complete, contests, entries_in, mean_ranks, ranks
from benchmarks.automl.report import number, page, size
from benchmarks.automl.results import Cell, write_cell, write_truth
from benchmarks.automl.scores import cell_scores


@pytest.mark.parametrize(
    ("scores", "greater", "expected"),
    [
        ({"a": 0.9, "b": 0.8, "c": 0.7}, True, [1, 2, 3]),
        ({"a": 0.9, "b": 0.8, "c": 0.7}, False, [3, 2, 1]),
        ({"a": 0.9, "b": 0.9, "c": 0.7}, True, [1.5, 1.5, 3]),
        ({"a": None, "b": 0.8, "c": math.nan}, True, [2.5, 1, 2.5]),
        ({"a": None, "b": 5.0, "c": 4.0}, False, [3, 2, 1]),
    ],
)
def test_ranks(scores: dict[str, float | None], greater: bool, expected: list[float]) -> None:
    assert list(ranks(scores, greater_is_better=greater).values()) == expected


def test_late_and_failed_are_last_whatever_they_score() -> None:
    cells = [
        make_cell("dml@60", score=0.7),
        make_cell("h2o@60", score=0.9, status="late"),
        make_cell("flaml@60", status="failed"),
    ]
    assert contests(cells)[0].ranks() == {"dml@60": 1, "h2o@60": 2.5, "flaml@60": 2.5}


def test_absent_peers_take_no_place() -> None:
    (contest,) = contests([make_cell("dml@60", score=0.7), make_cell("h2o@60", status="absent")])
    assert contest.ranks() == {"dml@60": 1}


def test_means_count_each_table_once_and_whole_divisions_only() -> None:
    labels = ["dml@60", "h2o@60"]
    cells = [
        make_cell(label, table=table, split=split, score=score)
        for table, split, pair in [
            ("titanic", 0, (0.9, 0.8)),
            ("titanic", 1, (0.9, 0.8)),
            ("adult", 0, (0.7, 0.8)),
        ]
        for label, score in zip(labels, pair, strict=True)
    ]
    whole = complete(contests([*cells, make_cell("dml@60", table="adult", split=2, score=0.9)]), labels)
    assert [(one.table, one.split) for one in whole] == [("titanic", 0), ("titanic", 1), ("adult", 0)]
    assert mean_ranks(whole, labels) == {"dml@60": 1.5, "h2o@60": 1.5}
    assert all(math.isnan(value) for value in mean_ranks([], labels).values())


def test_ours_come_first() -> None:
    labels = ["lightgbm", "dml@120", "autogluon-best@120", "dml@30", "autogluon-medium@60"]
    ordered = [entry.label for entry in entries_in(make_cell(label) for label in labels)]
    assert ordered == ["dml@30", "dml@120", "autogluon-medium@60", "autogluon-best@120", "lightgbm"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.87654, "0.8765"), (12.0, "12"), (43874.6, "43,875"), (math.nan, "–")]
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(900, "1 kB"), (1.3e6, "1.3 MB"), (1.95e9, "1.9 GB")])
def test_sizes(value: float, shown: str) -> None:
    assert size(value) == shown


def measured(results: Path, label: str, kind: str, table: str, noise: float) -> Cell:
    """A cell on 300 rows, of which `noise` says how far its answers are off."""
    random = np.random.default_rng(7)
    task = TASKS[kind]
    blur = np.random.default_rng(8).normal(0, noise, 300)
    if kind == "number":
        truth = random.normal(size=300)
        prediction = truth + blur
    else:
        known = random.uniform(size=300)
        truth = (random.uniform(size=300) < known).astype(np.int64)
        positive = np.clip(known + blur, 0.01, 0.99)
        prediction = np.column_stack([1 - positive, positive])
    cell = replace(make_cell(label, kind=kind, table=table), scores=cell_scores(task, truth, prediction))
    write_truth(results, table, 0, truth)
    write_cell(results, cell, prediction)
    return cell


@pytest.fixture(scope="module")
def measurements(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Cell]]:
    """A folder with the rows of the cells, and the cells; two tables, one peer of each fate."""
    results = tmp_path_factory.mktemp("results")
    found = []
    for kind, table in (("binary", "titanic"), ("number", "diamonds")):
        for label, noise in (("dml@60", 0.05), ("autogluon-medium@60", 0.4), ("catboost", 0.06)):
            found.append(measured(results, label, kind, table, noise))
        late = make_cell(
            "flaml@60", kind=kind, table=table, status="late", score=0.9, reason="99 s, allowed 90 s"
        )
        failed = make_cell("lightgbm", kind=kind, table=table, status="failed", reason="a | b <i>")
        absent = make_cell(
            "h2o@60", kind=kind, table=table, status="absent", reason="java is not on the path"
        )
        found += [late, failed, absent]
    return results, found


@pytest.fixture(scope="module")
def text(measurements: tuple[Path, list[Cell]]) -> str:
    return page(*measurements)


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_ranks_and_compares(text: str) -> None:
    assert "Over 2 divisions of 2 tables. 1 is best." in text
    assert "| `dml@60` | 1.00 | 1.00 | – | 1.00 |" in section(text, "Mean ranks")
    assert "| `flaml@60` | 4.50 | 4.50 | – | 4.50 |" in section(text, "Mean ranks")
    assert "(1 late)" in section(text, "Scores")
    assert "| titanic | roc_auc, 1 | **0." in section(text, "Scores")
    duels = section(text, "Against each peer")
    assert "| `dml@60` | `autogluon-medium@60` | 2 | 0 | 0 |" in duels
    assert "| `dml@60` | `lightgbm` | 2 | 0 | 0 |" in duels
    assert "h2o" not in duels


def test_the_page_shows_calibration_with_its_interval(text: str) -> None:
    text = section(text, "Calibration")
    assert "diamonds" not in text
    assert "| table, division | `dml@60` − `autogluon-medium@60` |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| titanic 0")]
    assert "**better**" in line


def test_the_page_names_what_did_not_work(text: str) -> None:
    text = section(text, "What did not work")
    assert text.count("`h2o` | all | absent | java is not on the path") == 1
    assert "| `flaml@60` | titanic 0 | late | 99 s, allowed 90 s |" in text
    assert "| `lightgbm` | diamonds 0 | failed | a \\| b &lt;i> |" in text


def test_the_page_says_where_it_was_measured(measurements: tuple[Path, list[Cell]]) -> None:
    results, cells = measurements
    busy = replace(cells[0], machine={**MACHINE, "yardstick_wall_s": 0.6, "cpu": "Another processor"})
    text = section(page(results, [busy, *cells[1:]]), "Measured on")
    assert "- A processor, 2 cores, 8.0 GiB: 11 results" in text
    assert "- Another processor, 2 cores, 8.0 GiB: 1 results" in text
    assert "**1 of 12 results began while others used the processor**" in text


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert "There are no results yet." in page(tmp_path, [])
