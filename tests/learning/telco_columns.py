"""Telco churn as raw columns, with an error planted in the labels of the test rows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from declarative_ml.learning.conditions import RawColumn

NUMBERS = ("tenure", "MonthlyCharges", "TotalCharges")


class Telco:
    """All rows, which of them belong to the planted segment, and a matrix for a plain model."""

    def __init__(self, folder: Path) -> None:
        with (folder / "telco_churn" / "data.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        self.names = [name for name in rows[0] if name not in ("customerID", "Churn")]
        self.values = {
            name: np.array([float(row[name].strip() or "nan") for row in rows])
            if name in NUMBERS
            else np.array([row[name] for row in rows], dtype=object)
            for name in self.names
        }
        self.churn = np.array([row["Churn"] == "Yes" for row in rows]).astype(np.int64)
        self.planted = (self.values["Contract"] == "One year") & (self.values["tenure"] < 12)

    def columns(self, rows: np.ndarray) -> list[RawColumn]:
        return [
            RawColumn(name, "number" if name in NUMBERS else "category", self.values[name][rows])
            for name in self.names
        ]

    def matrix(self) -> np.ndarray:
        """Standardised numbers and one column a level [N, M]."""
        parts = []
        for values in self.values.values():
            if values.dtype == object:
                parts += [(values == level).astype(float) for level in sorted(set(values))]
            else:
                parts.append(np.nan_to_num(values))
        whole = np.stack(parts, axis=1)
        return (whole - whole.mean(axis=0)) / (whole.std(axis=0) + 1e-9)


def split(seed: int, rows: int, test: int = 1409) -> np.ndarray:
    """Which rows are test rows, bool [N]."""
    chosen = np.zeros(rows, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(rows)[:test]] = True
    return chosen
