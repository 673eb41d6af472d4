"""Which texts may be a number, a date or a truth value, by their first two bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.edges import bytes_table, first_two

if TYPE_CHECKING:
    import pyarrow as pa

_ABROAD = bytes(range(128, 256))
"""Bytes of signs outside ASCII."""
_DIGITS, _CAPITALS = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Opening = tuple[np.ndarray, np.ndarray]
"""Tables [256] of the first and of the second byte of a text."""
NUMBER_OPENS: tuple[Opening, ...] = (
    (bytes_table(_DIGITS + b"+-.,$ " + _ABROAD), bytes_table(range(256))),
    (bytes_table(_CAPITALS), bytes_table(_CAPITALS + b"$s" + _ABROAD)),
)
DATE_OPENS: tuple[Opening, ...] = (
    (bytes_table(_DIGITS), bytes_table(_DIGITS + b"-/. ")),
    (bytes_table(b"jfmasondJFMASOND"), bytes_table(b"aepucoAEPUCO")),
)
BOOLEAN_OPENS: tuple[Opening, ...] = ((bytes_table(b"tTfF"), bytes_table(b"rRaA")),)
"""Without these the patterns of `hypotheses` cannot match."""


def _pairs(openings: Iterable[Opening]) -> np.ndarray:
    """Whether two bytes, as a number of 16 bits, are one of the openings: bool [65536]."""
    tables = [np.logical_and.outer(first, second).ravel() for first, second in openings]
    found: np.ndarray = np.logical_or.reduce(tables)
    return found


_NUMBER_PAIRS, _OTHER_PAIRS = _pairs(NUMBER_OPENS), _pairs((*DATE_OPENS, *BOOLEAN_OPENS))


def promising(present: pa.Array) -> pa.Array:
    """The texts that may fit a hypothesis by their first two bytes; all texts, where one may be a number.

    With a number comes a unit, and for each unit the texts are kept that do not have it.
    """
    import pyarrow as pa

    one, two = first_two(present)
    places = one.astype(np.uint16) << 8 | two
    if _NUMBER_PAIRS[places].any():
        return present
    return present.filter(pa.array(_OTHER_PAIRS[places]))
