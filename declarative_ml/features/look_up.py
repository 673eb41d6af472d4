"""One table in the graph for the texts of several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph


def look_up(graph: OnnxGraph, tensors: Sequence[str], keys: Sequence[Sequence[str]], **values: Any) -> str:
    """Texts [N, 1] of k columns, each with keys of its own -> their values [N, k].

    `values` are LabelEncoder's: the values of all keys, column after column, and the default.
    """
    if len(tensors) == 1:
        return graph.add("LabelEncoder", [tensors[0]], keys_strings=list(keys[0]), **values)
    # Each text goes behind its column's number. No such number is the beginning of another.
    fronts = [f"{number}:" for number in range(len(tensors))]
    fronted = graph.add("StringConcat", [graph.constant([fronts]), graph.concat(tensors)])
    all_keys = [front + key for front, column in zip(fronts, keys, strict=True) for key in column]
    return graph.add("LabelEncoder", [fronted], keys_strings=all_keys, **values)
