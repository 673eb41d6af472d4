"""Explanations by the shap library's own explainers: what `explain_rows` is measured against.

The library sees rows as codes (scoring.shap_sampler), so text columns need no encoding of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from declarative_ml.scoring.shap_sampler import (
    DEFAULT_BUDGET,
    Coded,
    Explanation,
    Predict,
    code_pool,
    exact_evaluations,
)
from declarative_ml.steps.shap_import import import_shap


def explain_with_shap(
    predict: Predict,
    pool: Mapping[str, np.ndarray],
    rows: np.ndarray,
    background: np.ndarray,
    *,
    budget: int = DEFAULT_BUDGET,
    seed: int = 0,
) -> Explanation:
    """SHAP values by shap's ExactExplainer or PermutationExplainer; arguments as in `explain_rows`.

    The permutation explainer gives all background rows the same orders, so at one budget it uses
    fewer of them than `explain_rows` does and varies more.
    """
    shap = import_shap()
    coded = code_pool(predict, pool)
    row_codes = coded.codes[rows].astype("float64")
    back_codes = coded.codes[background].astype("float64")
    model = _Counter(coded)
    outputs = model(row_codes)
    if exact_evaluations(row_codes, back_codes) + len(rows) + len(background) <= budget:
        method: Literal["exact", "permutation"] = "exact"
        kept, masks = back_codes, 2 ** len(coded.names)
    else:
        method = "permutation"
        kept, masks = _fit(row_codes, back_codes, budget)
    base = model(kept).mean(axis=0)
    with _global_generator(seed):
        explainer = _explainer(shap, method, model, kept, seed)
        values = _explain_each(explainer, row_codes, outputs.shape[1], masks)
    return Explanation(coded.names, base, values, outputs, method, model.evaluations, len(kept))


class _Counter:
    """The model as the library calls it: codes [N, M] as floats -> outputs [N, K], counted."""

    def __init__(self, coded: Coded) -> None:
        self._coded = coded
        self.evaluations = 0

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        self.evaluations += len(codes)
        return self._coded.score(codes.astype("int32"))


def _fit(rows: np.ndarray, background: np.ndarray, budget: int) -> tuple[np.ndarray, int]:
    """(background rows to use, masks for each explained row) within the budget."""
    columns = rows.shape[1]
    pair = sum(float((background != row).sum(axis=1).mean()) * 2.0 + 1.0 for row in rows)
    affordable = max(budget - len(rows) - len(background), 0) / max(pair, 1.0)
    pairs = max(int(affordable // len(background)), 1)
    wanted = max(min(int(np.ceil(affordable)), len(background)), 1)
    places = np.linspace(0, len(background) - 1, wanted).round().astype(int)
    return background[places], pairs * (2 * columns + 1)


def _explainer(shap: Any, method: str, model: _Counter, background: np.ndarray, seed: int) -> Any:
    class Codes(shap.maskers.Independent):
        """Equal codes are equal; the library's own comparison has a tolerance."""

        def invariants(self, row: np.ndarray) -> np.ndarray:
            same: np.ndarray = row == self.data
            return same

    masker = Codes(background, max_samples=len(background))
    if method == "exact":
        return shap.ExactExplainer(model, masker)
    return shap.PermutationExplainer(model, masker, seed=seed)


def _explain_each(explainer: Any, rows: np.ndarray, outputs: int, masks: int) -> np.ndarray:
    # One row a call: within a call, shap 0.51 computes unasked main effects from the second row on.
    values = np.zeros((len(rows), rows.shape[1], outputs))
    for number, row in enumerate(rows):
        found = explainer(row[None, :], max_evals=masks, batch_size=2**20, silent=True).values
        values[number] = np.reshape(found, values.shape[1:])
    return values


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    """Seed the generator that shap draws from, and put its state back afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


# Small models over numbers, missing numbers and texts.

CITIES = np.array(["", "Bern", "Oslo", "Rome"], dtype=object)
WORTH = {"": 0.0, "Bern": -1.0, "Oslo": 0.5, "Rome": 2.0}


def make_pool(rows: int, columns: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(columns)
    pool = {}
    for number in range(columns):
        if number % 3 == 2:
            pool[f"c{number}"] = CITIES[draw.integers(0, 4, rows)].reshape(-1, 1)
        else:
            values = draw.integers(0, 8, rows).astype(np.float32)
            pool[f"c{number}"] = np.where(values == 7, np.nan, values).reshape(-1, 1)
    return pool


def numeric(columns) -> np.ndarray:
    return np.stack(
        [
            np.array([WORTH[item] for item in flat])
            if flat.dtype == object
            else np.nan_to_num(flat, nan=-2.0)
            for flat in (values[:, 0] for values in columns.values())
        ],
        axis=1,
    )


def one_output(columns) -> np.ndarray:
    wide = numeric(columns)
    return np.tanh(0.1 * (wide[:, 0] * wide[:, -1] + wide.sum(axis=1)))[:, None]


def three_outputs(columns) -> np.ndarray:
    wide = numeric(columns)
    logits = np.stack([wide[:, 0], wide[:, -1] * 0.5, np.zeros(len(wide))], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
