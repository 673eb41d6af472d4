"""One request in, one answer out: JSON bodies as the HTTP service takes them, without the HTTP."""

from __future__ import annotations

import json
from typing import Any

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.scoring.scorer import Predictions, Scorer


def answer(scorer: Scorer, body: bytes) -> dict[str, Any]:
    """`{"rows": [{column: value}]}` to `{"predictions": [{"prediction", "probabilities"}]}`, or for a request
    that cannot be answered to `{"error": {"message", "hint"}}`."""
    try:
        return {"predictions": _predictions(scorer, scorer.predict_rows(_rows(body)))}
    except DmlError as error:
        return refusal(error)


def refusal(error: DmlError) -> dict[str, Any]:
    """An error as the body that a client gets."""
    return {"error": {"message": error.message, "hint": error.hint}}


def _rows(body: bytes) -> list[Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the request is not JSON: {error}", hint='{"rows": [{"column": 1}]}') from error
    rows = request.get("rows") if isinstance(request, dict) else None
    if not isinstance(rows, list):
        raise DataError("the request has no list of rows", hint='{"rows": [{"column": 1}]}')
    if not rows:
        raise DataError("the request has no row", hint="send one at least")
    return rows


def _predictions(scorer: Scorer, scored: Predictions) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = [{"prediction": label} for label in scored.prediction.tolist()]
    if scored.probabilities is not None:
        for item, row in zip(answers, scored.probabilities.tolist(), strict=True):
            item["probabilities"] = dict(zip(scorer.task.classes, row, strict=True))
    if scored.lower is not None and scored.upper is not None:
        for item, low, high in zip(answers, scored.lower.tolist(), scored.upper.tolist(), strict=True):
            item |= {"lower": low, "upper": high}
    return answers
