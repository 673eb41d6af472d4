"""Why the model predicts what it does: stored SHAP values, or fresh ones for rows that are given."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.shap_sampler import Explanation, explain_rows
from declarative_ml.scoring.table import raw_inputs
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

MAX_ROWS = 1_000


def stored(bundle: Bundle) -> dict[str, Any]:
    """The explanation that the run made: importance by feature and the explained rows.

    Raises UsageError when the run made none.
    """
    if "explanation.json" not in bundle.manifest.files:
        raise UsageError("this bundle holds no explanation", hint="give rows: --row JSON or --rows FILE")
    import numpy as np

    about = json.loads(bundle.read("explanation.json"))
    with np.load(io.BytesIO(bundle.read("explanation.npz")), allow_pickle=False) as arrays:
        rows = _rows(
            about["names"], about["outputs"], arrays["base"], arrays["values"], arrays["predictions"]
        )
    return {
        "features": about["importance"],
        "rows": rows,
        "method": about["method"],
        "outputs": about["outputs"],
    }


def explain(
    bundle: Bundle, *, row: str | None = None, rows: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """SHAP values of one row given as JSON, or of the rows of a file (at most 1,000)."""
    import numpy as np

    scorer = Scorer(bundle)
    inputs = _inputs(scorer, row, rows)
    background = bundle.reference()["background"]
    known, _ = scorer.raw_columns(background, strict=False)
    pool = {
        name: np.concatenate([inputs[name].reshape(-1, 1), known[name].reshape(-1, 1)]) for name in inputs
    }
    count = len(next(iter(inputs.values())))
    total = len(next(iter(pool.values())))
    found = _explain(scorer, pool, np.arange(count), np.arange(count, total), seed)
    outputs = _outputs(scorer)
    ranked = sorted(zip(found.names, found.mean_absolute().tolist()), key=lambda item: (-item[1], item[0]))
    return {
        "features": [{"feature": name, "mean_abs_shap": value} for name, value in ranked],
        "rows": _rows(list(found.names), outputs, found.base, found.values, found.predictions),
        "method": found.method,
        "outputs": outputs,
    }


def _inputs(scorer: Scorer, row: str | None, rows: str | None) -> dict[str, np.ndarray]:
    import numpy as np

    if row is not None:
        try:
            values = json.loads(row)
        except ValueError as error:
            raise UsageError(f"--row is not JSON: {error}", hint="""--row '{"age": 39}'""") from error
        if not isinstance(values, dict):
            raise UsageError("--row must be a JSON object", hint="""--row '{"age": 39}'""")
        complete = {**dict.fromkeys(scorer.columns), **values}
        return scorer.raw_rows([complete])[0]
    from declarative_ml.api.predict import model_rows, read

    taken: list[Any] = []
    count = 0
    for batch in model_rows(scorer.bundle, read(str(rows))):
        part = batch.slice(0, MAX_ROWS - count)
        taken.append(raw_inputs(scorer, part))
        count += part.num_rows
        if count >= MAX_ROWS:
            break
    if not count:
        raise DataError(f"{rows} has no rows")
    return {name: np.concatenate([part[name] for part in taken]) for name in scorer.columns}


def _explain(
    scorer: Scorer, pool: Mapping[str, np.ndarray], rows: np.ndarray, background: np.ndarray, seed: int
) -> Explanation:
    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        import numpy as np

        answer = scorer.predict_raw(inputs)
        if answer.probabilities is None:
            return np.asarray(answer.prediction, dtype=np.float64).reshape(-1, 1)
        wide = np.asarray(answer.probabilities, dtype=np.float64)
        return wide[:, 1:] if scorer.task.type == "binary" else wide

    if installed("shap"):
        from declarative_ml.steps.explain_shap import explain_with_shap

        return explain_with_shap(predict, pool, rows, background, seed=seed)
    return explain_rows(predict, pool, rows, background, seed=seed)


def _outputs(scorer: Scorer) -> list[str]:
    task = scorer.task
    if task.type == "number":
        return [task.target]
    return [task.classes[1]] if task.type == "binary" else list(task.classes)


def _rows(
    names: list[str], outputs: list[str], base: np.ndarray, values: np.ndarray, predictions: np.ndarray
) -> list[dict[str, Any]]:
    """Per row and output: prediction, base and values. One output is written without its name."""

    def flat(row: np.ndarray) -> Any:
        return float(row[0]) if len(outputs) == 1 else dict(zip(outputs, map(float, row), strict=True))

    return [
        {
            "prediction": flat(predictions[place]),
            "base": flat(base),
            "values": {name: flat(values[place, number]) for number, name in enumerate(names)},
        }
        for place in range(len(predictions))
    ]
