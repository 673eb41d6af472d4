"""How to get predictions from a bundle: commands, Python, HTTP, each with a row that the model takes."""

from __future__ import annotations

import json
from typing import Any

from declarative_ml.report.blocks import Block, Code, Words
from declarative_ml.store.bundle import MODEL, Manifest

_PLACE = "bundle"


def how_to_use(manifest: Manifest) -> list[Block]:
    """Examples that run as they are where the bundle is the folder `bundle`."""
    row = {column.name: next(iter(column.field.get("examples", ())), None) for column in manifest.inputs}
    blocks: list[Block] = [
        Words(f"{_PLACE} stands for the folder or the .zip of this model."),
        Code("sh", _commands(row)),
        Words("In Python, columns as they come; text is read as the training data was:"),
        Code("python", _python(row)),
    ]
    if not any(column.reading for column in manifest.inputs):
        blocks += [
            Words("With ONNX Runtime alone:"),
            Code("python", _onnxruntime(manifest, row)),
        ]
    body = json.dumps({"rows": [row]}, ensure_ascii=False)
    return [
        *blocks,
        Words("Over HTTP, when it is served (dml serve):"),
        Code("http", f"POST /predict\nContent-Type: application/json\n\n{body}"),
    ]


def _commands(row: dict[str, Any]) -> str:
    quoted = json.dumps(row, ensure_ascii=False).replace("'", "'\\''")
    return "\n".join(
        [
            f"dml predict {_PLACE} new.csv -o predictions.csv",
            f"dml evaluate {_PLACE} labelled.csv",
            f"dml explain {_PLACE} --row '{quoted}'",
        ]
    )


def _python(row: dict[str, Any]) -> str:
    return "\n".join(
        [
            "from declarative_ml.scoring.scorer import Scorer",
            "from declarative_ml.store.bundle import Bundle",
            "",
            f'scorer = Scorer(Bundle.open("{_PLACE}"))',
            f"print(scorer.predict_rows([{row!r}]).prediction)",
        ]
    )


def _onnxruntime(manifest: Manifest, row: dict[str, Any]) -> str:
    """One row as the graph takes it: numbers as float32, everything else as text."""
    lines = []
    for column in manifest.inputs:
        value = row[column.name]
        if column.dtype == "float32":
            shown = "float('nan')" if value is None else repr(float(value))
            lines.append(f"    {column.name!r}: np.array([[{shown}]], dtype=np.float32),")
        else:
            lines.append(f"    {column.name!r}: np.array([[{value or ''!r}]], dtype=object),")
    return "\n".join(
        [
            "import numpy as np",
            "import onnxruntime",
            "",
            f'session = onnxruntime.InferenceSession("{_PLACE}/{MODEL}")',
            "row = {",
            *lines,
            "}",
            "print(session.run(None, row))",
        ]
    )
