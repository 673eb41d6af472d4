"""A bundle at work in a process of its own: python -m declarative_ml.scoring.worker BUNDLE BYTES.

Says one line when it is ready, then answers each line of stdin with one of stdout (see `scoring.answering`).
What only training needs cannot be imported here, and memory has a limit.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

BLOCKED = (
    "torch", "mlflow", "pandas", "shap", "sklearn", "scipy", "lightgbm", "xgboost", "onnx", "optuna",
    "duckdb", "matplotlib", "pyarrow",
)  # fmt: skip


def main(path: str, most_bytes: int) -> None:
    """Serve the bundle until stdin ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    for name in BLOCKED:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it then fails
    # Answers have a way of their own: a library that prints cannot come between them.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(value: dict[str, Any]) -> None:
        out.write(json.dumps(value).encode() + b"\n")
        out.flush()

    from declarative_ml.core.errors import DmlError
    from declarative_ml.scoring.answering import answer, refusal
    from declarative_ml.scoring.scorer import Scorer
    from declarative_ml.store.bundle import Bundle

    try:
        scorer = Scorer(Bundle.open(path, verify=True))
    except DmlError as error:
        return say(refusal(error))
    say({"ready": True, "model_digest": scorer.bundle.manifest.model_digest})
    for line in sys.stdin.buffer:
        say(answer(scorer, line))
    return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
