"""What happens to values on their way: lost, mistyped, shouted, padded, measured a little otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np

Noise = Literal["missing", "typos", "case", "whitespace", "jitter"]
JITTER = 0.01
"""Of the spread of the column."""
_LETTERS_A_TYPO = 20

WORDS: dict[Noise, str] = {
    "missing": "Leaving out the value of",
    "typos": "A typing error in",
    "case": "Capitals or small letters in",
    "whitespace": "Blanks around and between the words of",
    "jitter": "One percent of the spread more or less of",
}


def fits(noise: Noise, column: Input) -> bool:
    """Whether the noise can happen to the column."""
    if noise == "missing":
        return True
    if noise == "jitter":
        return column.dtype == "float32" and column.rule.type in ("integer", "number")
    return column.dtype == "string" and column.rule.type == "text"


def noisy(noise: Noise, values: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The raw column [n, 1] with the noise, once for each form that it has."""
    import numpy as np

    if noise == "missing":
        empty = np.float32("nan") if values.dtype.kind == "f" else ""
        yield np.full_like(values, empty)
    elif noise == "jitter":
        size = JITTER * float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
        signs = random.choice([-1.0, 1.0], size=values.shape)
        yield (values + size * signs).astype(np.float32)
    else:
        for change in _FORMS[noise]:
            column = np.empty_like(values)
            column[:, 0] = [change(text, random) if text else text for text in values[:, 0]]
            yield column


def typo(text: str, random: np.random.Generator) -> str:
    """One letter in twenty, at least one, swapped with its neighbour, left out, or typed twice."""
    for _ in range(1 + len(text) // _LETTERS_A_TYPO):
        at = int(random.integers(len(text)))
        kind = int(random.integers(3))
        if kind == 0 and at + 1 < len(text) and text[at] != text[at + 1]:
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        elif kind == 1 and len(text) > 1:
            text = text[:at] + text[at + 1 :]
        else:
            text = text[: at + 1] + text[at:]
    return text


def _padded(text: str, random: np.random.Generator) -> str:
    return f" {re.sub(' ', '  ', text)} "


_FORMS: dict[Noise, tuple[Callable[[str, np.random.Generator], str], ...]] = {
    "typos": (typo,),
    "case": (lambda text, _: text.upper(), lambda text, _: text.lower()),
    "whitespace": (_padded,),
}
