"""The page of a model in service: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from declarative_ml.learning.drift import FALSE_ALARMS
from declarative_ml.learning.drift_windows import Watched
from declarative_ml.report.charts import Figure
from declarative_ml.report.drift import picture
from declarative_ml.report.monitored import Monitored, Period
from declarative_ml.report.rendering import render
from declarative_ml.report.svg import Axis, Chart
from declarative_ml.report.wording import (
    NARROW,
    Verdict,
    count,
    headline_value,
    interval,
    metric_title,
    metric_value,
    number,
    percent,
    shortened,
)

_SHOWN = 60
"""Periods in a table, the last ones."""
_METRICS = 4
"""Metrics in the table of periods, the primary one first."""


def render_monitored(found: Monitored) -> str:
    """The whole page as HTML text."""
    told = [period for period in found.periods if period.drift.is_reached]
    last = told[-1] if told else None
    judged = [period for period in found.periods if period.quality is not None]
    names = _metric_names(found)
    return render(
        "monitor.html",
        found=found,
        digest=found.digest[:12],
        verdict=finding(found),
        rows=count(found.log["rows"]),
        hidden=max(len(found.periods) - _SHOWN, 0),
        metric_names=[metric_title(name) for name in names],
        qualities=[_quality_row(found, period, names) for period in judged[-_SHOWN:]],
        tested=[metric_value(name, found.tested.metrics.get(name)) for name in names],
        tested_interval=interval(found.tested.intervals.get(found.primary)),
        primary=metric_title(found.primary),
        figures=_figures(found, judged),
        periods=[_period_row(found, period) for period in found.periods[-_SHOWN:]],
        last=None if last is None else _stamp(found, last.began),
        last_rows=None if last is None else count(last.drift.rows),
        moved=[] if last is None else [_contrast(item) for item in last.drift.moved],
        columns=[] if last is None else [_column_row(item) for item in _ordered(last)],
        alert=f"{found.alert:g}",
        chance=percent(FALSE_ALARMS),
        left_out=_left_out(found),
    )


def finding(found: Monitored) -> Verdict:
    """Whether the model may go on as it does, in the last period that can tell."""
    drifting, failing = found.drifting, found.failing
    parts = []
    if (drift := next((p for p in reversed(found.periods) if p.drift.is_reached), None)) is None:
        needed = found.periods[-1].drift.needed
        parts.append(f"No period has the {count(needed)} rows that a verdict on drift needs.")
    elif drifting is None:
        parts.append(f"No column moved in the period from {_stamp(found, drift.began)} on.")
    else:
        names = ", ".join(shortened(item.column, 30) for item in drifting.drift.moved[:3])
        more = len(drifting.drift.moved) - 3
        parts.append(f"Moved: {names}{f' and {more} more' if more > 0 else ''}.")
    live = next((p for p in reversed(found.periods) if found.measured(p) is not None), None)
    if live is not None and live.quality is not None:
        name, value = found.primary, live.quality.metrics[found.primary]
        low, high = (headline_value(name, end) for end in found.measured(live) or ())
        said = f"{headline_value(name, value)} (95{NARROW}% interval {low} to {high})"
        parts.append(
            f"{metric_title(name)} is {said} from "
            f"{_stamp(found, live.began)} on; on the test rows it was "
            f"{headline_value(name, found.tested.metrics.get(name))}."
        )
    if failing is not None:
        return Verdict("The model is worse than it was tested.", " ".join(parts), "bad")
    if drifting is not None:
        return Verdict("Requests are not what the model was trained on.", " ".join(parts), "bad")
    if drift is None and live is None:
        return Verdict("There are too few rows to tell.", " ".join(parts), "plain")
    return Verdict("Nothing alarming.", " ".join(parts), "good")


def _metric_names(found: Monitored) -> list[str]:
    known = [name for period in found.periods if period.quality for name in period.quality.metrics]
    return list(dict.fromkeys([found.primary, *known]))[:_METRICS]


def _quality_row(found: Monitored, period: Period, names: Sequence[str]) -> dict[str, Any]:
    assert period.quality is not None
    return {
        "name": _stamp(found, period.began),
        "rows": count(period.quality.rows),
        "values": [metric_value(name, period.quality.metrics.get(name)) for name in names],
        "interval": interval(found.measured(period)),
        "worse": found.is_worse(period),
    }


def _period_row(found: Monitored, period: Period) -> dict[str, Any]:
    reasons = [f"{shortened(item.column, 24)}: {', '.join(item.reasons)}" for item in period.drift.moved[:4]]
    more = len(period.drift.moved) - len(reasons)
    return {
        "name": _stamp(found, period.began),
        "rows": count(period.drift.rows),
        "told": period.drift.is_reached,
        "drift": bool(period.drift.moved),
        "moved": "; ".join(reasons) + (f"; and {more} more" if more > 0 else ""),
    }


def _ordered(period: Period) -> list[Watched]:
    return sorted(period.drift.watched, key=lambda item: (not item.moved, -item.drift.distance.psi))


def _name(item: Watched) -> str:
    return f"answer: {item.column}" if item.is_answer else item.column


def _contrast(item: Watched) -> dict[str, Any]:
    alt = f"Shares of {item.column} in bins that held about equal shares of the training rows"
    return {**picture(item.drift, alt), "name": _name(item)}


def _column_row(item: Watched) -> dict[str, Any]:
    distance, (before, now) = item.drift.distance, item.drift.missing
    return {
        "name": _name(item),
        "psi": number(distance.psi, 3),
        "noise": number(distance.noise, 2),
        "js": number(distance.js, 2),
        "ks": number(distance.ks, 2),
        "missing": f"{percent(before)} → {percent(now)}" if before or now else "–",
        "unseen": percent(item.unseen) if item.unseen else "–",
        "outside": percent(item.outside) if item.outside else "–",
        "moved": item.moved,
    }


def _left_out(found: Monitored) -> str:
    log = found.log
    parts = []
    if rows := log["other_rows"]:
        parts.append(f"{count(rows)} {'row' if rows == 1 else 'rows'} of other models or versions")
    if lines := log["broken_lines"]:
        parts.append(f"{count(lines)} {'line that was' if lines == 1 else 'lines that were'} not whole")
    return f"Left out: {' and '.join(parts)}." if parts else ""


def _stamp(found: Monitored, moment: datetime) -> str:
    whole_days = all(
        not (item.began.hour or item.began.minute or item.began.second) for item in found.periods
    )
    return f"{moment:%Y-%m-%d}" if whole_days else f"{moment:%Y-%m-%d %H:%M}"


# Charts over time.


def _figures(found: Monitored, judged: Sequence[Period]) -> list[Figure]:
    drawn = [_quality_figure(found, judged)] if len(judged) > 1 else []
    return [*drawn, _drift_figure(found)] if len(found.periods) > 1 else drawn


def _time_axis(periods: Sequence[Period]) -> Axis:
    """Periods by number, with their dates as labels."""
    last = len(periods) - 1
    days = (periods[-1].began - periods[0].began).days >= 2
    form = "%d %b" if days else "%H:%M"

    def labels(values: Sequence[float]) -> list[str]:
        known = [round(value) for value in values]
        return [
            periods[place].began.strftime(form) if abs(place - value) < 0.01 and 0 <= place <= last else ""
            for place, value in zip(known, values, strict=True)
        ]

    return Axis(-0.4, last + 0.4, "", labels=labels, ticks=4)


def _quality_figure(found: Monitored, judged: Sequence[Period]) -> Figure:
    name = found.primary
    values = [period.quality.metrics.get(name) for period in judged if period.quality is not None]
    bounds = [found.measured(period) for period in judged]
    tested = found.tested.metrics.get(name)
    ends = [end for pair in bounds if pair is not None for end in pair]
    shown = [value for value in (*values, *ends, tested) if value is not None]
    alt = f"{metric_title(name)} of {len(judged)} periods"
    chart = Chart(_time_axis(judged), Axis.around(shown, metric_title(name)), alt)
    for place, pair in enumerate(bounds):
        if pair is not None:
            chart.line([place, place], pair, "muted")
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if tested is not None:
        chart.segment((-0.4, tested), (len(judged) - 0.6, tested))
    chart.line(*_apart(known))
    chart.dots(*_apart(known))
    legend = (("accent", "live"), ("muted", f"its 95{NARROW}% interval"))
    caption = "By period of the requests; dashed: on the test rows."
    return Figure("quality", f"{metric_title(name)} over time", caption, chart.svg(), legend)


def _apart(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    return [float(place) for place, _ in points], [value for _, value in points]


def _drift_figure(found: Monitored) -> Figure:
    """The index of the column that moved most, over time, and the alert level."""
    measured: Callable[[Period], list[float]] = lambda period: [  # noqa: E731
        item.drift.distance.psi for item in period.drift.watched
    ]
    told = [(place, max(measured(item))) for place, item in enumerate(found.periods) if item.drift.is_reached]
    chart = Chart(
        _time_axis(found.periods),
        Axis.around([0.0, found.alert * 1.1, *(value for _, value in told)], "stability index", zero=True),
        f"Largest population stability index of {len(found.periods)} periods",
    )
    chart.segment((-0.4, found.alert), (len(found.periods) - 0.6, found.alert))
    chart.line(*_apart(told))
    chart.dots(*_apart(told))
    caption = "Of the column that is farthest from the training rows; dashed: the alert level."
    return Figure("drift", "Drift over time", caption, chart.svg())
