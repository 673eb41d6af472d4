"""The search for options: the score of every trial, and what was chosen."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

from declarative_ml.report.charts import Figure
from declarative_ml.report.content import TuningResult
from declarative_ml.report.svg import Axis, Chart
from declarative_ml.report.wording import is_greater_better, metric_title, number, percent, trimmed


def tuning_parts(tunings: tuple[TuningResult, ...]) -> list[dict[str, Any]]:
    """What the page shows of each tuned model: a sentence, a chart where two trials have scores, a table."""
    return [
        {
            "name": tuning.name,
            "sentence": _sentence(tuning),
            "chart": _chart(tuning),
            "rows": _rows(tuning),
            "ranked": bool(tuning.importance),
        }
        for tuning in tunings
    ]


def _sentence(tuning: TuningResult) -> str:
    """What came of it, in words."""
    leading = next((trial for trial in tuning.trials if trial.number == tuning.leader), None)
    if leading is None or tuning.trials[0].score is None:
        reasons = dict.fromkeys(trial.reason for trial in tuning.trials)
        return f"Nothing was tried: {'; '.join(reasons)}."
    title, given = metric_title(tuning.metric), tuning.trials[0].score
    if tuning.leader == 0:
        text = f"No trial was better than the given options: {title} {number(given)} on the held-out rows."
    else:
        text = (
            f"Trial {leading.number} did best: {title} {number(leading.score)} on the held-out rows, "
            f"{number(given)} with the given options."
        )
        if tuning.best != tuning.leader:
            text += " That is no more than one standard error of the folds, so the given options stay."
    return " ".join([text, *_left_out(tuning)])


def _left_out(tuning: TuningResult) -> list[str]:
    """How many trials were not measured as a whole, and why."""
    pruned = sum(not trial.whole for trial in tuning.trials if trial.score is not None)
    verb = "was" if pruned == 1 else "were"
    told = f"{pruned} of {len(tuning.trials)} trials {verb} stopped after the first fold."
    found = [told] if pruned else []
    reasons = [trial.reason for trial in tuning.trials if trial.score is None]
    for reason in dict.fromkeys(reasons):
        found.append(f"{reasons.count(reason)} left out: {reason}.")
    return found


def _chart(tuning: TuningResult) -> Figure | None:
    """Scores by trial, with the best so far."""
    scored = [(trial.number, trial.score, trial.whole) for trial in tuning.trials if trial.score is not None]
    whole = [(place, score) for place, score, is_whole in scored if is_whole]
    if len(whole) < 2:
        return None
    title = metric_title(tuning.metric)
    scores = Axis.around([score for _, score in whole], title)
    chart = Chart(
        Axis(-0.5, len(tuning.trials) - 0.5, "trial"), scores, f"{title} of each trial of {tuning.name}"
    )
    better = max if is_greater_better(tuning.metric) else min
    chart.line(
        [place for place, _ in whole], list(accumulate((score for _, score in whole), better)), "muted"
    )
    # One fold's score is on another scale than that of all: its trial has a place at the bad edge.
    stopped = [place for place, _, is_whole in scored if not is_whole]
    edge = scores.low if is_greater_better(tuning.metric) else scores.high
    chart.dots(stopped, [edge] * len(stopped), "muted", radius=2.5)
    chart.dots([place for place, _ in whole], [score for _, score in whole], radius=3.5)
    chart.vertical(float(tuning.best or 0), "chosen")
    legend = (("accent", "all folds"), *((("muted", "stopped after the first fold"),) if stopped else ()))
    caption = "The line is the best score so far. The best of many scores flatters; test rows tell its worth."
    return Figure(f"tuning.{tuning.name}", "Score of each trial", caption, chart.svg(), legend)


def _rows(tuning: TuningResult) -> list[dict[str, Any]]:
    """The options: what they were, what they are, and how much each tells good trials from bad ones."""
    largest = max(tuning.importance.values(), default=0.0) or 1.0
    names = sorted(tuning.given, key=lambda name: (-tuning.importance.get(name, 0.0), name))
    return [
        {
            "name": name,
            "given": _value(tuning.given[name]),
            "chosen": _value(tuning.options.get(name, tuning.given[name])),
            "changed": name in tuning.options,
            "importance": percent(tuning.importance.get(name, math.nan)),
            "bar": round(100 * tuning.importance.get(name, 0.0) / largest, 1),
        }
        for name in names
    ]


def _value(value: Any) -> str:
    if value is None:
        return "by the fit"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return trimmed(float(value))
    return " × ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
