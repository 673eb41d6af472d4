"""What the first and last bytes of texts rule out, so that most of them need no closer look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.arrow_types import text_buffers
from declarative_ml.core.grammar import WHITESPACE, spellings_of_missing

if TYPE_CHECKING:
    import pyarrow as pa


def bytes_table(chosen: Iterable[int]) -> np.ndarray:
    """A mask of the 256 bytes."""
    table = np.zeros(256, dtype=bool)
    table[list(chosen)] = True
    return table


_BLANK_STARTS = bytes_table(blank.encode()[0] for blank in WHITESPACE)
_BLANK_ENDS = bytes_table(blank.encode()[-1] for blank in WHITESPACE)


_LAST_BLANK, _ABROAD = ord(" "), 0x80
"""No byte of a blank lies between these."""


def without_blanks(texts: pa.Array) -> pa.Array:
    """A string array without blanks around its values; the same array where none can have any."""
    import pyarrow.compute as pc

    offsets, data = text_buffers(texts)
    if not len(data):
        return texts
    used = data[offsets[0] : offsets[-1]]
    if not len(used) or (used.min() > _LAST_BLANK and used.max() < _ABROAD):
        return texts
    # Of an empty text the bytes are its neighbours': that can only ask for a look too many.
    starts = data.take(offsets[:-1], mode="clip")
    ends = data.take(offsets[1:] - 1, mode="clip")
    if not (_BLANK_STARTS[starts] | _BLANK_ENDS[ends]).any():
        return texts
    return pc.utf8_trim(texts, characters=WHITESPACE)


def is_missing(texts: pa.Array, missing: Iterable[str]) -> pa.Array | None:
    """Which trimmed texts spell a missing value (null is none of them); None: none of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spellings = sorted(spellings_of_missing(missing))
    places = np.flatnonzero(_may_be(texts, spellings))
    if not len(places):
        return None
    found = np.zeros(len(texts), dtype=bool)
    alike = pc.is_in(texts.take(pa.array(places)), value_set=pa.array(spellings, pa.string()))
    found[places] = alike.to_numpy(zero_copy_only=False)
    return pa.array(found)


def _may_be(texts: pa.Array, spellings: Iterable[str]) -> np.ndarray:
    """Which texts have the length and the first byte of a spelling, each of some."""
    offsets, data = text_buffers(texts)
    sizes = np.diff(offsets)
    known = [spelling.encode() for spelling in spellings]
    fits: np.ndarray = sizes == 0
    if len(data):
        starts = data.take(offsets[:-1], mode="clip")
        fits |= bytes_table(spelling[0] for spelling in known if spelling)[starts]
    if fits.any():
        lengths = np.zeros(max(map(len, known)) + 2, dtype=bool)
        lengths[[len(spelling) for spelling in known]] = True
        fits &= lengths[np.minimum(sizes, len(lengths) - 1)]
    return fits


def holds_letter(texts: pa.Array, letter: str) -> bool:
    """Whether a text holds an ASCII letter, small or large."""
    offsets, data = text_buffers(texts.drop_null() if texts.null_count else texts)
    return bool(((data[offsets[0] : offsets[-1]] | 0x20) == ord(letter)).any())


def first_two(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second byte of each text without nulls, uint8 [N]; 0 where it is shorter."""
    offsets, data = text_buffers(texts)
    if not len(data):
        nothing = np.zeros(len(texts), dtype=np.uint8)
        return nothing, nothing
    sizes = np.diff(offsets)
    first = np.where(sizes > 0, data.take(offsets[:-1], mode="clip"), 0)
    second = np.where(sizes > 1, data.take(offsets[:-1] + 1, mode="clip"), 0)
    return first, second
