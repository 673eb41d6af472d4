"""The pictures of a report: what the test rows, the learning curves and the profile look like."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from declarative_ml.learning.metrics import calibration_curve
from declarative_ml.learning.ranks import precision_recall_curve, roc_curve
from declarative_ml.report.svg import Axis, Chart, percent_labels
from declarative_ml.report.wording import count, number, percent, trimmed

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.report.content import ReportContent

CURVE_KINDS = {"train": "muted", "validation": "accent"}
FOLD = re.compile(r"\.fold\d+$")
MAX_POINTS = 1500
"""Scatter plots show at most this many rows, evenly spaced."""


@dataclass(frozen=True)
class Figure:
    """One chart with its words. `legend` names the classes of marks."""

    name: str
    title: str
    caption: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


def figures(content: ReportContent) -> list[Figure]:
    """The charts of the test rows that fit the task; none without test rows."""
    if content.truth is None or content.prediction is None or len(content.truth) == 0:
        return []
    if content.task.type == "number":
        return _number_figures(content.task.target, content.truth, content.prediction)
    if content.task.type == "binary":
        return _binary_figures(content, content.truth, content.prediction[:, 1])
    return _multiclass_figures(content.truth, content.prediction, content.weight)


def share_axis(label: str) -> Axis:
    """An axis of shares, from nothing to all."""
    return Axis(0.0, 1.0, label, percent_labels)


def _binary_figures(content: ReportContent, truth: np.ndarray, scores: np.ndarray) -> list[Figure]:
    drawn = [_calibration(truth, scores, content.weight, "probability of the positive class")]
    if 0 < truth.sum() < len(truth):
        drawn = [
            _roc(truth, scores, content),
            _precision_recall(truth, scores, content),
            *drawn,
            _score_distribution(truth, scores, content),
        ]
    return drawn


def _roc(truth: np.ndarray, scores: np.ndarray, content: ReportContent) -> Figure:
    false_rate, true_rate, _ = roc_curve(truth, scores, content.weight)
    chart = Chart(
        share_axis("false positive rate"),
        share_axis("true positive rate"),
        "ROC curve of the model on test rows",
    )
    chart.segment((0, 0), (1, 1))
    chart.line(false_rate, true_rate)
    yes = scores >= content.threshold
    at = (float(yes[truth == 0].mean()), float(yes[truth == 1].mean()))
    chart.dots([at[0]], [at[1]], radius=4.5)
    caption = (
        f"The dot is the threshold {trimmed(content.threshold)}: it finds {percent(at[1])} of the positive "
        f"rows and raises a false alarm on {percent(at[0])} of the others. Dashed: guessing."
    )
    return Figure("roc", "Found against false alarms (ROC)", caption, chart.svg())


def _precision_recall(truth: np.ndarray, scores: np.ndarray, content: ReportContent) -> Figure:
    precision, recall, _ = precision_recall_curve(truth, scores, content.weight)
    base = float(truth.mean())
    chart = Chart(share_axis("recall"), share_axis("precision"), "Precision against recall on test rows")
    chart.segment((0, base), (1, base))
    chart.line(recall, precision)
    caption = (
        "How pure the answers are when more of the positives are to be found. "
        f"Dashed: {percent(base)} of all rows are positive."
    )
    yes = scores >= content.threshold
    if yes.any():
        chart.dots([float(yes[truth == 1].mean())], [float(truth[yes].mean())], radius=4.5)
    return Figure("precision_recall", "Precision against recall", caption, chart.svg())


def _calibration(truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None, what: str) -> Figure:
    predicted, observed, rows = calibration_curve(truth, scores, 10, weight)
    chart = Chart(
        share_axis(f"predicted {what}"),
        share_axis("observed share"),
        "Predicted probability against observed share",
    )
    chart.segment((0, 0), (1, 1))
    chart.line(predicted, observed)
    largest = float(rows.max())
    for x, y, size in zip(predicted, observed, rows):
        chart.dots([x], [y], radius=2.5 + 4.0 * (float(size) / largest) ** 0.5)
    caption = (
        "On the dashed line, of the rows given 70 % seven in ten are positive. Larger dots hold more rows."
    )
    return Figure("calibration", "Are the probabilities true?", caption, chart.svg())


def _score_distribution(truth: np.ndarray, scores: np.ndarray, content: ReportContent) -> Figure:
    import numpy as np

    edges = np.linspace(0.0, 1.0, 31)
    negative = np.histogram(scores[truth == 0], edges)[0] / max(int((truth == 0).sum()), 1)
    positive = np.histogram(scores[truth == 1], edges)[0] / max(int((truth == 1).sum()), 1)
    top = float(max(negative.max(), positive.max()))
    chart = Chart(
        share_axis("predicted probability"),
        Axis(0.0, top * 1.08, "share of the class", percent_labels),
        "Distribution of the predicted probability, by class",
    )
    chart.bars(edges, negative, "muted")
    chart.bars(edges, positive, "accent")
    chart.vertical(content.threshold, f"threshold {trimmed(content.threshold)}")
    classes = content.task.classes
    legend = (("accent", classes[1]), ("muted", classes[0]))
    caption = "The less the two overlap, the better the model tells the classes apart."
    return Figure("scores", "Predicted probability by class", caption, chart.svg(), legend)


def _multiclass_figures(truth: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None) -> list[Figure]:
    import numpy as np

    best = prediction.max(axis=1)
    right = (prediction.argmax(axis=1) == truth).astype(np.int64)
    edges = np.linspace(0.0, 1.0, 31)
    hits = np.histogram(best[right == 1], edges)[0] / len(truth)
    misses = np.histogram(best[right == 0], edges)[0] / len(truth)
    chart = Chart(
        share_axis("probability of the predicted class"),
        Axis(0.0, float(max(hits.max(), misses.max())) * 1.08, "share of rows", percent_labels),
        "Distribution of the probability of the predicted class, right and wrong answers",
    )
    chart.bars(edges, hits, "muted")
    chart.bars(edges, misses, "accent")
    legend = (("muted", "right"), ("accent", "wrong"))
    caption = "Wrong answers should sit at the left, where the model itself is in doubt."
    confidence = Figure("confidence", "How sure, when right and when wrong", caption, chart.svg(), legend)
    calibration = _calibration(right, best, weight, "probability")
    caption = (
        "On the dashed line, of the answers given with 70 % seven in ten are right. "
        "Larger dots hold more rows."
    )
    return [replace(calibration, caption=caption), confidence]


def _number_figures(target: str, truth: np.ndarray, prediction: np.ndarray) -> list[Figure]:
    return [
        _predicted_against_actual(target, truth, prediction),
        _tenths(target, truth, prediction),
        _residuals(target, truth, prediction),
        _errors(truth, prediction),
    ]


def bounds(*arrays: np.ndarray) -> tuple[float, float]:
    """The range of nearly all values: a single giant would squeeze all others into a corner."""
    import numpy as np

    values = np.concatenate(arrays)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = (float(bound) for bound in np.quantile(values, [0.002, 0.998]))
    least, most = float(values.min()), float(values.max())
    reach = 0.25 * (high - low)
    low, high = (least if least >= low - reach else low), (most if most <= high + reach else high)
    pad = (high - low) * 0.03 or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def scatter(chart: Chart, xs: np.ndarray, ys: np.ndarray) -> None:
    """A cloud of points, thinned out where there are very many."""
    step = max(-(-len(xs) // MAX_POINTS), 1)
    chart.dots(xs[::step], ys[::step], "accent cloud", radius=1.6)


def _beyond(low: float, high: float, *arrays: np.ndarray) -> str:
    import numpy as np

    outside = np.zeros(len(arrays[0]), dtype=bool)
    for array in arrays:
        outside |= (array < low) | (array > high)
    rows = int(outside.sum())
    return f" {count(rows)} rows lie beyond the frame and are drawn on its edge." if rows else ""


def _predicted_against_actual(target: str, truth: np.ndarray, prediction: np.ndarray) -> Figure:
    low, high = bounds(truth, prediction)
    chart = Chart(
        Axis(low, high, f"predicted {target}"),
        Axis(low, high, f"actual {target}"),
        f"Predicted against actual {target} on test rows",
    )
    scatter(chart, prediction, truth)
    chart.segment((low, low), (high, high))
    caption = "On the dashed line the prediction is exact." + _beyond(low, high, truth, prediction)
    return Figure("predicted_actual", "Predicted and actual", caption, chart.svg())


def _tenths(target: str, truth: np.ndarray, prediction: np.ndarray) -> Figure:
    import numpy as np

    order = np.argsort(prediction, kind="stable")
    parts = [part for part in np.array_split(order, 10) if len(part)]
    predicted = np.array([prediction[part].mean() for part in parts])
    actual = np.array([truth[part].mean() for part in parts])
    both = Axis.around([*predicted, *actual])
    chart = Chart(
        Axis(both.low, both.high, f"mean predicted {target}"),
        Axis(both.low, both.high, f"mean actual {target}"),
        "Mean predicted against mean actual value in tenths of the rows, by prediction",
    )
    chart.segment((both.low, both.low), (both.high, both.high))
    chart.line(predicted, actual)
    chart.dots(predicted, actual, radius=3.5)
    caption = (
        "Rows in ten equal groups, from the lowest to the highest prediction. "
        "Off the dashed line the model is wrong on average."
    )
    return Figure("tenths", "Right on average?", caption, chart.svg())


def _residuals(target: str, truth: np.ndarray, prediction: np.ndarray) -> Figure:
    residual = truth - prediction
    low, high = bounds(residual)
    left, right = bounds(prediction)
    chart = Chart(
        Axis(left, right, f"predicted {target}"),
        Axis(low, high, "actual − predicted"),
        "Residuals against predictions on test rows",
    )
    scatter(chart, prediction, residual)
    chart.segment((left, 0.0), (right, 0.0))
    caption = "A funnel means that errors grow with the value; a bend means that something is not learned."
    return Figure("residuals", "Errors along the range", caption + _beyond(low, high, residual), chart.svg())


def _errors(truth: np.ndarray, prediction: np.ndarray) -> Figure:
    import numpy as np

    residual = truth - prediction
    low, high = bounds(residual)
    edges = np.linspace(low, high, 42)
    shares = np.histogram(np.clip(residual, low, high), edges)[0] / len(residual)
    chart = Chart(
        Axis(low, high, "actual − predicted"),
        Axis(0.0, float(shares.max()) * 1.08, "share of rows", percent_labels),
        "Distribution of the errors on test rows",
    )
    chart.bars(edges, shares)
    chart.vertical(0.0)
    half = float(np.median(np.abs(residual)))
    most = float(np.quantile(np.abs(residual), 0.9))
    caption = f"Half of the errors are smaller than {number(half)}, nine in ten smaller than {number(most)}."
    return Figure("errors", "Size of the errors", caption, chart.svg())


def curve_figures(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Figure]:
    """One chart a model: the learning curves of its folds together. Curves of one point are left out."""
    groups: dict[str, list[Sequence[Mapping[str, float]]]] = {}
    for step_id, curve in curves.items():
        if len(curve) > 1:
            groups.setdefault(FOLD.sub("", step_id), []).append(curve)
    return [_curve(name, group) for name, group in groups.items()]


def _curve(name: str, curves: Sequence[Sequence[Mapping[str, float]]]) -> Figure:
    steps = [point["step"] for curve in curves for point in curve]
    losses = [point[key] for curve in curves for point in curve for key in CURVE_KINDS if key in point]
    chart = Chart(
        Axis(min(steps), max(max(steps), min(steps) + 1), "round", ticks=4),
        Axis.around(losses, "loss", ticks=4),
        f"Learning curves of {name}",
        width=330,
        height=220,
    )
    drawn = set()
    lowest = []
    for curve in curves:
        for key, kind in CURVE_KINDS.items():
            points = [(point["step"], point[key]) for point in curve if key in point]
            if points:
                drawn.add(key)
                chart.line([step for step, _ in points], [loss for _, loss in points], kind)
        known = [point for point in curve if math.isfinite(point.get("validation", math.nan))]
        if known:
            best = min(known, key=lambda point: point["validation"])
            chart.dots([best["step"]], [best["validation"]], radius=3.5)
            lowest.append(f"{count(int(best['step']))} ({number(best['validation'])})")
    caption = f"Lowest validation loss at round {_listed(lowest)}." if lowest else ""
    legend = tuple((kind, key) for key, kind in CURVE_KINDS.items() if key in drawn)
    return Figure(f"curve.{name}", name, caption, chart.svg(), legend)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) if len(texts) <= 5 else ", ".join([*texts[:4], f"{len(texts) - 4} more"])
