"""Draw the report page from what the other steps found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from declarative_ml.behaviour.base import Outcome
from declarative_ml.core.atomic import read_json
from declarative_ml.core.task import Task
from declarative_ml.core.versions import library_version
from declarative_ml.formats.conversion import RESULT, Conversion
from declarative_ml.learning.contrasts import Contrast
from declarative_ml.learning.drift import drift_from_json
from declarative_ml.learning.relations import Relations
from declarative_ml.learning.statistics import ColumnProfile
from declarative_ml.learning.suspicions import Suspicion
from declarative_ml.report.behaviour import behaviour_note
from declarative_ml.report.content import (
    ConversionResult,
    FailureResult,
    GatePart,
    GateResult,
    IntervalGroup,
    IntervalResult,
    MemberResult,
    ReportContent,
    SegmentResult,
    SliceResult,
    StepResult,
    TrialResult,
    TuningResult,
)
from declarative_ml.report.page import render_report
from declarative_ml.steps.behave import OUTCOMES
from declarative_ml.steps.check import check_results
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.report_notes import clock_notes, notes, served_faults, verified
from declarative_ml.steps.segments import FILE as SEGMENTS
from declarative_ml.steps.tested import read_tested, shown_rows

_LIBRARIES = (
    "declarative-ml",
    "numpy",
    "pyarrow",
    "onnx",
    "onnxruntime",
    "lightgbm",
    "scikit-learn",
    "xgboost-cpu",
    "optuna",
    "torch",
    "shap",
    "spacy",
    "tokenizers",
    "mlflow",
)

_PLOTS = {
    "bar": "Mean effect of each column",
    "beeswarm": "Effect of each value, one dot a row",
    "scatter_1": "Effect along the strongest column",
    "waterfall": "How one typical prediction comes about",
}


def run(context: StepContext) -> None:
    """Write report.html."""
    page = render_report(content(context))
    context.progress(0.9, "writing the page")
    (context.out / "report.html").write_text(page, encoding="utf-8")


def content(context: StepContext) -> ReportContent:
    """Everything the page shows, gathered from the artifacts."""
    assembly = context.read("assemble", "assembly.json")
    task = Task.model_validate(assembly["task"])
    metrics = context.read("evaluate", "metrics.json")
    split = context.read("split", "split.json")
    resolved = context.read("profile", "features.json")
    related = context.read("profile", "relations.json")
    outcomes = _outcomes(context)
    return ReportContent(
        name=context.params["name"],
        description=context.params["description"],
        owner=context.params["owner"],
        task=task,
        **measured(metrics),
        rows=split["rows"],
        curves=curves(context),
        **_failures(context),
        profile=[ColumnProfile.model_validate(item) for item in context.read("profile", "profile.json")],
        relations=Relations.model_validate(related["relations"]),
        suspicions=[Suspicion.model_validate(item) for item in related["suspicions"]],
        features={name: options["type"] for name, options in resolved["features"].items()},
        dropped=resolved["dropped"],
        notes=[
            *behaviour_note(outcomes),
            *(f"The bundle was started and did not do: {fault}." for fault in served_faults(context)),
            *notes(context),
            *clock_notes(context),
        ],
        tests=outcomes,
        checks=check_results(context),
        steps=_steps(context),
        **_candidates(context, assembly),
        tunings=tunings(context),
        conversions=_conversions(context),
        **_gates(context),
        provenance=_provenance(context, assembly, split),
        commands={
            "Predict": f"dml predict {context.params['name']}.yaml new.csv -o predictions.csv",
            "Explain one row": f"dml explain {context.params['name']}.yaml --row '{{…}}'",
        },
        **_explanation(context),
        **_shown(context),
    )


def _shown(context: StepContext) -> dict[str, Any]:
    """The test rows that pictures are drawn of: of many the first in the order of their hashes, which is as
    good as random."""
    tested = read_tested(context.inputs["evaluate"])
    rows = shown_rows(tested)
    return {"truth": tested.truth[:rows], "prediction": tested.prediction[:rows]} if rows else {}


def measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics.json holds, as fields of the page's content."""
    return {
        "primary": metrics["primary"],
        "metrics": {part: scores(found) for part, found in metrics["metrics"].items()},
        "intervals": metrics["intervals"],
        "baselines": {
            part: {name: scores(found) for name, found in baselines.items()}
            for part, baselines in metrics["baselines"].items()
        },
        "threshold": 0.5 if metrics["threshold"] is None else metrics["threshold"],
        "slices": [
            SliceResult(item["slice"], item["rows"], scores(item["metrics"]), _pair(item["interval"]))
            for item in metrics["slices"]
        ],
        "interval": _interval(metrics["interval"]),
    }


def _outcomes(context: StepContext) -> list[Outcome]:
    if "behave" not in context.inputs:
        return []
    return [Outcome.model_validate(item) for item in context.read("behave", OUTCOMES)]


def _interval(found: dict[str, Any] | None) -> IntervalResult | None:
    if found is None:
        return None
    return IntervalResult(**{**found, "groups": [IntervalGroup(**group) for group in found["groups"]]})


def _failures(context: StepContext) -> dict[str, Any]:
    """Where the model fails, and how the data moved since the champion learned."""
    if "segments" not in context.inputs:
        return {}
    found = context.read("segments", SEGMENTS)
    drift = None if found["drift"] is None else drift_from_json(found["drift"])
    if not found["rows"]:
        return {"drift": drift}
    plain = ("rows", "of", "columns", "compared", "least_rows", "loss", "bad_rows")
    rival = found["champion"] or {"loss": None, "segments": []}
    failures = FailureResult(
        **{name: found[name] for name in plain},
        segments=[_segment(item) for item in found["segments"]],
        contrasts=[Contrast(**item) for item in found["contrasts"]],
        champion_loss=rival["loss"],
        worse=[_segment(item) for item in rival["segments"]],
    )
    return {"failures": failures, "drift": drift}


def _segment(found: dict[str, Any]) -> SegmentResult:
    return SegmentResult(**{**found, "contrasts": [Contrast(**item) for item in found["contrasts"]]})


def curves(context: StepContext) -> dict[str, list[dict[str, float]]]:
    """Step id -> learning curve, of the fits that were made."""
    found = {}
    for role, folder in context.inputs.items():
        if role.startswith("curve.") and skip_reason(folder) is None:
            curve = read_json(folder / "train.json")["curve"]
            if curve:
                found[role.removeprefix("curve.")] = curve
    return found


def tunings(context: StepContext) -> list[TuningResult]:
    """The searches for options, with all their trials."""
    found = []
    for role in context.inputs:
        if role.startswith("tuned."):
            tune = context.read(role, "tune.json")
            trials = [
                TrialResult(
                    number=trial["trial"],
                    score=trial.get("score"),
                    options=trial.get("options", {}),
                    whole=not trial.get("pruned", False),
                    reason=trial.get("reason", ""),
                )
                for trial in tune["trials"]
            ]
            fields = {name: tune[name] for name in ("best", "leader", "given", "options", "importance")}
            name = role.removeprefix("tuned.")
            found.append(TuningResult(name, tune["metric"] or "", trials, **fields))
    return found


def _explanation(context: StepContext) -> dict[str, Any]:
    if "explain" not in context.inputs:
        return {}
    ranked = context.read("explain", "explanation.json")["importance"]
    plots = sorted((context.inputs["explain"] / "plots").glob("*.png"))
    return {
        "importance": [(item["feature"], item["mean_abs_shap"]) for item in ranked],
        "shap_plots": {_PLOTS.get(path.stem, path.stem): path.read_bytes() for path in plots},
    }


def _steps(context: StepContext) -> list[StepResult]:
    """The plan as it was when this step began; the steps after it are not known to it."""
    return [
        StepResult(
            id=item["id"],
            title=item["title"],
            status=context.finished[item["id"]].status,
            seconds=context.finished[item["id"]].seconds,
            needs=item["needs"],
            peak_bytes=context.finished[item["id"]].peak_bytes,
            expected=_expected(context, item["id"]),
        )
        for item in context.step.outside["steps"]
        if item["id"] in context.finished
    ]


def _expected(context: StepContext, step: str) -> tuple[float, int] | None:
    """Seconds and bytes that the plan estimated, of steps that did their work."""
    found = context.step.outside.get("estimates", {}).get(step)
    if found is None or context.finished[step].status == "skipped":
        return None
    return found["seconds"], found["peak_bytes"]


def _candidates(context: StepContext, assembly: dict[str, Any]) -> dict[str, Any]:
    """The fitted models; with several candidates the leaderboard, the best first."""
    if "leaderboard" not in context.inputs:
        return {
            "members": [
                MemberResult(item["name"], item["weight"], _seconds(context, item["name"]), item["loss"])
                for item in assembly["members"]
            ]
        }
    board = context.read("leaderboard", "leaderboard.json")
    members = [member_result(item, _seconds(context, item["name"])) for item in board["candidates"]]
    return {"members": members, "blend_loss": board["blend_loss"]}


def _gates(context: StepContext) -> dict[str, Any]:
    """How the model did at its gates, and the champion in words."""
    if "gate" not in context.inputs:
        return {}
    found = context.read("gate", "gates.json")
    gates = [
        GateResult(
            **{
                **gate,
                "interval": _pair(gate["interval"]),
                "parts": [
                    GatePart(**{**part, "interval": _pair(part["interval"])}) for part in gate["parts"]
                ],
            }
        )
        for gate in found["gates"]
    ]
    return {"gates": gates, "champion": found["champion"]}


def member_result(item: Mapping[str, Any], seconds: float | None) -> MemberResult:
    """A candidate of leaderboard.json as a row of the page."""
    return MemberResult(
        name=item["name"],
        weight=item["weight"],
        seconds=seconds,
        loss=item["loss"],
        score=item.get("score"),
        interval=item.get("interval"),
        size=item.get("bytes"),
        latency=item["microseconds"] / 1e6 if "microseconds" in item else None,
        reason=item["reason"] or "",
    )


def _conversions(context: StepContext) -> list[ConversionResult]:
    found = []
    for role in context.inputs:
        if not role.startswith("convert.") or skip_reason(context.inputs[role]) is not None:
            continue
        found.append(conversion_result(Conversion.model_validate(context.read(role, RESULT))))
    return found


def conversion_result(item: Conversion) -> ConversionResult:
    """A conversion as a row of the page."""
    about: dict[str, Any] = {"name": item.name, "status": item.status, "reason": item.reason}
    if item.bytes:
        about["size"] = item.bytes
    if (parity := item.parity) is not None:
        about |= {
            "rows": parity.rows,
            "largest": parity.max_difference,
            "mean": parity.mean_difference,
            "tolerance": parity.tolerance,
            "disagreements": parity.disagreements,
            "latency": parity.microseconds / 1e6,
        }
    return ConversionResult(**about)


def _seconds(context: StepContext, member: str) -> float:
    prefix = f"train.{member}."
    return sum(done.seconds for step, done in context.finished.items() if step.startswith(prefix))


def _provenance(context: StepContext, assembly: dict[str, Any], split: dict[str, Any]) -> dict[str, str]:
    manifest = context.read("package", "bundle.json")
    parity = assembly["parity"]
    return {
        "Model digest": manifest["model_digest"],
        "Spec digest": manifest["spec_digest"],
        "Data fingerprint": split["fingerprint"],
        "Parity": (
            f"graph and training differ by at most {parity['max_difference']:.1e} "
            f"on {parity['rows']:,} rows (allowed {parity['tolerance']:.0e})"
        ),
        "Served": verified(context),
        "Libraries": ", ".join(f"{name} {library_version(name)}" for name in _LIBRARIES),
    }


def scores(found: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics of a JSON file, NaN where they are undefined."""
    return {name: float("nan") if value is None else value for name, value in found.items()}


def _pair(bounds: list[float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (bounds[0], bounds[1])
