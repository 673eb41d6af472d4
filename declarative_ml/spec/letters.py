"""Characters that look like others, or like nothing, and got into a text by copying it from elsewhere."""

from __future__ import annotations

import re
import unicodedata

QUOTES = "“”„‟«»‘’‚‛‹›"
"""Quotation marks of books; YAML knows the two straight ones only."""
_DASHES = "‐‑‒–—―−﹣－"
_LONGEST = 400
_INVISIBLE = re.compile(
    "[\u00a0\u00ad\u034f\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]"
)


def odd_letter(text: str) -> str | None:
    """The first invisible or foreign-looking character of `text` in words, None when there is none."""
    found = _INVISIBLE.search(text)
    letter = found[0] if found else next((each for each in text if each in QUOTES + _DASHES + "："), None)
    if letter is None:
        return None
    name = unicodedata.name(letter, "unnamed").lower()
    kind = "an invisible character" if found else f"the character {letter}"
    return f"{kind} (U+{ord(letter):04X}, {name})"


def shortened(text: str) -> str:
    """`text` in a length that people read: what a message or hint repeats may be any value of a spec."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def plain(text: str) -> str:
    """`text` as it was probably meant: usual quotation marks gone, minus signs and blanks usual."""
    text = _INVISIBLE.sub(lambda found: " " if found[0].isspace() else "", text)
    text = "".join("-" if each in _DASHES else each for each in text if each not in QUOTES)
    return unicodedata.normalize("NFKC", text).strip()
