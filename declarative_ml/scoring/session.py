"""Open and run a graph: the one place that talks to ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

BATCH_ROWS = 8_192
"""Rows that the graph sees at once: bounds memory whatever the caller hands over."""


def open_session(content: bytes, *, threads: int = 1, name: str = "model.onnx") -> Any:
    """An onnxruntime.InferenceSession of the graph. Raises DataError when it cannot be loaded."""
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    # These share no base class of their own.
    refusals = (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name} cannot be loaded: {first}") from error


Run = Callable[[Sequence[str], "Mapping[str, np.ndarray]"], "list[np.ndarray]"]


def quick_run(session: Any) -> Run:
    """`session.run` without what its wrapper in Python checks anew for each call: names of inputs, devices of
    values. For one row that is a fifth of the time. Feeds must be right."""
    inner = getattr(session, "_sess", None)
    if inner is None:  # It is not of onnxruntime's public names.
        run: Run = session.run
        return run
    return lambda names, feed: inner.run(names, feed, None)


def run_graph(session: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities [N, C] or values [N] of raw columns [N, 1], in batches of bounded size."""
    names = {node.name for node in session.get_outputs()}
    if "probabilities" in names:
        return _run(session, ["probabilities"], inputs)[0]
    return _run(session, ["prediction"], inputs)[0][:, 0]


def run_number_graph(session: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a graph for a number target, float64 [N] by name: `prediction`, and `lower` and `upper`
    where it gives intervals."""
    names = [node.name for node in session.get_outputs()]
    found = _run(session, names, inputs)
    return {name: values[:, 0] for name, values in zip(names, found, strict=True)}


def _run(session: Any, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs `names` as float64 [N, width], the rows taken in batches."""
    import numpy as np

    rows = len(next(iter(inputs.values())))
    parts = []
    for start in range(0, max(rows, 1), BATCH_ROWS):
        feed = {name: values[start : start + BATCH_ROWS] for name, values in inputs.items()}
        parts.append(session.run(list(names), feed))
    return [np.concatenate(batches).astype(np.float64) for batches in zip(*parts, strict=True)]
