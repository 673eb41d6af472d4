"""Columns of one table that the graph holds in several tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph


@dataclass(frozen=True)
class Block:
    """A tensor [N, len(places)] and the places of its columns in the whole table."""

    tensor: str
    places: tuple[int, ...]


def join(graph: OnnxGraph, blocks: Sequence[Block]) -> str | None:
    """The columns of all blocks [N, W], by rising place; None where there are none."""
    if not any(block.places for block in blocks):
        return None
    ordered = sorted((block for block in blocks if block.places), key=lambda block: block.places[0])
    joined = graph.concat([block.tensor for block in ordered])
    places = [place for block in ordered for place in block.places]
    return joined if places == sorted(places) else graph.take(joined, sorted_order(places))


def sorted_order(places: Sequence[int]) -> list[int]:
    """Which positions to take for rising places."""
    return sorted(range(len(places)), key=places.__getitem__)
