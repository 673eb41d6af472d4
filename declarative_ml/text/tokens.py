"""What a token is. This is the one definition; three readers of it give the same tokens.

A text is read code point by code point, A-Z first turned into a-z (no other letter changes its case).
Every code point is of one of three kinds:

    separator   white space, controls, ASCII punctuation but for `_ ! ? $`, and the punctuation below
    single      a token by itself: ! ? $ and other currency signs, ideographs, hiragana, emoji, symbols
    word        everything else from U+00AA on, and 0-9 a-z _

A token is one single, or a run of words as long as it goes. So `Don't pay $5!` is don, t, pay, $, 5, !.
Accents and other marks are words, wherever they stand; texts are not normalised.

The kinds are ranges of numbers, not classes of the Unicode database: databases differ between Python, RE2
and the versions of both, ranges do not. Code points that are assigned one day are words already.
Scripts that are written without spaces, other than Chinese and Japanese, give long runs.

The readers: `PATTERN` in Python's `re`, the same pattern in ONNX Runtime's Tokenizer (RE2), and the
table of `kinds` in the compiled lexicon.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Range = tuple[int, int]
"""First and last code point."""

SEPARATOR, WORD, SINGLE = 0, 1, 2

_ASCII_WORDS: tuple[Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_ASCII_SINGLES: tuple[Range, ...] = ((0x21, 0x21), (0x24, 0x24), (0x3F, 0x3F))
_SEPARATORS: tuple[Range, ...] = (
    (0x80, 0xA1), (0xA6, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF),  # Latin-1 controls, signs
    (0xD7, 0xD7), (0xF7, 0xF7),  # times, division
    (0x37E, 0x37E), (0x387, 0x387), (0x55A, 0x55F), (0x589, 0x58A),  # Greek, Armenian
    (0x5BE, 0x5BE), (0x5C0, 0x5C0), (0x5C3, 0x5C3), (0x5F3, 0x5F4),  # Hebrew
    (0x609, 0x60A), (0x60C, 0x60D), (0x61B, 0x61F), (0x66A, 0x66D), (0x6D4, 0x6D4),  # Arabic
    (0x964, 0x965), (0x970, 0x970), (0xE4F, 0xE4F), (0xE5A, 0xE5B), (0xF04, 0xF14),  # Indic, Thai, Tibetan
    (0x104A, 0x104F), (0x1360, 0x1368), (0x17D4, 0x17DA), (0x1800, 0x180E),  # Burmese to Mongolian
    (0x2000, 0x209F),  # general punctuation, joiners, super- and subscripts
    (0x2E00, 0x2E7F), (0x3000, 0x3004), (0x3008, 0x3020), (0x302A, 0x3040),  # more punctuation, CJK
    (0x30A0, 0x30A0), (0x30FB, 0x30FB), (0xFD3E, 0xFD3F), (0xFE00, 0xFE6F), (0xFEFF, 0xFEFF),
    (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),  # full-width forms
    (0xFFF9, 0xFFFF), (0xE0000, 0xE0FFF),  # specials, tags
)  # fmt: skip
_SINGLES: tuple[Range, ...] = (
    (0xA2, 0xA5), (0x20A0, 0x20CF), (0xFFE0, 0xFFE6),  # currencies
    (0x2190, 0x2BFF),  # arrows, technical signs, dingbats
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3041, 0x309F),  # ideographic marks, hiragana
    (0x3200, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),  # ideographs
    (0x1F000, 0x1FAFF), (0x20000, 0x3FFFF),  # emoji, more ideographs
)  # fmt: skip
_SURROGATES: Range = (0xD800, 0xDFFF)
_FIRST_WORD = 0xAA
_LAST = 0x10FFFF


@cache
def kinds() -> np.ndarray:
    """The kind of every code point, uint8 [0x110000] (read only). Capitals of ASCII are words."""
    import numpy as np

    table = np.full(_LAST + 1, WORD, dtype=np.uint8)
    table[:_FIRST_WORD] = SEPARATOR
    for ranges, kind in (
        (_ASCII_WORDS, WORD),
        ((*_SEPARATORS, _SURROGATES), SEPARATOR),
        ((*_ASCII_SINGLES, *_SINGLES), SINGLE),
    ):
        for first, last in ranges:
            table[first : last + 1] = kind
    table.flags.writeable = False
    return table


@cache
def pattern() -> str:
    """The tokens as a regular expression that Python and RE2 read alike: ranges of literal characters."""
    return f"[{_ranges(WORD)}]+|[{_ranges(SINGLE)}]"


def _ranges(kind: int) -> str:
    """The code points of a kind, inside of brackets. None of their ends means anything else there."""
    import numpy as np

    inside = np.concatenate([[False], kinds() == kind, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1]).tolist()
    return "".join(_range(first, stop - 1) for first, stop in zip(edges[::2], edges[1::2], strict=True))


def _range(first: int, last: int) -> str:
    return chr(first) if first == last else f"{chr(first)}-{chr(last)}"


LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
"""For `str.translate`: what StringNormalizer does in the locale "C"."""
