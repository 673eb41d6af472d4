"""A bundle with the interface of scikit-learn's estimators, for code that expects one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from declarative_ml.core.errors import DataError
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
        return self.scorer.predict_columns(self._columns(X), ignore_extra=True)

    def _columns(self, X: Any) -> Mapping[str, Sequence[Any]]:
        """The columns of whatever `X` is, each a list of plain values with None for missing."""
        if isinstance(X, np.ndarray):
            return self._of_array(X)
        if isinstance(X, Mapping):
            return {str(name): _values(column) for name, column in X.items()}
        if isinstance(X, Sequence) and not isinstance(X, (str, bytes)):
            return self._of_rows(X)
        if hasattr(X, "column_names") and hasattr(X, "to_pydict"):  # pyarrow.Table
            return dict(zip(X.column_names, (column.to_pylist() for column in X.columns)))
        if hasattr(X, "schema") and hasattr(X, "to_pydict"):  # pyarrow.RecordBatch
            return dict(zip(X.schema.names, (column.to_pylist() for column in X.columns)))
        if hasattr(X, "columns") and hasattr(X, "__getitem__"):  # pandas, polars
            return self._of_frame(X)
        raise DataError(
            f"a {type(X).__name__} is no table",
            hint="Give a DataFrame, an Arrow table, a dict of columns, a list of dicts or a 2-D array.",
        )

    def _of_frame(self, X: Any) -> dict[str, Sequence[Any]]:
        names = [name for name in X.columns if str(name) in self.scorer.columns]
        if twice := sorted(
            {str(name) for name in names if [str(other) for other in names].count(str(name)) > 1}
        ):
            raise DataError(
                f"the table has several columns called {', '.join(map(repr, twice))}",
                hint="Give each column a name of its own.",
            )
        return {str(name): _values(X[name]) for name in names}

    def _of_array(self, X: np.ndarray) -> dict[str, Sequence[Any]]:
        if X.ndim != 2:
            raise DataError(
                f"the array has {X.ndim} dimension(s), not 2: rows and columns",
                hint="One row is X.reshape(1, -1).",
            )
        if X.shape[1] != self.n_features_in_:
            raise DataError(
                f"the array has {X.shape[1]} columns, the model takes {self.n_features_in_}",
                hint=f"In this order: {', '.join(self.scorer.columns)}.",
            )
        return {name: _values(X[:, place]) for place, name in enumerate(self.scorer.columns)}

    def _of_rows(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(
                    f"row {number + 1} is {row!r}, not a mapping of column to value",
                    hint="Rows without names go in a two-dimensional numpy array.",
                )
            if absent := [name for name in self.scorer.columns if name not in row]:
                raise DataError(
                    f"row {number + 1} lacks the column(s) {', '.join(map(repr, absent))}",
                    hint="Send None where a value is not known.",
                )
        return {name: [row[name] for row in rows] for name in self.scorer.columns}


def _values(column: Any) -> list[Any]:
    """Plain values of a column; what pandas calls missing (NaN, NaT, NA) is None."""
    found = column.tolist() if hasattr(column, "tolist") else list(column)
    return [None if _is_missing(value) else value for value in found]


def _is_missing(value: Any) -> bool:
    # By name: the wrapper works without pandas.
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _as_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels as numpy's bool, int64 or objects of str."""
    kinds = {type(label) for label in labels}
    if kinds == {bool} or kinds == {int}:
        return np.array(labels)
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
