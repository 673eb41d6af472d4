"""Quantities as Kubernetes writes them: `500m`, `2`, `512Mi`, `1.5G`."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(
    r"^(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<unit>m|k|M|G|T|P|E|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
)
_DECIMAL = {"m": Decimal("0.001"), "": Decimal(1)}
_DECIMAL |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}
_BINARY = {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}


def amount(text: str) -> Decimal:
    """The quantity as a number of processors or bytes. Raises ValueError for anything else."""
    found = _FORM.match(text)
    if found is None:
        raise ValueError(f"'{text}' is no quantity: write 500m or 2 for cpu, 512Mi or 2Gi for memory")
    number, unit = Decimal(found["number"]), found["unit"] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit not in _BINARY:
        return number * Decimal(10) ** int(unit[1:])
    return number * (_DECIMAL | _BINARY)[unit]


def as_bytes(count: Decimal) -> str:
    """A number of bytes as a quantity in the largest binary unit that divides it."""
    whole = int(count)
    for unit, factor in reversed(_BINARY.items()):
        if whole and whole % int(factor) == 0:
            return f"{whole // int(factor)}{unit}"
    return str(whole)
