"""Loads a model that was written in MLflow's format: this file travels in the model's folder.

It needs onnxruntime, numpy and pandas, and nothing of the package that trained the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str) -> Loaded:
    """What MLflow calls with the model's `data` folder."""
    return Loaded(Path(path))


class Loaded:
    """The graph and how its answers are called."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        about = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        self._inputs = about["inputs"]
        self._classes = about["classes"]
        self._outputs = about["outputs"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=providers)

    def predict(self, table: Any, params: dict[str, Any] | None = None) -> Any:
        """A DataFrame of typed columns -> a DataFrame with `prediction` and, for classes, `probability`
        (binary: of the positive class; else of the predicted one) and `probability_<class>`. A column that is
        absent counts as missing in every row."""
        import pandas  # type: ignore[import-untyped]

        feed = {item["name"]: self._column(table, item["name"], item["dtype"]) for item in self._inputs}
        found = dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        answers = {name: values[:, 0] for name, values in found.items() if name != "probabilities"}
        if self._classes:
            wide = found["probabilities"]
            answers["probability"] = wide[:, 1] if wide.shape[1] == 2 else wide.max(axis=1, initial=0.0)
            answers |= {f"probability_{name}": wide[:, place] for place, name in enumerate(self._classes)}
        return pandas.DataFrame(answers, index=table.index)

    @staticmethod
    def _column(table: Any, name: str, dtype: str) -> Any:
        """[n, 1] float32 with NaN for missing, or objects of str with "" for missing."""
        import numpy

        column = numpy.empty((len(table), 1), dtype=numpy.float32 if dtype == "float32" else object)
        column[:] = numpy.nan if dtype == "float32" else ""
        if name in table.columns and dtype == "float32":
            column[:, 0] = table[name].to_numpy(dtype=numpy.float64, na_value=numpy.nan)
        elif name in table.columns:
            values = table[name]
            absent = values.isna().to_numpy()
            column[:, 0] = [
                "" if gone else str(value) for value, gone in zip(values.tolist(), absent, strict=True)
            ]
        return column
