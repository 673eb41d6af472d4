"""The example notebook is what the command writes, and runs from beginning to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "notebook" / "quickstart.ipynb"


def test_it_holds_no_results() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_it_is_what_the_command_writes(dml: Any, tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    shutil.copytree(EXAMPLES / "penguins", tmp_path / "penguins", ignore=shutil.ignore_patterns(".dml"))
    written = tmp_path / "notebook" / NOTEBOOK.name
    assert dml("export", "notebook", tmp_path / "penguins" / "spec.yaml", "-o", written).code == 0
    assert written.read_text() == NOTEBOOK.read_text()


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    for library in ("ipykernel", "palmerpenguins"):
        pytest.importorskip(library)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("penguins", "notebook"):
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(".dml"))
    notebook = nbformat.read(tmp_path / "notebook" / NOTEBOOK.name, as_version=4)
    place = {"metadata": {"path": str(tmp_path / "notebook")}}
    nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
    shown = {
        cell.id: "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.id not in ("try", "verdict")
    }
    assert [name for name, html in shown.items() if "dml-box" not in html] == []
    assert "Gentoo" in shown["charts"]
    assert "island = Dream" in shown["slices"]
