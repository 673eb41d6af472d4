from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.trackers.base import TrackContent


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """age and sex, [N, 1] each -> probabilities [N, 2] and label [N, 1]."""
    graph = OnnxGraph()
    age, sex = graph.input("age", "float32"), graph.input("sex", "string")
    is_male = graph.cast(graph.add("Equal", [sex, graph.constant(["male"])]), "float32")
    score = graph.add("Sigmoid", [graph.add("Add", [age, is_male])])
    rest = graph.add("Sub", [graph.constant(np.ones((1, 1), dtype=np.float32)), score])
    graph.output(graph.concat([rest, score]), "probabilities", "float32", 2)
    graph.output(sex, "label", "string", 1)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(graph.build("tiny", {}).SerializeToString())
    return path


@pytest.fixture
def make_content(onnx_file: Path) -> Callable[..., TrackContent]:
    def make(key: str = "key-1", **fields: Any) -> TrackContent:
        standard: dict[str, Any] = {
            "experiment": "adult",
            "run_name": "first",
            "metrics": {"test.roc_auc": 0.93, "test.undefined": float("nan")},
            "params": {"model": {"type": "lightgbm"}, "seed": 42},
            "tags": {"dml.spec": "abc"},
            "description": "who earns more",
            "curves": {"train.lightgbm.fold0": [{"step": i, "train": 1 / i} for i in range(1, 1202)]},
            "files": {"report.html": "<p>report", "plots/roc.svg": b"<svg/>", "spec.yaml": onnx_file},
            "dataset_name": "adult",
            "dataset_digest": "f" * 64,
            "dataset_source": "data/adult.csv",
            "rows": {"train": 100, "test": 20},
            "model": onnx_file,
            "inputs": {"age": "float32", "sex": "string"},
            "outputs": {"probabilities": "float32[2]", "label": "string[1]"},
            "example": {"age": [1.0, -2.0], "sex": ["male", "female"]},
            "requirements": ["onnxruntime"],
        }
        return TrackContent(key=key, **(standard | fields))

    return make
