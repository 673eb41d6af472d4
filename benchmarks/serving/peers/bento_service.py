"""A service of BentoML."""

from __future__ import annotations

from typing import Any

import bentoml
from onnx_model import Model


@bentoml.service(workers=1)
class Bench:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        columns = {name: [row[name] for row in rows] for name in self.model.kinds}
        labels, probabilities = self.model(columns)
        return {"prediction": labels.tolist(), "probabilities": probabilities.tolist()}
