"""What notebooks show of a run and its model, as HTML from the same values as the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from declarative_ml.report import tables, wording
from declarative_ml.report.charts import Figure, figures
from declarative_ml.report.content import MemberResult, ReportContent, StepResult
from declarative_ml.report.fragments import Drawn, bar, box, details, grid, heading, paragraph, picture, table
from declarative_ml.report.page import styled
from declarative_ml.report.plan_graph import FOLD, plan_graph

TONES = {"ok": "good", "failed": "bad", "gate_failed": "bad"}
"""Status of a run -> tone of its tag."""
MAX_BARS = 20
"""Features that an explanation shows, the strongest first."""
MAX_OPTION = 160
"""Characters of an option's value."""


def metrics_table(result: Mapping[str, Any]) -> Drawn:
    """Metrics by part of the data, with the interval and the baselines of the test rows.

    `result` is what `dml run --format json` prints. Empty where nothing was measured.
    """
    parts = result.get("metrics") or {}
    if not parts:
        return Drawn()
    baselines = (result.get("baselines") or {}).get("test", {})
    intervals = (result.get("intervals") or {}).get("test", {})
    header = ["metric", *parts, *(["95 % interval"] if intervals else []), *baselines]
    rows = []
    for name in sorted(next(iter(parts.values())), key=lambda name: name != result.get("primary")):
        row = [wording.metric_title(name), *(wording.number(scores.get(name)) for scores in parts.values())]
        row += [wording.interval(intervals.get(name))] if intervals else []
        rows.append([*row, *(wording.number(scores.get(name)) for scores in baselines.values())])
    return table(header, rows)


def conversions_table(conversions: Sequence[Mapping[str, Any]]) -> Drawn:
    """The formats of a run and how near each is to model.onnx; empty without any."""
    if not conversions:
        return Drawn()
    rows = [
        [item["name"], item["status"], *_nearness(item.get("parity")), item["reason"]] for item in conversions
    ]
    return table(["format", "", "differs by", "of rows", ""], rows, left=(0, 1, 4), long=(4,))


def _nearness(parity: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("–", "–") if parity is None else (f"{parity['max_difference']:.1e}", f"{parity['rows']:,}")


def leaderboard_view(members: Sequence[MemberResult], metric: str) -> str:
    """The candidates, the best first: score on held-out rows, share of the blend, size, speed, time."""
    rows = [
        [
            member.name,
            wording.number(member.score),
            wording.interval(member.interval),
            wording.percent(member.weight),
            bar(member.weight),
            wording.size(member.size),
            wording.latency(member.latency),
            wording.seconds(member.seconds),
            member.reason,
        ]
        for member in members
    ]
    title = wording.metric_title(metric)
    header = ["model", title, "95 % interval", "weight", "", "size", "a row", "fitted in", "left out because"]
    shown = [place for place in range(len(header)) if place == 4 or any(row[place] != "–" for row in rows)]
    if not any(member.reason for member in members):
        shown.remove(8)
    cut = [[row[place] for place in shown] for row in rows]
    left = [shown.index(place) for place in (0, 4) if place in shown]
    long = [shown.index(8)] if 8 in shown else []
    return box(table([header[place] for place in shown], cut, left=left, long=long))


def slices_view(content: ReportContent) -> str:
    """The primary metric on parts of the test rows, each beside that of all of them."""
    found = tables.slice_table(content)
    if found is None:
        return box(paragraph("the spec names no slices: evaluate.slices"))
    rows = [[row["name"], row["rows"], row["value"], row["interval"], _judged(row)] for row in found["rows"]]
    note = f"{found['overall']} on all test rows; under {tables.SMALL_SLICE} rows say little"
    title = heading(found["title"], note)
    return box(title, table(["slice", "rows", found["title"], "95 % interval", ""], rows, left=(0, 4)))


def _judged(row: Mapping[str, Any]) -> Drawn:
    tags = [f'<span class="tag {_TONE[row["apart"]]}">{row["apart"]}</span>'] if row["apart"] else []
    return Drawn(" ".join([*tags, *(['<span class="tag">few rows</span>'] if row["small"] else [])]))


_TONE = {"better": "good", "worse": "bad"}


def charts_view(content: ReportContent) -> str:
    """The confusion matrix of classes, and the charts of the test rows that fit the task."""
    drawn = [_figure(figure) for figure in figures(content)]
    if not drawn:
        return box(paragraph("there are no test rows to draw"))
    return box(_confusion(content), grid(drawn))


def _figure(figure: Figure) -> Drawn:
    return picture(styled(figure.svg), figure.title, figure.title, figure.caption)


def _confusion(content: ReportContent) -> Drawn:
    found = tables.confusion_table(content)
    if found is None:
        return Drawn()
    rows = [
        [row["name"], *(f"{cell['count']} ({cell['share']})" for cell in row["cells"]), row["total"]]
        for row in found["rows"]
    ]
    drawn = [heading("Truth against answer"), table(["truth ↓  answer →", *found["columns"], "rows"], rows)]
    if found["hidden"]:
        drawn.append(paragraph(f"those with the most wrong rows; {found['hidden']} more are not shown"))
    return Drawn("".join(drawn))


def plan_view(name: str, steps: Sequence[StepResult], note: str, why: Mapping[str, str]) -> str:
    """The plan as a graph, with what is known of each step folded away below it."""
    svg = styled(plan_graph(steps))
    rows = [[step.id, step.status, why.get(step.id, step.title)] for step in steps]
    told = table(["step", "", "because" if why else "what it does"], rows, left=(0, 1, 2), long=(2,))
    graph = picture(svg, f"plan of {len(steps)} steps", width=_width(svg))
    return box(heading(name, note), graph, details("every step", told))


def _width(svg: str) -> float:
    """The width that a picture is drawn for, from its viewBox."""
    return float(svg.partition('viewBox="0 0 ')[2].split()[0])


def importance_view(features: Sequence[tuple[str, float]], note: str) -> str:
    """How far each column moves predictions on average, as bars."""
    ranked = sorted(features, key=lambda item: -item[1])
    largest = max((value for _, value in ranked), default=0.0) or 1.0
    rows = [[name, wording.number(value, 3), bar(value / largest)] for name, value in ranked[:MAX_BARS]]
    more = len(ranked) - len(rows)
    hidden = [paragraph(f"{more} more columns matter less")] if more else []
    title = heading("What moves the prediction", note)
    return box(title, table(["column", "mean |SHAP|", ""], rows, left=(0, 2)), *hidden)


def contributions_view(base: float, prediction: float, values: Mapping[str, float], of: str) -> str:
    """How one prediction comes about: from the mean of the background, up or down by each column."""
    ranked = sorted(values.items(), key=lambda item: -abs(item[1]))
    largest = max((abs(value) for value in values.values()), default=0.0) or 1.0
    rows = [
        [name, f"{value:+.3g}", bar(abs(value) / largest, less=value < 0)]
        for name, value in ranked[:MAX_BARS]
    ]
    title = heading(of, f"{wording.number(base)} on average, {wording.number(prediction)} here")
    return box(title, table(["column", "SHAP value", ""], rows, left=(0, 2)))


def options_table(options: Mapping[str, Sequence[Any]]) -> Drawn:
    """Options that differ: dotted path, value before and after."""
    rows = [[path, *map(_option, pair)] for path, pair in options.items()]
    return table(["option", "before", "after"], rows, left=(0, 1, 2), long=(1, 2)) if rows else Drawn()


def _option(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "–" if value is None else wording.shortened(text, MAX_OPTION)


def steps_table(steps: Mapping[str, str]) -> Drawn:
    """Steps that run again and why; the folds of one model are told together."""
    rows = {FOLD.sub(r"\1*", step): FOLD.sub(r"\1*", why) for step, why in steps.items()}
    return table(["step", "why"], rows.items(), left=(0, 1))
