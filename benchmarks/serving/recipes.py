"""What each peer needs, pinned; see `benchmarks.environments` for how an environment is made."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.environments import Recipe

_SERVER = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
_ONNX = ("onnxruntime==1.31.1", "numpy==2.3.5")

RECIPES: Mapping[str, Recipe] = {
    "floor": Recipe((_SERVER,)),
    "fastapi": Recipe(((*_SERVER, "fastapi==0.165.0", *_ONNX),)),
    "mlserver": Recipe((("mlserver==1.7.1", "onnxruntime==1.31.1"),)),
    "mlflow": Recipe((("mlflow==3.17.2", "onnx==1.23.2", *_ONNX),)),
    "bentoml": Recipe((("bentoml==1.4.30", "onnxruntime==1.31.1"),)),
}
