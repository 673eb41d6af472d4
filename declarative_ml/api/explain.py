"""Why the model predicts what it does: stored SHAP values, or fresh ones for rows that are given."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.scoring.explain import explain_inputs, output_names
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.shap_sampler import DEFAULT_BUDGET
from declarative_ml.scoring.table import raw_inputs
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_ROWS = 1_000
_EXPLANATION = "explanation.json"


def stored(bundle: Bundle) -> dict[str, Any]:
    """The explanation that the run made: importance by feature and the explained rows.

    Raises UsageError when the run made none.
    """
    if _EXPLANATION not in bundle.manifest.files:
        raise UsageError("this bundle holds no explanation", hint="give rows: --row JSON or --rows FILE")
    import numpy as np

    about = json.loads(bundle.read(_EXPLANATION))
    with np.load(io.BytesIO(bundle.read("explanation.npz")), allow_pickle=False) as arrays:
        rows = _rows(
            about["names"], about["outputs"], arrays["base"], arrays["values"], arrays["predictions"]
        )
    return {
        "features": about["importance"],
        "rows": rows,
        "method": about["method"],
        "outputs": about["outputs"],
        "task": bundle.manifest.task.type,
    }


def explain(
    bundle: Bundle,
    *,
    row: str | None = None,
    rows: str | pa.Table | None = None,
    seed: int | None = None,
    shaped: bool = False,
) -> dict[str, Any]:
    """SHAP values of one row given as JSON, or of the rows of a file or table (the first 1,000 of them);
    what the run has stored where neither is given.

    `seed` is that of the run unless given: for the rows that the run explained, the values are equal.
    Columns that the JSON leaves out are missing. `shaped`: data.sql has been applied to the rows.
    Raises UsageError for JSON that is not an object, DataError for values that do not fit and where
    there are no rows.
    """
    if row is None and rows is None:
        return stored(bundle)
    scorer = Scorer(bundle)
    inputs = _table_inputs(scorer, rows, shaped=shaped) if rows is not None else _row_inputs(scorer, str(row))
    seed = _seed(bundle) if seed is None else seed
    found = explain_inputs(scorer, inputs, budget=DEFAULT_BUDGET, seed=seed)
    outputs = output_names(scorer.task)
    ranked = sorted(zip(found.names, found.mean_absolute().tolist()), key=lambda item: (-item[1], item[0]))
    return {
        "features": [{"feature": name, "mean_abs_shap": value} for name, value in ranked],
        "rows": _rows(list(found.names), outputs, found.base, found.values, found.predictions),
        "method": found.method,
        "outputs": outputs,
        "task": scorer.task.type,
    }


def _seed(bundle: Bundle) -> int:
    if _EXPLANATION not in bundle.manifest.files:
        return 0
    return int(json.loads(bundle.read(_EXPLANATION)).get("seed", 0))


def _row_inputs(scorer: Scorer, row: str) -> dict[str, np.ndarray]:
    try:
        values = json.loads(row)
    except ValueError as error:
        raise UsageError(f"--row is not JSON: {error}", hint="""--row '{"age": 39}'""") from error
    if not isinstance(values, dict):
        raise UsageError("--row must be a JSON object", hint="""--row '{"age": 39}'""")
    complete = {**dict.fromkeys(scorer.columns), **values}
    return scorer.raw_rows([complete])[0]


def _table_inputs(scorer: Scorer, rows: str | pa.Table, *, shaped: bool) -> dict[str, np.ndarray]:
    import numpy as np

    from declarative_ml.api.predict import model_rows, read

    parts: list[dict[str, np.ndarray]] = []
    count = 0
    for batch in model_rows(scorer.bundle, read(rows), shaped=shaped):
        part = batch.slice(0, MAX_ROWS - count)
        parts.append(raw_inputs(scorer, part, first_row=count + 1))
        count += part.num_rows
        if count >= MAX_ROWS:
            break
    if not count:
        raise DataError(f"{rows if isinstance(rows, str) else 'the table'} has no rows")
    return {name: np.concatenate([part[name] for part in parts]) for name in scorer.columns}


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
