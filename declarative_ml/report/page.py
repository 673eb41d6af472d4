"""The report: one HTML file that needs nothing else, for a manager and for an engineer.

No script, no network: a content security policy in the page forbids both, and every text of a user
passes through escaping.
"""

from __future__ import annotations

import base64
from typing import Any

from declarative_ml.report import tables, wording
from declarative_ml.report.behaviour import behaviour_table
from declarative_ml.report.charts import curve_figures, figures
from declarative_ml.report.columns import OPEN_CARDS, column_cards
from declarative_ml.report.content import ReportContent, StepResult
from declarative_ml.report.contract import contract_table
from declarative_ml.report.coverage import coverage_table
from declarative_ml.report.drift import drift_table
from declarative_ml.report.gates import gate_table
from declarative_ml.report.plan_graph import plan_graph
from declarative_ml.report.relations import matrix, suspicion_rows, target_table
from declarative_ml.report.rendering import chart_style, render
from declarative_ml.report.segments import failure_parts
from declarative_ml.report.tuning import tuning_parts

PARTS = {"train": "training", "validation": "validation", "test": "test"}


def render_report(content: ReportContent) -> str:
    """The whole page as HTML text."""
    cards, hidden_columns = column_cards(content)
    return render(
        "report.html",
        content=content,
        task=task_words(content),
        rows=_row_words(content),
        verdict=wording.verdict(content),
        scale=tables.headline_scale(content),
        scale_title=scale_title(content),
        metrics=tables.metric_table(content),
        confusion=tables.confusion_table(content),
        classes=tables.class_table(content),
        figures=figures(content),
        curves=curve_figures(content.curves),
        coverage=coverage_table(content),
        gates=gate_table(content),
        contract=contract_table(content),
        slices=tables.slice_table(content),
        tests=behaviour_table(content),
        small_slice=tables.SMALL_SLICE,
        failures=failure_parts(content),
        drift=drift_table(content.drift),
        importance=tables.importance_table(content),
        shap_plots=_images(content),
        members=_members(content),
        blend=wording.blend_sentence(content),
        leaderboard=any(member.score is not None for member in content.members),
        conversions=_conversions(content),
        primary=wording.metric_title(content.primary),
        tunings=tuning_parts(tuple(content.tunings)),
        suspicions=suspicion_rows(content),
        related=target_table(content),
        matrix=matrix(content),
        cards=cards,
        open_cards=OPEN_CARDS,
        hidden_columns=hidden_columns,
        dropped=content.dropped,
        plan=plan_graph(content.steps) if content.steps else None,
        steps=[_step(step) for step in content.steps],
    )


def render_plots(content: ReportContent) -> dict[str, str]:
    """The charts as SVG files of their own, by name: for trackers and documents."""
    drawn = (*figures(content), *curve_figures(content.curves))
    return {f"{figure.name}.svg": styled(figure.svg) for figure in drawn}


def styled(svg: str) -> str:
    """A chart as SVG that needs no page around it: with its colours and fonts inside."""
    return svg.replace(">", f"><style>{chart_style()}</style>", 1)


def task_words(content: ReportContent) -> str:
    """What the model does, in a few words."""
    task = content.task
    if task.type == "number":
        return f"predict the number {task.target}"
    if task.type == "binary":
        return f"tell {task.classes[1]} from {task.classes[0]} in {task.target}"
    return f"one of {len(task.classes)} classes of {task.target}"


def _row_words(content: ReportContent) -> str:
    return " · ".join(f"{rows:,} {PARTS.get(part, part)}" for part, rows in content.rows.items())


def scale_title(content: ReportContent) -> str:
    """What the headline scale shows."""
    better = "higher" if wording.is_greater_better(content.primary) else "lower"
    part = wording.reported_part(content)
    return f"{wording.metric_title(content.primary)} on {part} rows, {better} is better"


def _images(content: ReportContent) -> list[tuple[str, str]]:
    return [(title, base64.b64encode(png).decode("ascii")) for title, png in content.shap_plots.items()]


def _members(content: ReportContent) -> list[dict[str, Any]]:
    return [
        {
            "name": member.name,
            "reason": member.reason,
            "score": wording.number(member.score),
            "interval": wording.interval(member.interval),
            "size": wording.size(member.size),
            "latency": wording.latency(member.latency),
            "weight": wording.percent(member.weight),
            "bar": round(100 * member.weight, 1),
            "loss": wording.number(member.loss),
            "seconds": wording.seconds(member.seconds),
        }
        for member in content.members
    ]


def _conversions(content: ReportContent) -> list[dict[str, Any]]:
    return [
        {
            "name": item.name,
            "status": item.status,
            "reason": item.reason,
            "rows": "–" if item.rows is None else f"{item.rows:,}",
            "largest": difference(item.largest),
            "mean": difference(item.mean),
            "tolerance": difference(item.tolerance),
            "disagreements": "–" if item.disagreements is None else f"{item.disagreements:,}",
            "latency": wording.latency(item.latency),
            "size": wording.size(item.size),
        }
        for item in content.conversions
    ]


def difference(value: float | None) -> str:
    """How far a format is from model.onnx, or a dash."""
    return "–" if value is None else f"{value:.1e}" if value else "0"


def _step(step: StepResult) -> tuple[StepResult, list[str]]:
    """A step, and its cells: seconds and memory, each beside what was estimated; "" where it is not known."""
    seconds, memory = ("", "") if step.expected is None else step.expected
    return step, [
        wording.seconds(step.seconds),
        "" if seconds == "" else wording.seconds(float(seconds)),
        wording.size(step.peak_bytes) if step.peak_bytes else "",
        "" if memory == "" else wording.size(int(memory)),
    ]
