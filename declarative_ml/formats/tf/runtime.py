"""TensorFlow, imported without a word on the terminal, and on the processor alone."""

from __future__ import annotations

import os
from typing import Any

from declarative_ml.core.optional import require

_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    # Says otherwise that it is on, whatever the log level; and rounds differently on every processor.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def tensorflow() -> Any:
    """The module `tensorflow`. Raises MissingDependency when it is not installed."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    tf = require("tensorflow", "tensorflow")
    tf.get_logger().setLevel("ERROR")
    import logging

    logging.getLogger("absl").setLevel(logging.ERROR)
    return tf
