"""Measure a bundle on labelled rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.api.predict import model_rows, read
from declarative_ml.core.columns import apply_rule, raw_column
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.learning.coverage import interval_quality
from declarative_ml.learning.metrics import default_metrics, score
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.table import raw_inputs
from declarative_ml.steps.table import require_columns
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def evaluate(
    bundle: Bundle, data: str | pa.Table, slices: Sequence[str] = (), *, shaped: bool = False
) -> dict[str, Any]:
    """All metrics of the model on the rows of a file or table, and by value of the slice columns; with
    prediction intervals, `interval` says how many rows they cover (see learning.coverage).

    `shaped`: data.sql has been applied to the rows. Rows without a target are left out. Raises DataError
    when the rows have no target column, or labels that the model does not know.
    """
    import numpy as np

    scorer = Scorer(bundle)
    truths: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    labels: dict[str, list[str]] = {name: [] for name in slices}
    skipped = 0
    for batch in model_rows(bundle, read(data), shaped=shaped):
        require_columns(batch.schema.names, [bundle.manifest.task.target, *slices])
        truth, present = truth_of(bundle, batch)
        skipped += int((~present).sum())
        scored = scorer.predict_raw(raw_inputs(scorer, batch))
        answer = scored.probabilities if scored.probabilities is not None else scored.prediction
        truths.append(truth[present])
        answers.append(np.asarray(answer, dtype=np.float64)[present])
        if scored.lower is not None and scored.upper is not None:
            ends.append(np.stack([scored.lower, scored.upper], axis=1)[present])
        for name in slices:
            labels[name] += np.asarray(raw_column(batch.column(name), "string").to_pylist())[present].tolist()
    truth, answer = np.concatenate(truths), np.concatenate(answers)
    if not len(truth):
        raise DataError(f"no row has a value of the target '{bundle.manifest.task.target}'")
    result: dict[str, Any] = {"rows": len(truth), "metrics": _scores(bundle, truth, answer), "slices": []}
    if bundle.manifest.interval is not None:
        lower, upper = np.concatenate(ends).astype(np.float64).T
        result["interval"] = interval_quality(truth, lower, upper, bundle.manifest.interval)
    if skipped:
        result["rows_without_target"] = skipped
    for name, texts in labels.items():
        values = np.asarray(texts, dtype=object)
        for value in sorted(set(texts)):
            chosen = values == value
            result["slices"].append(
                {
                    "slice": f"{name} = {value or '(missing)'}",
                    "rows": int(chosen.sum()),
                    "metrics": _scores(bundle, truth[chosen], answer[chosen]),
                }
            )
    return result


def truth_of(bundle: Bundle, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers or values of the target, and where it is present."""
    import numpy as np

    manifest = bundle.manifest
    task, rule = manifest.task, manifest.target_rule or ColumnRule(type="text")
    typed = apply_rule(batch.column(task.target), rule, manifest.missing, column=task.target)
    present = ~np.asarray(typed.is_null(nan_is_null=True))
    if not task.is_classification:
        return np.asarray(typed.cast("float64").fill_null(0.0)), present
    texts = raw_column(typed, "string").to_pylist()
    place = {name: number for number, name in enumerate(task.classes)}
    unknown = sorted({text for text in texts if text and text not in place})
    if unknown:
        raise DataError(
            f"the target '{task.target}' has labels that the model does not know: {', '.join(unknown[:5])}",
            hint=f"it knows {', '.join(task.classes[:10])}",
        )
    return np.asarray([place.get(text, 0) for text in texts]), present


def _scores(bundle: Bundle, truth: np.ndarray, answer: np.ndarray) -> dict[str, float | None]:
    task = bundle.manifest.task
    threshold = 0.5 if bundle.manifest.threshold is None else bundle.manifest.threshold
    found = {name: score(name, task, truth, answer, threshold=threshold) for name in default_metrics(task)}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
