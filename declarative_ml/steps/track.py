"""Record the run in MLflow, and register a model that passed; once for each key, whatever was interrupted.

tracking.json     {"run_id": …, "registered": {"name", "version"}, or null where nothing was registered};
                  of what this step made the champion also "promoted": true
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.task import Task
from declarative_ml.core.versions import library_version
from declarative_ml.graph.plan import Step
from declarative_ml.steps.behave import OUTCOMES
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.report import curves, tunings
from declarative_ml.steps.verdict import faults
from declarative_ml.store.bundle import MODEL, Bundle
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import (
    CHAMPION,
    DIGEST_TAG,
    GATES_TAG,
    KEY_TAG,
    METRIC_TAG,
    SCORE_TAG,
    NestedRun,
    Registered,
    TrackContent,
    Tracker,
)

EXAMPLE_ROWS = 5
ASKED = ("gate", "behave")
"""The judging steps that are there only where the spec asks something of the model."""


def run(context: StepContext) -> None:
    """Log, register, and leave what became of it as tracking.json."""
    tracker = tracker_of(context.step)
    told = content(context)
    run_id = tracker.log(context.workspace, told)
    context.progress(0.9, f"run {run_id}")
    name = context.params["track"]["register_as"]
    registered: dict[str, Any] | None = None
    if name is not None and not faults(context):
        tags = {**told.tags, KEY_TAG: told.key}
        promotes = context.params["track"].get("promote")
        made = _in_service(context, tracker, name, told.tags[DIGEST_TAG]) if promotes else None
        if made is None:
            made = tracker.register(context.workspace, name, run_id, tags, told.description)
        registered = {"name": made.name, "version": made.version}
        if promotes and _promote(context, tracker, made):
            registered["promoted"] = True
    write_json(context.out / "tracking.json", {"run_id": run_id, "registered": registered})


def _in_service(context: StepContext, tracker: Tracker, name: str, digest: str) -> Registered | None:
    """The champion, if it is this very model. A run that compares itself with the champion that it made is
    another run, but no other version."""
    champion = tracker.registered(context.workspace, name, CHAMPION)
    return champion if champion is not None and champion.tags.get(DIGEST_TAG) == digest else None


def _promote(context: StepContext, tracker: Tracker, made: Registered) -> bool:
    """Make the version the champion, once: one that somebody has replaced since stays replaced, and False."""
    moves = [move for move in tracker.history(context.workspace, made.name) if move.alias == CHAMPION]
    if moves and moves[-1].version != made.version and made.version in {m.version for m in moves}:
        return False
    tracker.promote(context.workspace, made.name, made.version, who="dml run")
    return True


def content(context: StepContext) -> TrackContent:
    """What MLflow is told about the run."""
    bundle = Bundle.open(context.inputs["package"])
    manifest, track = bundle.manifest, context.params["track"]
    background = bundle.reference()["background"]
    return TrackContent(
        key=context.key,
        experiment=track["experiment"] or manifest.name,
        run_name=f"{manifest.name}-{manifest.model_digest[:8]}",
        metrics=flat_metrics(context),
        params=context.step.outside["spec"],
        tags={
            DIGEST_TAG: manifest.model_digest,
            "dml.spec_digest": manifest.spec_digest,
            "dml.data_fingerprint": manifest.data_fingerprint,
            "dml.version": library_version("declarative-ml"),
            GATES_TAG: _gates(context),
            **_score(context),
        },
        description=manifest.description,
        curves=curves(context),
        files=_files(context),
        dataset_name=manifest.name,
        dataset_digest=manifest.data_fingerprint,
        dataset_source=str(context.step.outside["spec"]["data"].get("source") or ""),
        rows=context.read("split", "split.json")["rows"],
        model=context.inputs["package"] / MODEL,
        inputs={item.name: item.dtype for item in manifest.inputs},
        outputs=_outputs(manifest.task, interval=manifest.interval is not None),
        example={item.name: background[item.name][:EXAMPLE_ROWS] for item in manifest.inputs},
        requirements=[f"{name}=={library_version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        nested=trials(context),
    )


def _gates(context: StepContext) -> str:
    """Whether the model passed what was asked of it."""
    if faults(context):
        return "failed"
    return "passed" if any(judge in context.inputs for judge in ASKED) else "none"


def _score(context: StepContext) -> dict[str, str]:
    """The primary metric and its value, on the test rows where there are any."""
    found = context.read("evaluate", "metrics.json")
    for part in ("test", "validation"):
        value = found["metrics"].get(part, {}).get(found["primary"])
        if value is not None:
            return {METRIC_TAG: f"{part}.{found['primary']}", SCORE_TAG: repr(value)}
    return {}


def trials(context: StepContext) -> list[NestedRun]:
    """One run a trial that was measured: its options, and its score on the held-out rows."""
    return [
        NestedRun(
            name=f"tune.{tuning.name}.trial{trial.number}",
            params={**tuning.given, **trial.options},
            metrics={f"{'held_out' if trial.whole else 'first_fold'}.{tuning.metric}": trial.score},
            tags={"dml.trial": str(trial.number), "dml.chosen": str(trial.number == tuning.best).lower()},
        )
        for tuning in tunings(context)
        for trial in tuning.trials
        if trial.score is not None
    ]


def flat_metrics(context: StepContext) -> dict[str, float]:
    """Every metric by part and name: `test.roc_auc`; the baselines'; and of each test the share of rows that
    behaved: `behaviour.NAME`."""
    found = context.read("evaluate", "metrics.json")
    flat = {
        f"{part}.{name}": value
        for part, scores in found["metrics"].items()
        for name, value in scores.items()
        if value is not None
    }
    for name, scores in found["baselines"].get("test", {}).items():
        value = scores[found["primary"]]
        if value is not None:
            flat[f"baseline.{name}.{found['primary']}"] = value
    if found["interval"] is not None:
        flat |= {f"test.interval_{name}": found["interval"][name][0] for name in ("coverage", "width")}
    if "behave" in context.inputs:
        flat |= {f"behaviour.{test['name']}": test["share"] for test in context.read("behave", OUTCOMES)}
    return flat


def _files(context: StepContext) -> dict[str, Path | bytes | str]:
    files: dict[str, Path | bytes | str] = {
        "report.html": context.inputs["report"] / "report.html",
        "spec.yaml": context.step.outside["spec_yaml"],
    }
    if "gate" in context.inputs:
        files["gates.json"] = context.inputs["gate"] / "gates.json"
    if "behave" in context.inputs:
        files[OUTCOMES] = context.inputs["behave"] / OUTCOMES
    if "explain" in context.inputs:
        plots = context.inputs["explain"] / "plots"
        files |= {f"plots/{path.name}": path for path in sorted(plots.glob("*.png"))}
    bundle = context.inputs["package"]
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        if (name := path.relative_to(bundle).as_posix()) != MODEL:  # it lies with the logged model
            files[f"bundle/{name}"] = path
    return files


def _outputs(task: Task, *, interval: bool) -> dict[str, str]:
    if not task.is_classification:
        return dict.fromkeys(["prediction", "lower", "upper"] if interval else ["prediction"], "float32")
    return {"prediction": "string", "probabilities": f"float32[{len(task.classes)}]"}


def tracker_of(step: Step) -> Tracker:
    """The tracker that a track step writes to."""
    return TRACKERS.parse({"type": "mlflow", "uri": step.outside["uri"]})
