"""Values that the project plans and this version does not have: said plainly when met."""

from __future__ import annotations

_VALUES = frozenset({"labels", "forecast"})


def is_planned_value(value: str) -> bool:
    """Whether `value`, which was refused, names a planned choice."""
    return value in _VALUES
