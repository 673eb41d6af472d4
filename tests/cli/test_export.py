"""`dml export notebook`: what it writes about a spec, a run and a bundle, and that it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_without_nbformat_the_extra_is_named(
    flowers: Callable[..., Path], dml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nbformat", None)
    done = dml("export", "notebook", flowers())
    assert done.code == 7
    assert "nbformat is not installed" in done.err
    assert "pip install 'declarative-ml[notebook]'" in done.err


@pytest.fixture
def export(dml: Any) -> Callable[..., dict[str, Any]]:
    """Export, and read the notebook."""
    pytest.importorskip("nbformat")

    def write(about: object, path: Path, *options: object) -> dict[str, Any]:
        done = dml("export", "notebook", about, "-o", path, *options)
        assert done.code == 0, done.err
        assert done.out == f"wrote {path}; next: jupyter lab {path}\n"
        notebook: dict[str, Any] = json.loads(path.read_text())
        return notebook

    return write


def code(notebook: dict[str, Any]) -> dict[str, str]:
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"}


def execute(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the cells in a kernel, in the notebook's folder. Outputs by the id of the cell."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def html(outputs: list[dict[str, Any]]) -> str:
    return "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)


def test_the_same_spec_gives_the_same_bytes(
    flowers: Callable[..., Path], export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = flowers(description="What # *kind* is <b>it</b>?")
    first = export(spec, tmp_path / "n" / "first.ipynb")
    export(spec, tmp_path / "n" / "second.ipynb")
    assert (tmp_path / "n" / "first.ipynb").read_bytes() == (tmp_path / "n" / "second.ipynb").read_bytes()
    ids = [cell["id"] for cell in first["cells"]]
    assert len(ids) == len(set(ids))
    assert all(cell.get("outputs", []) == [] for cell in first["cells"])
    title = "".join(first["cells"][0]["source"])
    assert "What \\# \\*kind\\* is \\<b\\>it\\</b\\>?" in title
    assert code(first)["spec"] == 'import declarative_ml as dml\n\nspec = dml.load("../a/spec.yaml")\nspec'


def test_profile_overrides_and_store_are_kept(
    flowers: Callable[..., Path], export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = flowers(profiles={"small": {"seed": 7}})
    notebook = export(
        spec, tmp_path / "n.ipynb", "--profile", "small", "--set", "model={type: linear, iterations: 9}",
        "--set", "owner=it's \"me\"", "--store", tmp_path / "store",
    )  # fmt: skip
    given = 'dml.load("a/spec.yaml", profile="small", overrides='
    owner = '"owner": "it\'s \\"me\\""'
    cells = code(notebook)
    assert f'spec = {given}{{"model": {{"type": "linear", "iterations": 9}}, {owner}}})\n' in cells["spec"]
    assert cells["plan"] == 'dml.plan(spec, store="store")'
    assert cells["run"] == 'run = dml.run(spec, store="store", progress=True)\nrun'
    assert f'changed = {given}{{"model": "auto", {owner}}})\n' in cells["next"]


def test_what_is_there_is_not_overwritten(
    flowers: Callable[..., Path], export: Callable[..., dict[str, Any]], dml: Any, tmp_path: Path
) -> None:
    spec, path = flowers(), tmp_path / "n.ipynb"
    export(spec, path)
    again = dml("export", "notebook", spec, "-o", path)
    assert (again.code, "exists already" in again.err, "--force" in again.err) == (2, True, True)
    export(spec, path, "--force")


def test_an_invalid_spec_gives_no_notebook(flowers: Callable[..., Path], dml: Any, tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    assert dml("export", "notebook", flowers(model="lineer"), "-o", tmp_path / "n.ipynb").code == 3
    assert dml("export", "notebook", "20200101", "--store", tmp_path, "-o", tmp_path / "n.ipynb").code == 2
    assert not (tmp_path / "n.ipynb").exists()


@pytest.mark.slow
def test_notebooks_run(
    flowers: Callable[..., Path],
    run: Callable[..., Any],
    export: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """About a spec, its run and its bundle; of a number, with slices, without explanations."""
    target = {"column": "length", "type": "number"}
    spec = flowers(target=target, evaluate={"slices": ["wild"], "interval": 0.8})
    export(spec, tmp_path / "spec.ipynb")
    shown = execute(tmp_path / "spec.ipynb")
    assert "RMSE" in html(shown["run"])
    assert "wild = yes" in html(shown["slices"])
    assert "upper" in html(shown["predict"])
    assert "columns" not in shown  # the spec wants no explanations
    assert "steps that run again" in html(shown["next"])

    done = run(spec)
    export("latest", tmp_path / "run.ipynb", "--store", spec.parent / ".dml")
    opening = f'dml.find_run("{done.result["run"]}", store="a/.dml")'
    assert opening in code(json.loads((tmp_path / "run.ipynb").read_text()))["run"]
    assert "RMSE" in html(execute(tmp_path / "run.ipynb")["run"])

    export(done.result["bundle"], tmp_path / "bundle.ipynb")
    shown = execute(tmp_path / "bundle.ipynb")
    assert "on average" in html(shown["why"])
    assert "wild = yes" in html(shown["metrics"])
