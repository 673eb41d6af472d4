"""Tensors of one row as arrays of objects: what only moves elements, and what looks at each alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DmlError
from declarative_ml.formats.sqltext.expressions import Expression, Value

if TYPE_CHECKING:
    import numpy as np


class Unsupported(DmlError):
    """The graph has a part that has no form in SQL; the message says which."""


def has_expressions(tensor: np.ndarray) -> bool:
    """Whether anything in it depends on the row."""
    return any(isinstance(value, Expression) for value in tensor.ravel().tolist())


def single(value: Expression) -> np.ndarray:
    """A tensor [1, 1]."""
    import numpy as np

    out = np.empty((1, 1), dtype=object)
    out[0, 0] = value
    return out


def each(function: Callable[..., Value], *tensors: np.ndarray) -> np.ndarray:
    """Element by element, the shapes broadcast."""
    import numpy as np

    arrays = np.broadcast_arrays(*tensors)
    out = np.empty(arrays[0].shape, dtype=object)
    for at in np.ndindex(*out.shape):
        out[at] = function(*(array[at] for array in arrays))
    return out


def _reshape(inputs: list[Any], options: Any) -> np.ndarray:
    found: np.ndarray = inputs[0].reshape([int(size) for size in inputs[1]])
    return found


def _slice(inputs: list[Any], options: Any) -> np.ndarray:
    tensor, starts, ends, axes, *steps = inputs
    if steps:
        raise Unsupported("the graph has a Slice with steps")
    for start, end, axis in zip(starts, ends, axes, strict=True):
        cut = [slice(None)] * tensor.ndim
        cut[int(axis)] = slice(int(start), int(end))
        tensor = tensor[tuple(cut)]
    return tensor  # type: ignore[no-any-return]


def _unsqueeze(inputs: list[Any], options: Any) -> np.ndarray:
    import numpy as np

    return np.expand_dims(inputs[0], tuple(int(axis) for axis in inputs[1]))


def _squeeze(inputs: list[Any], options: Any) -> np.ndarray:
    found: np.ndarray = inputs[0].squeeze(tuple(int(axis) for axis in inputs[1]))
    return found


def _concat(inputs: list[Any], options: Mapping[str, Any]) -> np.ndarray:
    import numpy as np

    return np.concatenate(inputs, axis=options["axis"])


ARRAYS: Mapping[str, Callable[[list[Any], Mapping[str, Any]], Any]] = {
    "Concat": _concat,
    "Identity": lambda inputs, options: inputs[0],
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
