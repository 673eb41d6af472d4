"""The pictures of a comparison: two models in one frame, the first in grey, the second in colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.learning.metrics import calibration_curve
from declarative_ml.learning.ranks import precision_recall_curve, roc_curve
from declarative_ml.report.charts import Figure, bounds, scatter, share_axis
from declarative_ml.report.comparison import Comparison
from declarative_ml.report.svg import Axis, Chart, percent_labels
from declarative_ml.report.wording import number

if TYPE_CHECKING:
    import numpy as np

    Tested = tuple[np.ndarray, np.ndarray]
    """Truth [N] and predictions [N, classes] or [N]."""

KINDS = ("muted", "accent")
SIDES = ("first", "second")


def compare_figures(found: Comparison) -> list[Figure]:
    """The charts that fit the task, on the shared rows or else on each one's own; none without both."""
    tested = _tested(found)
    if tested is None:
        return []
    task = found.second.content.task
    legend = tuple(zip(KINDS, SIDES))
    if task.type == "number":
        drawn = [_reach(*tested), _tenths(task.target, *tested)]
    elif task.type == "binary":
        drawn = _binary(found, [(truth, prediction[:, 1]) for truth, prediction in tested])
    else:
        drawn = [_calibration([_best(*each) for each in tested], "probability")]
    figures = [Figure(name, title, caption, chart.svg(), legend) for name, title, caption, chart in drawn]
    return [*figures, *_agreement(found)]


Drawn = tuple[str, str, str, Chart]


def _tested(found: Comparison) -> list[Tested] | None:
    if found.shared is not None:
        shared = found.shared
        return [(shared.truth, shared.first), (shared.truth, shared.second)]
    contents = found.first.content, found.second.content
    if contents[0].task != contents[1].task:
        return None
    own = [
        (content.truth, content.prediction)
        for content in contents
        if content.truth is not None and content.prediction is not None
    ]
    return own if len(own) == 2 else None


def _best(truth: np.ndarray, prediction: np.ndarray) -> Tested:
    """Whether the answer is right, and the probability of it."""
    return (prediction.argmax(axis=1) == truth).astype(int), prediction.max(axis=1)


def _binary(found: Comparison, tested: list[Tested]) -> list[Drawn]:
    drawn = [_calibration(tested, "probability of the positive class")]
    if all(0 < truth.sum() < len(truth) for truth, _ in tested):
        thresholds = [side.content.threshold for side in (found.first, found.second)]
        drawn = [_roc(tested, thresholds), _precision_recall(tested), *drawn]
    return drawn


def _roc(tested: list[Tested], thresholds: list[float]) -> Drawn:
    chart = Chart(
        share_axis("false positive rate"), share_axis("true positive rate"), "ROC curves of both models"
    )
    chart.segment((0, 0), (1, 1))
    for kind, (truth, scores), threshold in zip(KINDS, tested, thresholds):
        false_rate, true_rate, _ = roc_curve(truth, scores)
        chart.line(false_rate, true_rate, kind)
        yes = scores >= threshold
        chart.dots([float(yes[truth == 0].mean())], [float(yes[truth == 1].mean())], kind, radius=4.5)
    caption = "The dots are the thresholds. Dashed: guessing."
    return "roc", "Found against false alarms (ROC)", caption, chart


def _precision_recall(tested: list[Tested]) -> Drawn:
    chart = Chart(share_axis("recall"), share_axis("precision"), "Precision against recall of both models")
    for kind, (truth, scores) in zip(KINDS, tested):
        precision, recall, _ = precision_recall_curve(truth, scores)
        chart.line(recall, precision, kind)
    caption = "How pure the answers are when more of the positives are to be found."
    return "precision_recall", "Precision against recall", caption, chart


def _calibration(tested: list[Tested], what: str) -> Drawn:
    chart = Chart(share_axis(f"predicted {what}"), share_axis("observed share"), "Calibration of both models")
    chart.segment((0, 0), (1, 1))
    for kind, (truth, scores) in zip(KINDS, tested):
        predicted, observed, rows = calibration_curve(truth, scores)
        chart.line(predicted, observed, kind)
        largest = float(rows.max())
        for x, y, size in zip(predicted, observed, rows):
            chart.dots([x], [y], kind, radius=2.5 + 4.0 * (float(size) / largest) ** 0.5)
    caption = "The nearer to the dashed line, the truer the probabilities. Larger dots hold more rows."
    return "calibration", "Are the probabilities true?", caption, chart


def _reach(first: Tested, second: Tested) -> Drawn:
    """Share of rows with at most so large an error (Bi & Bennett, ICML 2003)."""
    import numpy as np

    errors = [np.sort(np.abs(truth - prediction)) for truth, prediction in (first, second)]
    most = max(float(np.quantile(error, 0.98)) for error in errors) or 1.0
    chart = Chart(Axis(0.0, most, "error"), share_axis("rows with no larger error"), "Errors of both models")
    for kind, error in zip(KINDS, errors):
        inside = error[error <= most]
        chart.line(inside, np.arange(1, len(inside) + 1) / len(error), kind)
    halves = " and ".join(number(float(np.median(error))) for error in errors)
    caption = f"The higher curve errs less. Half of the errors are below {halves}."
    return "errors", "Size of the errors", caption, chart


def _tenths(target: str, first: Tested, second: Tested) -> Drawn:
    import numpy as np

    points = []
    for truth, prediction in (first, second):
        order = np.argsort(prediction, kind="stable")
        parts = [part for part in np.array_split(order, 10) if len(part)]
        points.append(([prediction[part].mean() for part in parts], [truth[part].mean() for part in parts]))
    both = Axis.around([value for pair in points for values in pair for value in values])
    chart = Chart(
        Axis(both.low, both.high, f"mean predicted {target}"),
        Axis(both.low, both.high, f"mean actual {target}"),
        "Mean predicted against mean actual value in tenths of the rows, both models",
    )
    chart.segment((both.low, both.low), (both.high, both.high))
    for kind, (predicted, actual) in zip(KINDS, points):
        chart.line(predicted, actual, kind)
        chart.dots(predicted, actual, kind, radius=3.5)
    caption = "Rows in ten groups by prediction. Off the dashed line a model is wrong on average."
    return "tenths", "Right on average?", caption, chart


def _agreement(found: Comparison) -> list[Figure]:
    """Each shared row by what the two say of it; not for more than two classes."""
    shared, task = found.shared, found.second.content.task
    if shared is None or task.type == "multiclass" or found.same_model:
        return []
    if task.type == "binary":
        first, second = shared.first[:, 1], shared.second[:, 1]
        x, y = (Axis(0.0, 1.0, side, percent_labels) for side in SIDES)
    else:
        first, second = shared.first, shared.second
        low, high = bounds(first, second)
        x, y = (Axis(low, high, side) for side in SIDES)
    chart = Chart(x, y, "Predictions of the first against those of the second, one dot a row")
    chart.segment((x.low, y.low), (x.high, y.high))
    scatter(chart, first, second)
    what = f"the probability of {task.positive}" if task.positive else task.target
    caption = f"Each dot is a row: {what} by the first and by the second. On the dashed line they agree."
    return [Figure("agreement", "Do they agree?", caption, chart.svg())]
