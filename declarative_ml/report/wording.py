"""Numbers and findings in words: what the page says, apart from how it looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from declarative_ml.learning.metric_names import METRICS
from declarative_ml.learning.task import Task, TaskType
from declarative_ml.report.content import ReportContent, Scores

PERCENT = frozenset({"accuracy", "balanced_accuracy", "precision", "recall", "roc_auc", "r2", "mape"})
"""Metrics that the verdict gives in percent."""

_CLASS_CLAIMS = {
    "accuracy": "the model gives the right answer {value} of the time",
    "balanced_accuracy": "the model finds {value} of the rows of a class, averaged over the classes",
}
_CLAIMS: dict[TaskType, dict[str, str]] = {
    "binary": {
        **_CLASS_CLAIMS,
        "roc_auc": "the model ranks a random positive ({positive}) above a random negative "
        "{value} of the time",
        "precision": "the model is right in {value} of the rows that it calls positive ({positive})",
        "recall": "the model finds {value} of the positive rows ({positive})",
    },
    "multiclass": {
        **_CLASS_CLAIMS,
        "roc_auc": "the model ranks a row of a class above a row of the others {value} of the time",
    },
    "number": {
        "rmse": "predictions of {target} miss by {value} (root mean square)",
        "mae": "predictions of {target} miss by {value} on average",
        "median_absolute_error": "half of the predictions of {target} miss by less than {value}",
        "mape": "predictions of {target} miss by {value} on average",
        "r2": "the model explains {value} of the variance of {target}",
    },
}

BASELINES = ("linear", "majority")
"""The baselines that every run has, in the order of the page."""

NARROW = "\u00a0"
"""The space before a unit, at which no line breaks."""


def number(value: float | None, digits: int = 4) -> str:
    """A number for a reader: thousands apart, `digits` significant ones; a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 9 or size < -4:
        return f"{value:.{max(digits - 2, 1)}e}"
    return f"{value:,.{max(digits - 1 - size, 0)}f}"


def trimmed(value: float | None) -> str:
    """Like `number`, without zeros behind the last digit that says something."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def percent(share: float, digits: int = 1) -> str:
    """A share as percent: 0.0312 -> "3.1 %", unbreakable; tiny but present shares do not become nothing."""
    if not math.isfinite(share):
        return "–"
    smallest = 10.0 ** -(digits + 2)
    if 0 < share < smallest:
        return f"<{NARROW}{smallest * 100:.{digits}f}{NARROW}%"
    if 1 - smallest < share < 1:
        return f">{NARROW}{100 - smallest * 100:.{digits}f}{NARROW}%"
    text = f"{share * 100:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + f"{NARROW}%"


def count(value: int) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"


def seconds(value: float | None) -> str:
    """A duration: "0.3 s", "12 s", "3 min 05 s"."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    if value < 100:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def interval(bounds: Sequence[float] | None) -> str:
    """ "0.91 … 0.94", or a dash."""
    return "–" if bounds is None else f"{number(bounds[0])} … {number(bounds[1])}"


def size(value: int | None) -> str:
    """Bytes in the unit that fits: "1.2 MB"."""
    if value is None:
        return "–"
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{max(value / 1e3, 0.1):.3g} kB"


def latency(value: float | None) -> str:
    """Seconds of one call in the unit that fits: "85 µs"."""
    if value is None:
        return "–"
    return f"{1e3 * value:.1f} ms" if value >= 1e-3 else f"{1e6 * value:.0f} µs"


def blend_sentence(content: ReportContent) -> str:
    """Why the answer is what it is: one candidate, or a blend that does better than the best of them."""
    used = sorted((each for each in content.members if each.weight), key=lambda each: -each.weight)
    known = [each for each in content.members if each.loss is not None]
    if not known or content.blend_loss is None:
        return "The fitted models and their weight in the answer."
    best = min(known, key=lambda each: each.loss or 0.0)
    kind = "log loss" if content.task.is_classification else "RMSE"
    if len(used) == 1:
        return f"{used[0].name} answers alone: blending others with it did not lower the {kind}."
    gain = 1.0 - content.blend_loss / best.loss if best.loss else 0.0
    change = f"{percent(abs(gain), 2)} {'below' if gain >= 0 else 'above'} that of {best.name} alone"
    held_out = f"its {kind} on held-out rows, {number(content.blend_loss)},"
    return f"A blend of {len(used)} models: {held_out} is {change}."


def shortened(text: str, length: int) -> str:
    """`text`, cut with an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def metric_title(name: str) -> str:
    """The metric's name for a reader."""
    return METRICS[name].title if name in METRICS else name


def is_greater_better(name: str) -> bool:
    """Whether a greater value of the metric is a better one."""
    return name not in METRICS or METRICS[name].greater_is_better


def metric_value(name: str, value: float | None) -> str:
    """A metric's value: three decimals for scores, four significant digits in the target's unit."""
    if value is None or not math.isfinite(value):
        return "–"
    if name in METRICS and "number" in METRICS[name].tasks and name not in ("r2", "mape"):
        return number(value)
    return f"{value:.3f}" if abs(value) < 100 else number(value)


def headline_value(name: str, value: float | None) -> str:
    """A metric's value as the verdict gives it: percent where that is how people say it."""
    if value is not None and math.isfinite(value) and name in PERCENT:
        return percent(value)
    return metric_value(name, value)


@dataclass(frozen=True)
class Verdict:
    """What came out, in words. `tone` is `good`, `even`, `bad` or `plain`."""

    sentence: str
    comparison: str
    tone: str


def reported_part(content: ReportContent) -> str | None:
    """The part of the data that the verdict speaks of: test, or the first there is."""
    if "test" in content.metrics:
        return "test"
    return next(iter(content.metrics), None)


def verdict(content: ReportContent) -> Verdict:
    """The finding on the primary metric, and how it compares to the baselines."""
    part = reported_part(content)
    scores = content.metrics.get(part, {}) if part else {}
    value = scores.get(content.primary)
    if part is None or value is None or not math.isfinite(value):
        return Verdict("There is no measurement of this model on rows that it has not seen.", "", "plain")
    rows = content.rows.get(part)
    where = "unseen" if part == "test" else part
    place = f"On {count(rows)} {where} rows" if rows is not None else f"On the {where} rows"
    sentence = f"{place}, {_claim(content.task, content.primary, value, scores)}."
    interval = content.intervals.get(part, {}).get(content.primary)
    baselines = {
        name: scores[content.primary]
        for name, scores in ordered_baselines(content, part).items()
        if math.isfinite(scores.get(content.primary, math.nan))
    }
    titles = {name: _in_sentence(content.task, name) for name in baselines}
    comparison, tone = _compare(content.primary, value, interval, baselines, titles)
    return Verdict(sentence, comparison, tone)


def ordered_baselines(content: ReportContent, part: str) -> dict[str, Scores]:
    """The baselines of a part, the known ones first."""
    known = content.baselines.get(part, {})
    return {name: known[name] for name in dict.fromkeys((*BASELINES, *known)) if name in known}


def baseline_title(task: Task, name: str) -> str:
    """A baseline's name as a column heading."""
    if name == "majority":
        return "mean guess" if task.type == "number" else "majority guess"
    return "linear model" if name == "linear" else name


def _in_sentence(task: Task, name: str) -> str:
    article = {"linear": "a ", "majority": "the "}.get(name, "")
    return article + baseline_title(task, name)


def _claim(task: Task, name: str, value: float, scores: Scores) -> str:
    """What the value of the metric means."""
    claim = _CLAIMS[task.type].get(name)
    if claim is not None:
        text = claim.format(value=headline_value(name, value), target=task.target, positive=task.positive)
        explained = scores.get("r2", math.nan)
        if name in ("rmse", "mae") and math.isfinite(explained) and explained > 0:
            text += f" and explain {percent(explained)} of its variance"
        return text
    reached = f"{_lower_first(metric_title(name))} {headline_value(name, value)}"
    accuracy = scores.get("accuracy", math.nan)
    if math.isfinite(accuracy):
        right = _CLAIMS[task.type]["accuracy"].format(value=percent(accuracy))
        return f"{right} ({reached})"
    return f"the model reaches {reached}"


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _compare(
    name: str,
    value: float,
    interval: Sequence[float] | None,
    baselines: Mapping[str, float],
    titles: Mapping[str, str],
) -> tuple[str, str]:
    sentences = []
    if interval is not None:
        low, high = (headline_value(name, bound) for bound in interval)
        sentences.append(f"95{NARROW}% interval: {low} to {high}.")
    if not baselines:
        return " ".join(sentences), "plain"
    text = "; ".join(f"{titles[rival]}: {headline_value(name, score)}" for rival, score in baselines.items())
    sentences.append(f"{text[:1].upper()}{text[1:]}.")
    sign = 1.0 if is_greater_better(name) else -1.0
    best = max(baselines, key=lambda rival: sign * baselines[rival])
    judgement, tone = _judge(sign, value, interval, baselines[best], titles[best])
    return " ".join([*sentences, judgement]), tone


def _judge(
    sign: float, value: float, interval: Sequence[float] | None, rival: float, rival_name: str
) -> tuple[str, str]:
    inside = interval is not None and interval[0] <= rival <= interval[1]
    if inside:
        return f"That is not clearly different from {rival_name}.", "even"
    if sign * value > sign * rival:
        return f"That is better than {rival_name}.", "good"
    if value == rival:
        return f"That is the same as {rival_name}.", "even"
    return f"That is worse than {rival_name}: prefer the simpler one, or look at the data.", "bad"
