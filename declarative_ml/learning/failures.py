"""Where a model fails, and who the rows are that it predicts badly: findings with numbers, as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.learning.conditions import RawColumn, shown_cell
from declarative_ml.learning.contrasts import contrasts
from declarative_ml.learning.intervals import interval
from declarative_ml.learning.metrics import labels, score
from declarative_ml.learning.row_losses import LEAST_PROBABILITY, row_losses
from declarative_ml.learning.segments import Search, Segment, find_segments

WORST = 0.2
"""Share of the rows that count as badly predicted."""
EXAMPLES = 5
_CONTRASTS, _OWN_CONTRASTS = 6, 3
_EXAMPLE_COLUMNS = 6
_LONGEST_TEXT = 120


@dataclass(frozen=True)
class Judged:
    """Rows that a model has answered."""

    task: Task
    columns: Sequence[RawColumn]
    truth: np.ndarray
    """Class numbers or values [N]."""
    prediction: np.ndarray
    """Probabilities [N, classes] or values [N]."""
    primary: str
    """The primary metric."""
    threshold: float = 0.5
    seed: int = 0
    champion: np.ndarray | None = None
    """What another model says of the same rows, where there is one."""


def find_failures(judged: Judged) -> dict[str, Any]:
    """The segments where the model is clearly worse than elsewhere, what sets badly predicted rows apart,
    and, beside a champion, the segments where it is clearly worse than the champion.

    JSON; see steps.segments.
    """
    loss, bound = row_losses(judged.truth, judged.prediction)
    rival = None if judged.champion is None else row_losses(judged.truth, judged.champion, bound)[0]
    search = find_segments(judged.columns, loss)
    bad = worst_rows(loss)
    found: dict[str, Any] = {
        "rows": len(loss),
        "columns": len(judged.columns),
        "compared": search.compared,
        "least_rows": search.least_rows,
        "loss": _mean(loss),
        "bound": bound,
        "segments": _findings(judged, search, loss, rival, bad),
        "contrasts": [asdict(item) for item in contrasts(judged.columns, bad, ~bad, _CONTRASTS)],
        "bad_rows": int(bad.sum()),
        "champion": None,
    }
    if rival is not None:
        worse = find_segments(judged.columns, loss - rival, level=0.0)
        found["champion"] = {
            "loss": _mean(rival),
            "compared": worse.compared,
            "segments": _findings(judged, worse, loss, rival, bad),
        }
    return found


def worst_rows(loss: np.ndarray) -> np.ndarray:
    """The fifth of the rows with the highest loss, bool [N]; fewer where many are equal."""
    if not len(loss):
        return np.zeros(0, dtype=bool)
    return np.asarray(loss > np.quantile(loss, 1 - WORST))


def _findings(
    judged: Judged, search: Search, loss: np.ndarray, rival: np.ndarray | None, bad: np.ndarray
) -> list[dict[str, Any]]:
    return [_finding(judged, segment, loss, rival, bad) for segment in search.segments]


def _finding(
    judged: Judged, segment: Segment, loss: np.ndarray, rival: np.ndarray | None, bad: np.ndarray
) -> dict[str, Any]:
    """One segment with all that is told of it."""
    inside = segment.mask
    own = {item.column for item in segment.conditions}
    others = [column for column in judged.columns if column.name not in own]
    apart = contrasts(others, inside & bad, ~bad, _OWN_CONTRASTS)
    found = {
        "segment": str(segment),
        "rows": segment.rows,
        "share": segment.rows / len(loss),
        "bad_rows": int((inside & bad).sum()),
        "loss": {"inside": _mean(loss[inside]), "outside": _mean(loss[~inside])},
        "excess": [segment.inside - segment.outside, segment.low, segment.high],
        "effect": segment.effect,
        "p": segment.p,
        "metrics": _metrics(judged, judged.prediction, inside),
        "outside": _metrics(judged, judged.prediction, ~inside),
        "interval": _interval(judged, inside),
        "answers": _answers(judged, inside, loss),
        "contrasts": [asdict(item) for item in apart],
        "examples": _examples(judged, inside, loss, [*own, *(item.column for item in apart)]),
        "champion": None,
    }
    if judged.champion is not None and rival is not None:
        found["champion"] = {
            "loss": _mean(rival[inside]),
            "metrics": _metrics(judged, judged.champion, inside),
        }
    return found


def shown_metrics(task: Task, primary: str) -> list[str]:
    """The metrics that findings are told by: the primary one, and one that few rows define."""
    plain = "accuracy" if task.is_classification else "mae"
    return list(dict.fromkeys([primary, plain]))


def _metrics(judged: Judged, prediction: np.ndarray, rows: np.ndarray) -> dict[str, float | None]:
    return {
        name: _finite(
            score(name, judged.task, judged.truth[rows], prediction[rows], threshold=judged.threshold)
        )
        for name in shown_metrics(judged.task, judged.primary)
    }


def _interval(judged: Judged, rows: np.ndarray) -> dict[str, list[float]]:
    """Metric -> 95 % interval among some rows, where defined."""
    found = {}
    for name in shown_metrics(judged.task, judged.primary):
        part = judged.truth[rows], judged.prediction[rows]
        ends = interval(name, judged.task, *part, threshold=judged.threshold, seed=judged.seed)
        if all(map(math.isfinite, ends)):
            found[name] = list(ends)
    return found


def _answers(judged: Judged, rows: np.ndarray, loss: np.ndarray) -> dict[str, Any]:
    """What the model says of some rows on average, and what is so."""
    truth, prediction = judged.truth[rows], judged.prediction[rows]
    if not judged.task.is_classification:
        return {"said": _mean(prediction), "so": _mean(truth)}
    wrong = int((labels(prediction, judged.threshold) != truth).sum())
    if judged.task.type == "binary":
        said, so = _mean(prediction[:, 1]), _mean(truth == 1)
    else:
        said, so = _mean(prediction.max(axis=1)), _mean(prediction.argmax(axis=1) == truth)
    return {"said": said, "so": so, "wrong": wrong, "surprise": _surprise(prediction, loss[rows])}


def _surprise(prediction: np.ndarray, loss: np.ndarray) -> float:
    """Standard errors by which the loss is above what the probabilities themselves expect.

    Near 0, the rows are hard and the model says so; far above, it is sure of what is not so.
    """
    each = -np.log(np.maximum(prediction, LEAST_PROBABILITY))
    expected = (prediction * each).sum(axis=1)
    variance = (prediction * each**2).sum(axis=1) - expected**2
    deviation = math.sqrt(max(float(variance.sum()), 1e-12))
    return float((loss - expected).sum()) / deviation


def _examples(
    judged: Judged, rows: np.ndarray, loss: np.ndarray, first: Sequence[str]
) -> list[dict[str, Any]]:
    """The worst of some rows, with the columns of `first` and a few more."""
    names = list(dict.fromkeys([*first, *(column.name for column in judged.columns)]))[:_EXAMPLE_COLUMNS]
    columns = {column.name: column for column in judged.columns}
    places = np.flatnonzero(rows)
    worst = places[np.argsort(-loss[places], kind="stable")][:EXAMPLES].tolist()
    return [
        {
            "row": place,
            "values": [[name, _cut(shown_cell(columns[name], place))] for name in names],
            "truth": _truth(judged, place),
            "prediction": _prediction(judged, judged.prediction, place),
            "champion": None if judged.champion is None else _prediction(judged, judged.champion, place),
            "loss": float(loss[place]),
        }
        for place in worst
    ]


def _truth(judged: Judged, row: int) -> str | float:
    value = judged.truth[row]
    return judged.task.classes[int(value)] if judged.task.is_classification else float(value)


def _prediction(judged: Judged, prediction: np.ndarray, row: int) -> dict[str, Any]:
    """The answer to one row: a class with its probability, or a number."""
    if not judged.task.is_classification:
        return {"answer": float(prediction[row])}
    answer = int(labels(prediction[row : row + 1], judged.threshold)[0])
    return {"answer": judged.task.classes[answer], "probability": float(prediction[row, answer])}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
