"""A bundle with the interface of scikit-learn's estimators, for code that expects one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from declarative_ml.scoring.plain_columns import plain_columns
from declarative_ml.scoring.scorer import Predictions, Scorer
from declarative_ml.store.bundle import Bundle


class Estimator:
    """A fitted classifier or regressor. Thread-safe, as the scorer is that does its work."""

    def __init__(self, bundle_path: str | Path, *, threads: int = 1) -> None:
        """Open a bundle's folder or .zip. Raises DataError where it is not a bundle, or damaged."""
        self.bundle_path = bundle_path
        self.scorer = Scorer(Bundle.open(bundle_path), threads=threads)
        self.feature_names_in_: np.ndarray = np.array(self.scorer.columns, dtype=object)
        self.n_features_in_: int = len(self.scorer.columns)

    def __repr__(self) -> str:
        return f"Estimator({str(self.bundle_path)!r})"

    @property
    def classes_(self) -> np.ndarray:
        """[C] the labels in the order of `predict_proba`. AttributeError for a number, as sklearn has it."""
        if not self.scorer.task.is_classification:
            raise AttributeError(f"{self.scorer.task.target!r} is a number: the estimator has no classes_")
        return _as_array(self.scorer.labels)

    def predict(self, X: object) -> np.ndarray:
        """[n] labels of the type that the training data had, or float32 numbers.

        `X` is a table of pandas, polars or pyarrow, a mapping of column to values, a list of mappings, or
        a two-dimensional numpy array whose columns are `feature_names_in_` in order. Columns that the
        model does not take are passed over. Raises DataError naming what is missing or does not fit.
        """
        answer = self._score(X).prediction
        return _as_array(answer.tolist()) if self.scorer.task.is_classification else answer

    def predict_proba(self, X: object) -> np.ndarray:
        """[n, C] float32 probabilities in the order of `classes_`. Raises AttributeError for a number."""
        answer = self._score(X).probabilities if self.scorer.task.is_classification else None
        if answer is None:
            raise AttributeError(f"{self.scorer.task.target!r} is a number: there are no probabilities")
        return answer

    def _score(self, X: object) -> Predictions:
        return self.scorer.predict_columns(plain_columns(X, self.scorer.columns), ignore_extra=True)


def _as_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels as numpy's bool, int64 or objects of str."""
    kinds = {type(label) for label in labels}
    if kinds == {bool} or kinds == {int}:
        return np.array(labels)
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
