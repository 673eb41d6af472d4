"""Write a notebook about a spec, a run or a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declarative_ml.api.workspace import Run, Workspace
from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import UsageError
from declarative_ml.core.optional import require
from declarative_ml.report.next_steps import suggestions
from declarative_ml.report.notebook import EXTRA, Story, argument, load_call, render_notebook
from declarative_ml.spec.dump import spec_options
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.yaml_reader import read_yaml
from declarative_ml.store.bundle import Bundle, is_bundle


def export_notebook(
    about: str,
    output: Path | None = None,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
    force: bool = False,
) -> Path:
    """Write a notebook about a spec, a bundle (paths) or a run (an id, the start of one, or `latest`).

    `output` is NAME.ipynb here unless given; paths in the notebook are relative to it. Returns its path.
    Raises UsageError where it exists and `force` is not set, MissingDependency without nbformat.
    """
    require("nbformat", EXTRA)
    place = Path(about)
    if place.exists() and is_bundle(place):
        target, story = _about_bundle(Bundle.open(place), output)
    elif place.exists() or place.suffix in (".yaml", ".yml"):
        target, story = _about_spec(place, output, profile, overrides, store)
    else:
        workspace = Workspace.beside(Path("spec.yaml"), store)
        target, story = _about_run(workspace.run(about), workspace, output)
    if target.exists() and not force:
        raise UsageError(
            f"{target} exists already", hint="name another file with -o, or overwrite it with --force"
        )
    write_text(target, render_notebook(story))
    return target


def _about_spec(
    path: Path, output: Path | None, profile: str | None, overrides: Sequence[str], store: str | None
) -> tuple[Path, Story]:
    spec = load_spec(path, profile=profile, overrides=overrides).spec
    target = output or Path(f"{spec.name}.ipynb")
    pairs = (each.partition("=") for each in overrides)
    given = {name.strip(): _value(text) for name, _, text in pairs}
    shown = _shown(spec_options(spec))

    def load(more: Mapping[str, Any]) -> str:
        return load_call("dml.load", _seen_from(target, path), profile=profile, overrides={**given, **more})

    workspace = argument("store", None if store is None else _seen_from(target, Path(store)))
    changed = load(_first(shown))
    return target, Story("spec", spec.name, spec.description, load({}), workspace, changed=changed, **shown)


def _about_run(run: Run, workspace: Workspace, output: Path | None) -> tuple[Path, Story]:
    result = run.record.get("result", {})
    if run.status == "interrupted" or not run.bundle.is_dir():
        raise UsageError(f"run {run.id} made no model", hint=f"it is {run.status}; `dml runs` lists all")
    spec = load_spec(run.folder / "spec.yaml").spec
    target = output or Path(f"{spec.name}.ipynb")
    opening = load_call("dml.find_run", run.id, store=_seen_from(target, workspace.root))
    task = Bundle.open(run.bundle).manifest.task.type
    shown = _shown(spec_options(spec), task, result)
    changed = f'dml.load(run.folder / "spec.yaml"{argument("overrides", _first(shown))})'
    return target, Story("run", spec.name, spec.description, opening, changed=changed, **shown)


def _about_bundle(bundle: Bundle, output: Path | None) -> tuple[Path, Story]:
    manifest = bundle.manifest
    target = output or Path(f"{manifest.name}.ipynb")
    opening = load_call("dml.open", _seen_from(target, bundle.path))
    measured = "test" in manifest.metrics and "metrics.json" in manifest.files
    return target, Story(
        "bundle",
        manifest.name,
        manifest.description,
        opening,
        part="test" if measured else "none",
        explained="explanation.json" in manifest.files,
    )


def _shown(
    options: Mapping[str, Any], task: str | None = None, result: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What of a run is worth a section."""
    return {
        "part": "train" if options["data"]["split"].get("test") == 0 else "test",
        "sliced": bool(options["evaluate"]["slices"]),
        "explained": options["explain"]["method"] != "none",
        "suggestions": suggestions(options, task, result),
    }


def _first(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The change that the first suggestion makes; none without suggestions."""
    return dict(shown["suggestions"][0].overrides) if shown["suggestions"] else {}


def _seen_from(notebook: Path, path: Path) -> str:
    """The path as the notebook finds it: Jupyter runs it in its own folder."""
    return Path(os.path.relpath(path.resolve(), notebook.resolve().parent)).as_posix()


def _value(text: str) -> Any:
    """The value of an override, which `load_spec` has read before."""
    node, _ = read_yaml(text, "--set")
    return None if node is None else node.plain()
