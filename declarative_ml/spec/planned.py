"""Keys and values that the project plans and this version does not have: said plainly when met."""

from __future__ import annotations

_KEYS: dict[str, frozenset[str]] = {
    "": frozenset(["checks", "deploy", "monitor"]),
    "data": frozenset({"checks"}),
    "resources": frozenset({"memory"}),
}
_VALUES = frozenset({"tabm", "labels", "forecast"})


def is_planned_key(section: str, key: str) -> bool:
    """Whether `key` is planned in `section` (dotted; "" is the top level)."""
    return key in _KEYS.get(section, frozenset())


def is_planned_value(value: str) -> bool:
    """Whether `value`, which was refused, names a planned choice."""
    return value in _VALUES
