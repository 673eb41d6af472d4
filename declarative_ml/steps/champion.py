"""Fetch the champion: the model that a new one has to stand up to, a source of the run like its data.

    champion.json     {"absent": why there is none, or null; "what": which model it is, in words}
    bundle.json, model.onnx, reference.json    of the champion, if there is one

A registry without such a model is no error: the first model of its name has nothing to stand up to.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from declarative_ml.core.atomic import write_json
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.rival import ABOUT, describe
from declarative_ml.store.bundle import MODEL, REFERENCE, Bundle, write_bundle
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import Tracker


def run(context: StepContext) -> None:
    """Write what there is."""
    wanted = context.params
    if wanted["registry"] is None:
        _keep(Path(context.step.outside["path"]), context.out)
        write_json(context.out / ABOUT, {"absent": None, "what": describe(wanted, None)})
        return
    context.progress(0.1, f"asking the registry for {wanted['registry']}")
    tracker = TRACKERS.parse({"type": "mlflow", "uri": context.step.outside["uri"]})
    fetch_registered(tracker, context)


def fetch_registered(tracker: Tracker, context: StepContext) -> None:
    """Write the registered model that the step's parameters name, or that there is none."""
    wanted = context.params
    found = tracker.registered(context.workspace, wanted["registry"], wanted["alias"])
    if found is None:
        absent = f"the registry has no model '{wanted['registry']}' with the alias {wanted['alias']}"
        write_json(context.out / ABOUT, {"absent": f"there is no champion: {absent}", "what": ""})
        return
    folder = context.scratch / "bundle"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
    tracker.fetch(context.workspace, found, folder)
    _keep(folder, context.out)
    write_json(context.out / ABOUT, {"absent": None, "what": describe(wanted, found.version)})


def _keep(path: Path, target: Path) -> None:
    """Copy what makes the champion answer, as a bundle of its own. Raises DataError for a damaged one."""
    bundle = Bundle.open(path, verify=True)
    fields = bundle.manifest.model_dump(mode="json", exclude={"format", "model_digest", "files"})
    write_bundle(target, fields, {name: bundle.read(name) for name in (MODEL, REFERENCE)})
