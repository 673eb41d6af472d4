"""Results: a cell reads back as it was written, and is done again when what it depends on changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_cells import make_cell

from benchmarks.automl.entries import parse_entry
from benchmarks.automl.results import (
    cell_path,
    forget_peers,
    is_current,
    read_cell,
    read_cells,
    read_stored,
    read_truth,
    write_cell,
    write_truth,
)
from benchmarks.automl.run import cell_key, code_digest, last_words
from benchmarks.environments import Absent, Environment, Recipe, environment
from declarative_ml.core.atomic import write_json


def test_a_cell_and_its_rows_read_back(tmp_path: Path) -> None:
    cell = make_cell("h2o@60", score=0.8)
    write_truth(tmp_path, cell.table, cell.split, np.asarray([0, 1]))
    write_cell(tmp_path, cell, np.asarray([[0.9, 0.1], [0.2, 0.8]]))
    assert read_cells(tmp_path) == [cell]
    assert read_truth(tmp_path, cell).tolist() == [0, 1]
    assert read_stored(tmp_path, cell).tolist() == [[0.9, 0.1], [0.2, 0.8]]


def test_a_failure_leaves_no_predictions_of_an_earlier_run(tmp_path: Path) -> None:
    cell = make_cell("h2o@60", score=0.8)
    write_cell(tmp_path, cell, np.ones((1, 2)))
    write_cell(tmp_path, replace(cell, status="failed", reason="no memory", scores={}), None)
    path = cell_path(tmp_path, cell.table, cell.split, cell.entry)
    assert read_cell(path).reason == "no memory"
    assert not path.with_suffix(".npz").exists()


@pytest.mark.parametrize(
    ("status", "key", "current"),
    [
        ("ok", {"data": "a"}, True),
        ("ok", {"data": "b"}, False),
        ("failed", {"data": "a"}, True),
        ("absent", {"data": "a"}, False),
    ],
)
def test_which_cells_are_kept(tmp_path: Path, status: str, key: dict[str, str], current: bool) -> None:
    cell = replace(make_cell("h2o@60", status=status), key={"data": "a"})
    write_cell(tmp_path, cell, None)
    path = cell_path(tmp_path, cell.table, cell.split, cell.entry)
    assert is_current(path, key) is current
    assert not is_current(path.with_name("flaml@60.json"), key)


def test_fresh_peers_leave_ours_and_other_tables(tmp_path: Path) -> None:
    for label, table in [("dml@60", "titanic"), ("h2o@60", "titanic"), ("h2o@60", "adult")]:
        write_cell(tmp_path, make_cell(label, table=table), None)
    assert forget_peers(tmp_path, {"titanic"}) == 1
    left = {(cell.entry.label, cell.table) for cell in read_cells(tmp_path)}
    assert left == {("dml@60", "titanic"), ("h2o@60", "adult")}


def test_the_key_of_ours_holds_the_code_and_that_of_a_peer_its_pins() -> None:
    ours, peer, other = (cell_key(parse_entry(text), "digest") for text in ("dml@60", "h2o@60", "flaml@60"))
    assert len({ours["made"], peer["made"], other["made"]}) == 3
    assert cell_key(parse_entry("dml@60"), "other")["data"] != ours["data"]


def test_the_code_digest_follows_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    source = tmp_path / "deep" / "a.py"
    source.write_text("1")
    before = code_digest(tmp_path)
    (tmp_path / "a.pyc").write_text("2")
    assert code_digest(tmp_path) == before
    source.write_text("3")
    assert code_digest(tmp_path) != before


def test_the_reason_is_the_last_line_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("Traceback\n  File\nValueError: no rows\n\n")
    assert last_words(tmp_path / "log.txt") == "ValueError: no rows"


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_is_absent_with_the_reason(tmp_path: Path) -> None:
    recipe = Recipe(((f"{tmp_path}/nothing.whl",),))
    found = environment("h2o", tmp_path, recipe)
    assert isinstance(found, Absent)
    assert "nothing.whl" in found.reason
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_the_reason(tmp_path: Path) -> None:
    found = environment("h2o", tmp_path, Recipe((), programs=("no-such-program",)))
    assert found == Absent("no-such-program is not on the path")


def test_an_environment_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    recipe = Recipe((("a==1",),))
    place = tmp_path / f"a-{recipe.digest}"
    write_json(place / "ready.json", {"packages": ["a==1"]})
    assert environment("a", tmp_path, recipe) == Environment(
        place / "bin" / "python", recipe.digest, ("a==1",)
    )


def test_another_pin_is_another_environment() -> None:
    assert Recipe((("a==1",),)).digest != Recipe((("a==2",),)).digest


@pytest.mark.slow
def test_an_environment_is_made_once(tmp_path: Path) -> None:
    recipe = Recipe(())
    found = environment("empty", tmp_path, recipe)
    assert isinstance(found, Environment)
    assert found.python.exists()
    (found.python.parents[1] / "kept").touch()
    assert environment("empty", tmp_path, recipe) == found
    assert (found.python.parents[1] / "kept").exists()
