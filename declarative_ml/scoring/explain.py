"""Explanations from a bundle alone: its graph, and the background rows that it carries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.shap_sampler import Explanation, Progress, explain_rows, silent

REQUEST_BUDGET = 20_000
"""Model evaluations for one request: a few tenths of a second for 200 boosted trees."""


def explain_inputs(
    scorer: Scorer,
    inputs: Mapping[str, np.ndarray],
    *,
    budget: int = REQUEST_BUDGET,
    seed: int = 0,
    progress: Progress = silent,
) -> Explanation:
    """SHAP values of the rows in `inputs` (raw columns [R, 1], as `Scorer.raw_rows` gives them).

    The output explained is `Scorer.explained_output`. Raises DataError when the bundle has no
    background rows.
    """
    background = background_rows(scorer)
    rows = len(inputs[scorer.columns[0]])
    pool = {
        name: np.concatenate([np.asarray(inputs[name]).reshape(-1, 1), background[name]])
        for name in scorer.columns
    }
    others = np.arange(rows, rows + len(background[scorer.columns[0]]))
    return explain_rows(
        scorer.explained_output, pool, np.arange(rows), others, budget=budget, seed=seed, progress=progress
    )


def output_names(task: Task) -> list[str]:
    """The names of the K outputs that explanations explain; see `Scorer.explained_output`."""
    if task.type == "number":
        return [task.target]
    return [task.classes[1]] if task.type == "binary" else list(task.classes)


def background_rows(scorer: Scorer) -> dict[str, np.ndarray]:
    """The bundle's background rows as raw columns [B, 1], float32 (null = NaN) or str.

    Raises DataError when there are none, or when they do not fit the model's columns.
    """
    stored = scorer.bundle.reference().get("background") or {}
    if absent := [name for name in scorer.columns if not stored.get(name)]:
        raise DataError(
            f"{scorer.bundle.path}: no background rows for {', '.join(map(repr, absent))}",
            hint="Run again with explain.background set to 1 or more.",
        )
    arrays = {}
    for column in scorer.inputs:
        values = stored[column.name]
        if column.dtype == "float32":
            arrays[column.name] = np.array(values, dtype=np.float32).reshape(-1, 1)
        else:
            texts = np.empty((len(values), 1), dtype=object)
            texts[:, 0] = ["" if value is None else value for value in values]
            arrays[column.name] = texts
    return arrays
