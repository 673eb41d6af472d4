"""Depths and widths that Ludwig searches one by one, as what they are here: one choice of `layers`."""

from __future__ import annotations

from itertools import product
from typing import Any

from declarative_ml.api.import_ludwig_model import SIZES, WIDTH, Section, layer_list, size_of, widths_of
from declarative_ml.api.import_ludwig_space import Space, accepted

_DEEPEST = 64
_MOST = 64
"""Stacks of layers: among more than these, a search of a few trials finds nothing."""
_SOME = "some widths or depths of a wide range"
_ONE_LAYER = "an mlp has at least one layer"


def layer_choices(
    parts: list[tuple[Section, dict[str, Space]]],
) -> tuple[list[list[int]], list[str]]:
    """The stacks of layers that a search over these sections chooses from, and what differs from theirs.

    `parts` are the combiner and the decoder, each with the spaces of its keys among STACK. No stacks:
    the second says why.
    """
    why: list[str] = []
    found = [_stacks(section, spaces, why) for section, spaces in parts]
    stacks: list[list[int]] = []
    for combined in product(*found):
        stack = [width for part in combined for width in part]
        if not stack and any(widths for part in found for widths in part):
            why.append(_ONE_LAYER)
        elif (fault := _fault(stack)) and stack:
            why.append(f"{stack} {fault}")
        elif stack and stack not in stacks:
            stacks.append(stack)
    if len(stacks) > _MOST:
        return [], [f"{len(stacks)} stacks of layers are too many to choose from: list some in tune.space"]
    if not stacks:
        why.append("the width of layers that are not there: num_fc_layers says how many")
    return stacks, list(dict.fromkeys(why))


def without_effect(section: Section, spaces: dict[str, Space]) -> set[str]:
    """Those keys that a list of layers makes void."""
    listed = "fc_layers" in spaces or bool(layer_list(section[1]))
    return {key for key in spaces if key != "fc_layers"} if listed else set()


def _stacks(section: Section, spaces: dict[str, Space], why: list[str]) -> list[list[int]]:
    """The stacks of one section."""
    options = section[1]
    width = size_of(options) or WIDTH
    if "fc_layers" in spaces:
        return [stack for choice in spaces["fc_layers"].choices or () if (stack := _listed(choice, width))]
    searched = {key: space for key, space in spaces.items() if key not in without_effect(section, spaces)}
    if not searched:
        return [widths_of(section)]
    size = next((searched[key] for key in SIZES if key in searched), None)
    widths = [width] if size is None else _numbers(size, why)
    number = searched.get("num_fc_layers")
    depths = [len(widths_of(section))] if number is None else _numbers(number, why)
    return [[int(width)] * depth for depth in depths if 0 <= depth <= _DEEPEST for width in widths]


def _numbers(space: Space, why: list[str]) -> list[int]:
    """Whole numbers of a space."""
    found, all_of_them = space.few()
    if not all_of_them:
        why.append(_SOME)
    return [
        int(value)
        for value in found
        if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    ]


def _listed(choice: Any, width: float) -> list[int]:
    """A list of layers, each a mapping with a size of its own or a width; empty where it is none."""
    stack: list[int] = []
    for layer in choice if isinstance(choice, list) else []:
        found = layer
        if isinstance(layer, dict):
            found = next((layer[key] for key in SIZES if key in layer), width)
        if not isinstance(found, int | float) or isinstance(found, bool) or not float(found).is_integer():
            return []
        stack.append(int(found))
    return stack


def _fault(stack: list[int]) -> str:
    return accepted("mlp", "layers", stack)[1]
