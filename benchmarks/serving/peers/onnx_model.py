"""What every peer shares: the bundle's graph in onnxruntime, one thread, fed by column."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime


class Model:
    def __init__(self, bundle=None):
        bundle = Path(bundle or os.environ["BENCH_BUNDLE"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        inputs = json.loads((bundle / "bundle.json").read_text())["inputs"]
        self.kinds = {item["name"]: np.float32 if item["dtype"] == "float32" else object for item in inputs}

    def __call__(self, columns):
        """Lists by column to labels and probabilities [N, classes]."""
        feed = {name: np.array(columns[name], dtype=kind).reshape(-1, 1) for name, kind in self.kinds.items()}
        labels, probabilities = self.session.run(["prediction", "probabilities"], feed)
        return labels.reshape(-1), probabilities
