"""How a contender's process is run: what it hands back, and every way in which it can fail."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from bench_cells import make_cell

from benchmarks.automl.entries import Entry, parse_entry
from benchmarks.automl.results import read_cells, write_cell
from benchmarks.automl.run import fill, main, run_contender
from benchmarks.automl.tables import Division, Table, divide

PETS = Table("penguins", "kind", "binary", "dog")

# Stands for a Python of its own: does what the text says, with the last argument that is not an option.
POSER = """#!{python}
import json, subprocess, sys, time
from pathlib import Path
import numpy as np
out = Path(sys.argv[sys.argv.index("--threads") - 1])
def hand_back(seconds, probabilities):
    np.savez(out / "predictions.npz", classes=["dog", "cat"], probabilities=probabilities)
    facts = {{"seconds": seconds, "bytes": 1, "latency_ms": 1.0, "versions": {{}}}}
    (out / "facts.json").write_text(json.dumps(facts))
{does}
"""

CHILD = """
import time
from pathlib import Path
while True:
    Path({beat!r}).touch()
    time.sleep(0.05)
"""


class Hasty(Entry):
    """One whose patience is short."""

    @property
    def killed(self) -> float:
        return 4.0


@pytest.fixture
def division(tmp_path: Path) -> Division:
    (tmp_path / "penguins").mkdir()
    for part in ("train", "test"):
        (tmp_path / "penguins" / f"{part}.csv").write_text("weight,kind\n1,cat\n2,dog\n")
    return divide(PETS, tmp_path, 0)


def pose(folder: Path, does: str) -> Path:
    path = folder / "python"
    path.write_text(POSER.format(python=sys.executable, does=does))
    path.chmod(0o755)
    return path


def run(division: Division, entry: Entry, does: str, folder: Path) -> tuple[str, str]:
    out = folder / "out"
    out.mkdir()
    outcome = run_contender(division, entry, pose(folder, does), folder, out)
    return outcome.status, outcome.reason


@pytest.mark.parametrize(
    ("does", "status", "reason"),
    [
        ("hand_back(5.0, [[0.5, 0.5], [0.5, 0.5]])", "ok", ""),
        ("hand_back(91.0, [[0.5, 0.5], [0.5, 0.5]])", "late", "91 s, allowed 90 s"),
        ("hand_back(5.0, [[0.5, 0.5]])", "failed", "probabilities: (1, 2), expected (2, 2)"),
        ("hand_back(5.0, [[0.5, 0.6], [0.5, 0.5]])", "failed", "the probabilities of a row sum to 1.1"),
        ("raise ValueError('no rows')", "failed", "ValueError: no rows"),
        ("sys.exit(3)", "failed", "exit status 3"),
    ],
)
def test_how_a_process_ends(division: Division, tmp_path: Path, does: str, status: str, reason: str) -> None:
    assert run(division, parse_entry("h2o@60"), does, tmp_path) == (status, reason)


def test_one_that_hands_nothing_back_has_failed(division: Division, tmp_path: Path) -> None:
    status, reason = run(division, parse_entry("h2o@60"), "pass", tmp_path)
    assert status == "failed"
    assert "facts.json" in reason


def test_one_that_does_not_end_is_ended_with_what_it_started(division: Division, tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    child = CHILD.format(beat=str(beat))
    does = f"subprocess.run([sys.executable, '-c', {child!r}])"
    entry = Hasty("h2o", seconds=60)
    assert run(division, entry, does, tmp_path) == ("failed", "ended after 4 s")
    last = beat.stat().st_mtime_ns
    time.sleep(0.3)
    assert beat.stat().st_mtime_ns == last


def test_a_contender_whose_tool_is_not_installed_says_so(division: Division, tmp_path: Path) -> None:
    division.write(tmp_path)
    (tmp_path / "out").mkdir()
    outcome = run_contender(division, parse_entry("h2o@60"), Path(sys.executable), tmp_path, tmp_path / "out")
    assert (outcome.status, outcome.reason) == ("failed", "ModuleNotFoundError: No module named 'h2o'")


def test_an_absent_peer_is_kept_as_absent(
    division: Division, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fill(tmp_path, tmp_path / "results", [PETS], [parse_entry("h2o@60")], [0, 1])
    cells = read_cells(tmp_path / "results")
    assert [(cell.split, cell.status, cell.reason) for cell in cells] == [
        (split, "absent", "java is not on the path") for split in (0, 1)
    ]
    assert cells[0].rows == {"train": 2, "test": 2, "columns": 1}
    assert "h2o          absent: java is not on the path" in capsys.readouterr().out


def test_a_wrong_command_ends_with_the_hint(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no contender is written 'tpot@60'"):
        main([str(tmp_path), "--entries", "tpot@60", "--results", str(tmp_path)])


def test_a_page_can_be_written_without_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    for label in ("dml@60", "h2o@60"):
        write_cell(results, make_cell(label, status="failed", reason="tried"), None)
    main(
        [
            str(tmp_path),
            "--report-only",
            "--results",
            str(results),
            "--page",
            str(page),
            "--entries",
            "h2o@60",
        ]
    )
    assert page.read_text() in capsys.readouterr().out
    assert "`h2o@60` | titanic 0 | failed | tried" in page.read_text()
    assert "dml@60" not in page.read_text()
