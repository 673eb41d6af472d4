"""Whether a column holds prose: told from how many words its texts have, and how these begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_WORD = re.compile(r"[぀-ヿ㐀-鿿]{1,2}|[^\s぀-ヿ㐀-鿿]+")
"""Between blanks; Chinese and Japanese, which have none, count two characters as one."""
_TEXTS = 2_000
_MANY = 5.0
_SEVERAL = 3.0
_LOWER = 0.25


def wording(texts: Sequence[str] | pa.Array) -> tuple[float | None, float | None]:
    """The median number of words, and the share of words that begin with a letter that is no capital.

    Of 2,000 of the texts, evenly spread, and the first 10,000 characters of each; None without texts.
    """
    some = texts[:: max(len(texts) // _TEXTS, 1)]
    some = [text[:10_000] for text in (some if isinstance(some, Sequence) else some.to_pylist())]
    words = [_WORD.findall(text) for text in some]
    if not words:
        return None, None
    begun = [word[0] for found in words for word in found]
    lower = sum(first.isalpha() and not first.isupper() for first in begun)
    return float(median(map(len, words))), lower / max(len(begun), 1)


def is_prose(words: float | None, lower: float | None) -> bool:
    """Five words or more, or three that are not names: most names of people and products stay below."""
    if words is None or lower is None:
        return False
    return words >= _MANY or (words >= _SEVERAL and lower >= _LOWER)
