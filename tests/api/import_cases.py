"""What the tests of imports share: the leaves of a config, and configs with junk in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

JUNK = [
    None,
    True,
    False,
    -1,
    0,
    1,
    3,
    0.5,
    1e30,
    "",
    "x",
    "auto",
    "${env:HOME}",
    [],
    {},
    [1],
    ["x"],
    {"type": "x"},
    [{"a": 1}],
]


def mutated(value: Any, source: random.Random) -> Any:
    """A copy with some of its values, at any depth, replaced by junk."""
    if source.random() < 0.04:
        return source.choice(JUNK)
    if isinstance(value, dict):
        return {key: mutated(child, source) for key, child in value.items()}
    return [mutated(child, source) for child in value] if isinstance(value, list) else value


def leaf_paths(value: Any, path: str = "") -> Iterator[str]:
    """The leaves as this test understands them: scalars, empty collections, and lists of scalars."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            name = {True: "true", None: "null"}.get(key, str(key)) if not isinstance(key, str) else key
            name = f'"{name}"' if set(name) & set(".[]") else name
            yield from leaf_paths(child, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, child in enumerate(value):
            yield from leaf_paths(child, f"{path}[{number}]")
    else:
        yield path
